"""Sessions, the one with the newest request first: found by an index on the requests that have one."""

from __future__ import annotations

import json
from typing import cast

import msgspec

from chainlog_async.requests.cursor import Position
from chainlog_async.requests.model import RequestLogRow
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
from chainlog_async.storage.sqlite.reader_pool import ReaderPool, type_of_row

from .requests_sql import NEWEST_OF_SESSIONS

SUMS = """
SELECT
  COUNT(*), SUM(outcome = 'failed'), SUM(prompt_tokens), SUM(completion_tokens), SUM(COALESCE(cached_tokens, 0)),
  SUM(total_tokens), SUM(COALESCE(cost_nano, 0)), SUM(latency_ms), MIN(timestamp), MAX(timestamp),
  json_group_array(DISTINCT model)
FROM (
  SELECT * FROM request_logs INDEXED BY idx_logs_session
  WHERE session_id = :session_id AND (:caller IS NULL OR caller = :caller)
  ORDER BY timestamp DESC, id DESC LIMIT :most
)
"""
NEWEST_CALLER = """
SELECT caller FROM request_logs INDEXED BY idx_logs_session
WHERE session_id = :session_id AND (:caller IS NULL OR caller = :caller) ORDER BY timestamp DESC, id DESC LIMIT 1
"""


async def find_sessions(readers: ReaderPool, where: SessionFilter, *, limit: int, cursor: str | None) -> SessionPage:
    """One page; see `UsageAggregator.find_sessions`."""
    check_page(limit)
    of_requests = where.as_request_filter()
    parameters = filter_parameters(of_requests)

    async def examine(position: Position, budget: int, wanted: int) -> list[type_of_row]:
        place = {"timestamp": position[0], "id": position[1], "budget": budget, "limit": wanted}
        return await readers.fetch(NEWEST_OF_SESSIONS, parameters | place)

    page = await find_page(examine, None, of_requests, limit=limit, cursor=cursor)
    sessions = [await _session(readers, newest, where.caller) for newest in page.requests]
    return SessionPage([one for one in sessions if one is not None], page.next_cursor, page.searched_back_to)


async def get_session(readers: ReaderPool, session_id: str, caller: str | None) -> Session | None:
    """One session; None when there is none of that id."""
    rows = await readers.fetch(NEWEST_CALLER, {"session_id": session_id, "caller": caller})
    return await _summed(readers, session_id, caller, cast("str | None", rows[0][0])) if rows else None


async def _session(readers: ReaderPool, newest: RequestLogRow, caller: str | None) -> Session | None:
    return await _summed(readers, newest.session_id or "", caller, newest.caller)


async def _summed(readers: ReaderPool, session_id: str, caller: str | None, newest: str | None) -> Session | None:
    parameters = {"session_id": session_id, "caller": caller, "most": MAX_COUNTED}
    ((*sums, models),) = await readers.fetch(SUMS, parameters)
    if not sums[0]:
        # Pruned in the meantime.
        return None
    return session_of(session_id, newest, msgspec.convert([*sums, json.loads(str(models))], SessionSums))
