"""Sessions, the one with the newest request first: found by an index on the requests that have one."""

from __future__ import annotations

import math
from typing import cast

import msgspec

from chainlog_async.requests.cursor import Position
from chainlog_async.requests.paging import filter_parameters, find_page
from chainlog_async.requests.sessions import (
    MAX_COUNTED,
    Session,
    SessionFilter,
    SessionPage,
    SessionSums,
    check_page,
    session_of,
)
from chainlog_async.storage.postgres.reader_pool import ReaderPool, Row, Snapshot

from .requests_sql import NEWEST_OF_SESSIONS

SUMS = """
SELECT
  count(*), count(*) FILTER (WHERE outcome = 'f'), sum(prompt_tokens), sum(completion_tokens),
  sum(COALESCE(cached_tokens, 0)), sum(total_tokens), sum(nanos(cost_usd)), sum(latency_ms), min(timestamp),
  max(timestamp), array_agg(DISTINCT model)
FROM (
  SELECT * FROM request_logs
  WHERE session_id = :session_id AND (:caller::text IS NULL OR caller = :caller)
  ORDER BY timestamp DESC, id DESC LIMIT :most
) AS newest
"""
NEWEST_CALLER = """
SELECT caller FROM request_logs
WHERE session_id = :session_id AND (:caller::text IS NULL OR caller = :caller)
ORDER BY timestamp DESC, id DESC LIMIT 1
"""


async def find_sessions(readers: ReaderPool, where: SessionFilter, *, limit: int, cursor: str | None) -> SessionPage:
    """One page; see `UsageAggregator.find_sessions`."""
    check_page(limit)
    of_requests = where.as_request_filter()
    parameters = filter_parameters(of_requests)
    async with readers.snapshot() as snapshot:

        async def examine(position: Position, budget: int, wanted: int) -> list[Row]:
            timestamp, row_id = position if isinstance(position[0], int) else (math.ceil(position[0]), 0)
            place = {"timestamp": timestamp, "id": row_id, "budget": budget, "limit": wanted}
            return await snapshot.fetch(NEWEST_OF_SESSIONS, parameters | place)

        page = await find_page(examine, None, of_requests, limit=limit, cursor=cursor)
        sessions = [
            await _summed(snapshot, newest.session_id or "", where.caller, newest.caller) for newest in page.requests
        ]
    return SessionPage(sessions, page.next_cursor, page.searched_back_to)


async def get_session(readers: ReaderPool, session_id: str, caller: str | None) -> Session | None:
    """One session; None when there is none of that id."""
    # No text in PostgreSQL contains a NUL.
    if "\0" in session_id + (caller or ""):
        return None
    async with readers.snapshot() as snapshot:
        rows = await snapshot.fetch(NEWEST_CALLER, {"session_id": session_id, "caller": caller})
        return await _summed(snapshot, session_id, caller, cast("str | None", rows[0][0])) if rows else None


async def _summed(snapshot: Snapshot, session_id: str, caller: str | None, newest: str | None) -> Session:
    parameters = {"session_id": session_id, "caller": caller, "most": MAX_COUNTED}
    (row,) = await snapshot.fetch(SUMS, parameters)
    return session_of(session_id, newest, msgspec.convert(row, SessionSums))
