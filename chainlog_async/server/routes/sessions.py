"""``GET /v1/sessions…``: conversations of several requests, and one of them with its requests."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from chainlog_async.chainlog import ChainLog
from chainlog_async.common.clock import now_ms
from chainlog_async.requests.filter import MAX_FILTER_CHARS, RequestFilter
from chainlog_async.requests.model import RequestLogRow
from chainlog_async.requests.sessions import MAX_SESSIONS, Session, SessionFilter, SessionPage
from chainlog_async.server.http.operation import NOT_FOUND, Operation
from chainlog_async.server.http.parameters import Parameter, ParsedParameters, integer_parameter, time_parameter
from chainlog_async.server.http.request_filters import ONE_CALLER, TIME_FORMATS, refused_window
from chainlog_async.server.http.responses import ApiError, json_reply
from chainlog_async.server.http.rights import rights_of
from chainlog_async.server.own_reads import own_reads
from chainlog_async.usage.time_window import WindowError, refuse_empty_window

from .requests import PAGE_CURSOR, PAGE_LIMIT

SESSIONS_FROM = time_parameter("from", f"Sessions whose newest request is from this time on: {TIME_FORMATS}")
SESSIONS_UNTIL = time_parameter("until", f"Sessions whose newest request is before this time: {TIME_FORMATS}")
SESSIONS_LIMIT = integer_parameter(
    "limit", "Maximum number of sessions on the page.", minimum=1, maximum=MAX_SESSIONS, default=50
)


def _read_id(given: str) -> str:
    if given and len(given) <= MAX_FILTER_CHARS and "\0" not in given:
        return given
    raise ValueError


SESSION_ID = Parameter(
    "id",
    "The id of the session.",
    _read_id,
    f"one id of at most {MAX_FILTER_CHARS} characters, none of them NUL",
    {"type": "string", "minLength": 1, "maxLength": MAX_FILTER_CHARS, "pattern": "^[^\\u0000]*$"},
    "",
    "path",
)


class SessionReply(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A session, and a page of its requests."""

    session: Session
    """The sums over all its requests."""
    requests: list[RequestLogRow]
    """The newest first."""
    next_cursor: str | None
    """Cursor of the next page of requests; None when this is the last one."""


class SessionEndpoints:
    """The routes of sessions."""

    def __init__(self, chainlog: ChainLog) -> None:
        self._chainlog = chainlog

    def operations(self) -> list[Operation]:
        """Returns the routes."""
        return [
            Operation(
                "/v1/sessions",
                self.find_sessions,
                SessionPage,
                (SESSIONS_FROM, SESSIONS_UNTIL, ONE_CALLER, SESSIONS_LIMIT, PAGE_CURSOR),
                needs="read",
            ),
            # An id may have slashes.
            Operation(
                "/v1/sessions/{id:chainlog_name}",
                self.get_session,
                SessionReply,
                (SESSION_ID, ONE_CALLER, PAGE_LIMIT, PAGE_CURSOR),
                other_answers=NOT_FOUND,
                needs="read",
            ),
        ]

    async def find_sessions(self, request: Request, parameters: ParsedParameters) -> Response:
        """Sessions, the one with the newest request first, each with its sums.

        With `caller`, only the requests of that caller are looked at. A page examines a bounded number of requests, so
        it may be short, or empty, and still have a `nextCursor` to continue with; `searchedBackTo` then tells how far
        the search has come. The newest 10,000 requests of a session are counted.
        """
        start, end = parameters[SESSIONS_FROM], parameters[SESSIONS_UNTIL]
        try:
            refuse_empty_window(start, end, now=now_ms())
        except WindowError as error:
            raise refused_window(error) from None
        where = SessionFilter(start=start, end=end, caller=parameters[ONE_CALLER])
        page = await own_reads(request, self._chainlog).find_sessions(
            where, limit=parameters[SESSIONS_LIMIT], cursor=parameters[PAGE_CURSOR]
        )
        return json_reply(page)

    async def get_session(self, request: Request, parameters: ParsedParameters) -> Response:
        """One session with its sums and a page of its requests, newest first.

        With `caller`, only the requests of that caller.
        """
        session_id, caller = parameters[SESSION_ID], parameters[ONE_CALLER]
        reads = own_reads(request, self._chainlog)
        session = await reads.get_session(session_id, caller=caller)
        if session is None:
            raise ApiError(
                404, f"there is no session {session_id[:60]!r}; it may have been pruned", "not_found", param="id"
            )
        where = RequestFilter(session_id=session_id, caller=caller or rights_of(request).caller)
        page = await reads.find_requests(where, limit=parameters[PAGE_LIMIT], cursor=parameters[PAGE_CURSOR])
        return json_reply(SessionReply(session=session, requests=page.requests, next_cursor=page.next_cursor))
