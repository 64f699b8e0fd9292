"""Finds requests by filters, newest first, at a cost that grows neither with the log nor with the page number."""

from __future__ import annotations

import math
from typing import cast

from chainlog_async.common.clock import MAX_INT64
from chainlog_async.requests.cursor import MAX_PAGE, Position, position_of
from chainlog_async.requests.filter import RequestFilter, lower_ascii
from chainlog_async.requests.model import RequestLogRow, RequestPage
from chainlog_async.requests.stored_row import request_of_row, whole_number
from chainlog_async.storage.sqlite.reader_pool import ReaderPool, type_of_row

from .requests_sql import AFTER_ID, BY_ID, NEWEST_ID, OLDEST_TIMESTAMP, RECENT, REQUEST_IDS, query_for
from .rollup_skip import can_skip, newest_candidate

SCAN_BUDGET = 10_000
"""Most rows that are examined for one page."""

_GROWTH = 8


async def find_requests(
    readers: ReaderPool,
    where: RequestFilter,
    *,
    limit: int,
    cursor: str | None = None,
    scan_budget: int = SCAN_BUDGET,
) -> RequestPage:
    """One page; see `UsageAggregator.find_requests`."""
    if not 1 <= limit <= MAX_PAGE:
        raise ValueError(f"limit is {limit}; give 1 to {MAX_PAGE}")
    position = (MAX_INT64 if where.end is None else where.end, 0) if cursor is None else position_of(cursor)
    if where.end is not None:
        position = min(position, (where.end, 0))
    sql, parameters = query_for(where), _parameters_of(where)
    found: list[type_of_row] = []
    # One row more than the page holds tells whether there is a next page. If few rows match, the search continues in
    # larger and larger steps, so that a page that fills at once is cheap and no statement takes long.
    piece = limit + 1
    while scan_budget > 0:
        rows = await readers.fetch(
            sql,
            parameters
            | {
                "timestamp": position[0],
                "id": position[1],
                "budget": min(piece, scan_budget),
                "limit": limit + 1 - len(found),
            },
        )
        if not rows:
            return RequestPage(_requests(found), None, None)
        *matching, last = rows
        found += matching
        if len(found) > limit:
            return RequestPage(_requests(found[:limit]), _cursor(found[limit - 1]), None)
        position = _position(last)
        scan_budget -= piece
        piece *= _GROWTH
        if can_skip(where):
            # One ms more, because rows of the same ms may be left.
            before = await newest_candidate(readers, where, parameters, position[0] + 1)
            if before is None:
                return RequestPage(_requests(found), None, None)
            position = min(position, (before, 0))
    back_to = None if len(found) == limit else math.floor(position[0])
    return RequestPage(_requests(found), f"{position[0]}_{position[1]}", back_to)


async def get_request(readers: ReaderPool, request_id: int) -> RequestLogRow | None:
    """One request by its id in this database."""
    rows = await readers.fetch(BY_ID, (request_id,)) if 0 <= request_id <= MAX_INT64 else []
    return request_of_row(rows[0]) if rows else None


async def find_request_ids(readers: ReaderPool, prefix: str, *, limit: int) -> list[str]:
    """The first ids of the gateway that begin with the prefix, in their order."""
    return [cast("str", name) for (name,) in await readers.fetch(REQUEST_IDS, (prefix, limit))]


async def get_requests_after(readers: ReaderPool, after_id: int, *, limit: int) -> list[RequestLogRow]:
    """The first requests stored after that one, in the order they were stored."""
    return _requests(await readers.fetch(AFTER_ID, (min(after_id, MAX_INT64), limit)))


async def get_recent_requests(readers: ReaderPool, limit: int) -> list[RequestLogRow]:
    """The newest requests, newest first."""
    return _requests(await readers.fetch(RECENT, (limit,)))


async def get_newest_id(readers: ReaderPool) -> int:
    """The id of the request that was stored last, or 0."""
    rows = await readers.fetch(NEWEST_ID)
    return cast("int", rows[0][0]) if rows else 0


async def get_oldest_timestamp(readers: ReaderPool) -> int | None:
    """The earliest timestamp in the log, in ms since the epoch, UTC; None when it is empty."""
    rows = await readers.fetch(OLDEST_TIMESTAMP)
    return whole_number(rows[0][0]) if rows else None


def _parameters_of(where: RequestFilter) -> dict[str, object]:
    lowest, highest = where.statuses or (None, None)
    return {
        "start": -MAX_INT64 if where.start is None else where.start,
        "chain": where.chain,
        "provider": where.provider,
        "model": where.model,
        "caller": where.caller,
        "request_id": where.request_id,
        "lowest_status": lowest,
        "highest_status": highest,
        "is_failed": where.is_failed or None,
        "min_latency_ms": where.min_latency_ms,
        "error_text": None if where.error_text is None else lower_ascii(where.error_text),
    }


def _position(row: type_of_row) -> Position:
    return cast("Position", (row[1], row[0]))


def _cursor(row: type_of_row) -> str:
    return f"{row[1]}_{row[0]}"


def _requests(rows: list[type_of_row]) -> list[RequestLogRow]:
    return [request_of_row(row) for row in rows]
