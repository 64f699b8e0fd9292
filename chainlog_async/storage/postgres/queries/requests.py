"""Finds requests by filters, newest first, at a cost that grows neither with the log nor with the page number."""

from __future__ import annotations

import math
from typing import cast

from chainlog_async.common.clock import MAX_INT64
from chainlog_async.requests.cursor import Position
from chainlog_async.requests.filter import RequestFilter
from chainlog_async.requests.model import RequestLogRow, RequestPage
from chainlog_async.requests.paging import SCAN_BUDGET, filter_parameters, find_page
from chainlog_async.requests.stored_row import request_of_row
from chainlog_async.storage.postgres.reader_pool import ReaderPool, Row, Snapshot

from .requests_sql import AFTER_ID, BY_ID, OLDEST_TIMESTAMP, RECENT, REQUEST_IDS, SETTLED_ID, query_for


async def find_requests(
    readers: ReaderPool,
    where: RequestFilter,
    *,
    limit: int,
    cursor: str | None = None,
    scan_budget: int = SCAN_BUDGET,
) -> RequestPage:
    """One page; see `UsageAggregator.find_requests`."""
    sql, parameters = query_for(where), filter_parameters(where)
    async with readers.snapshot() as snapshot:

        async def examine(position: Position, budget: int, wanted: int) -> list[Row]:
            # Cursors of a SQLite log may have fractions of a ms; before 1.5 is before 2.
            timestamp, row_id = position if isinstance(position[0], int) else (math.ceil(position[0]), 0)
            place = {"timestamp": timestamp, "id": row_id, "budget": budget, "limit": wanted}
            return await snapshot.fetch(sql, parameters | place)

        return await find_page(examine, None, where, limit=limit, cursor=cursor, scan_budget=scan_budget)


async def get_request(readers: ReaderPool, request_id: int) -> RequestLogRow | None:
    """One request by its id in this database."""
    rows = await readers.fetch(BY_ID, {"id": request_id}) if 0 <= request_id <= MAX_INT64 else []
    return request_of_row(rows[0]) if rows else None


async def find_request_ids(readers: ReaderPool, prefix: str, *, limit: int) -> list[str]:
    """The first ids of the gateway that begin with the prefix, in their order."""
    return [cast("str", name) for (name,) in await readers.fetch(REQUEST_IDS, {"prefix": prefix, "limit": limit})]


async def get_requests_after(readers: ReaderPool, after_id: int, *, limit: int) -> list[RequestLogRow]:
    """The first requests stored after that one, in order; one that is still under way is not passed."""
    async with readers.snapshot(moving=True) as snapshot:
        settled = await _settled_id(snapshot)
        if settled <= after_id:
            # Nearly always, for who follows the log; the rows would be looked for in every partition.
            return []
        after = max(-MAX_INT64, after_id)
        return _requests(await snapshot.fetch(AFTER_ID, {"after": after, "settled": settled, "limit": limit}))


async def get_recent_requests(readers: ReaderPool, limit: int) -> list[RequestLogRow]:
    """The newest requests, newest first."""
    return _requests(await readers.fetch(RECENT, {"limit": min(limit, MAX_INT64)}))


async def get_newest_id(readers: ReaderPool) -> int:
    """The id of the request that was stored last and before which no other is still under way, or 0.

    Where a batch came to nothing it is the last id of that batch; no later request has a smaller one.
    """
    async with readers.snapshot(moving=True) as snapshot:
        return await _settled_id(snapshot)


async def get_oldest_timestamp(readers: ReaderPool) -> int | None:
    """The earliest timestamp in the log, in ms since the epoch, UTC; None when it is empty."""
    ((oldest,),) = await readers.fetch(OLDEST_TIMESTAMP)
    return cast("int | None", oldest)


async def _settled_id(snapshot: Snapshot) -> int:
    ((settled,),) = await snapshot.fetch(SETTLED_ID)
    return cast("int", settled)


def _requests(rows: list[Row]) -> list[RequestLogRow]:
    return [request_of_row(row) for row in rows]
