"""Finds requests by filters, newest first, at a cost that grows neither with the log nor with the page number."""

from __future__ import annotations

from typing import cast

import msgspec

from chainlog_async.common.clock import MAX_INT64
from chainlog_async.requests.cursor import Position
from chainlog_async.requests.filter import RequestFilter
from chainlog_async.requests.model import RequestLogRow, RequestPage
from chainlog_async.requests.paging import SCAN_BUDGET, filter_parameters, find_page
from chainlog_async.requests.stored_row import request_of_row, whole_number
from chainlog_async.storage.sqlite.reader_pool import ReaderPool, type_of_row

from .requests_sql import AFTER_ID, BY_ID, NEWEST_ID, OLDEST_TIMESTAMP, RECENT, REQUEST_IDS, query_for
from .rollup_skip import can_skip, newest_candidate


async def find_requests(
    readers: ReaderPool,
    where: RequestFilter,
    *,
    limit: int,
    cursor: str | None = None,
    scan_budget: int = SCAN_BUDGET,
) -> RequestPage:
    """One page; see `UsageAggregator.find_requests`."""
    sql, parameters = query_for(where), {name: _as_json(value) for name, value in filter_parameters(where).items()}

    async def examine(position: Position, budget: int, wanted: int) -> list[type_of_row]:
        place = {"timestamp": position[0], "id": position[1], "budget": budget, "limit": wanted}
        return await readers.fetch(sql, parameters | place)

    async def skip(before: float) -> float | None:
        return await newest_candidate(readers, where, parameters, before)

    return await find_page(
        examine, skip if can_skip(where) else None, where, limit=limit, cursor=cursor, scan_budget=scan_budget
    )


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


def _as_json(value: object) -> object:
    return msgspec.json.encode(value).decode() if isinstance(value, tuple) else value


def _requests(rows: list[type_of_row]) -> list[RequestLogRow]:
    return [request_of_row(row) for row in rows]
