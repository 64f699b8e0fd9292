"""``GET /v1/requests…``: filtered requests page by page, one in full, or all of them as a file."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import ExitStack, aclosing
from dataclasses import replace

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from chainlog_async.chainlog import ChainLog
from chainlog_async.common.clock import MAX_INT64
from chainlog_async.requests.cursor import CURSOR, MAX_PAGE
from chainlog_async.requests.export import MEDIA_TYPES, export_requests
from chainlog_async.requests.filter import RequestFilter
from chainlog_async.requests.model import RequestLogRow, RequestPage
from chainlog_async.server.counters import ServiceCounters
from chainlog_async.server.http.operation import NOT_FOUND, Operation
from chainlog_async.server.http.parameters import (
    ParsedParameters,
    choice_parameter,
    integer_parameter,
    pattern_parameter,
)
from chainlog_async.server.http.request_filters import REQUEST_FILTERS, filter_of
from chainlog_async.server.http.responses import ApiError, ErrorReply, json_reply
from chainlog_async.server.http.streamed_reply import StreamLimit
from chainlog_async.server.own_reads import own_reads

PAGE_LIMIT = integer_parameter(
    "limit", "Maximum number of requests on the page.", minimum=1, maximum=MAX_PAGE, default=50
)
PAGE_CURSOR = pattern_parameter("cursor", "`nextCursor` of the page before.", CURSOR, "one unchanged nextCursor")


ROW_ID = replace(
    integer_parameter(
        "id", "The row id of the request in this database.", minimum=0, maximum=MAX_INT64, default=0, location="path"
    ),
    remedy=f"one whole number from 0 to {MAX_INT64}, or ask for the gateway's own id: /v1/requests?requestId=...",
)


EXPORT_FORMAT = choice_parameter("format", "File format.", tuple(MEDIA_TYPES), default="csv")


class ExtentReply(msgspec.Struct, frozen=True):
    """When the log begins and ends."""

    oldest: int | None
    """Time of the oldest request, in ms since the epoch, UTC; None when the log is empty."""
    newest: int | None
    """Time of the newest request; for a key with a caller, of its newest among the last 10,000."""


class RequestEndpoints:
    """The routes of single requests."""

    def __init__(self, chainlog: ChainLog, counters: ServiceCounters) -> None:
        self._chainlog = chainlog
        self._exports = StreamLimit("exports", chainlog.settings.server, counters)

    def operations(self) -> list[Operation]:
        """Returns the routes."""
        return [
            Operation(
                "/v1/requests",
                self.find_requests,
                RequestPage,
                (*REQUEST_FILTERS, PAGE_LIMIT, PAGE_CURSOR),
                needs="read",
            ),
            Operation(
                "/v1/requests/export",
                self.export_requests,
                parameters=(*REQUEST_FILTERS, EXPORT_FORMAT),
                other_answers={501: ErrorReply},
                media_types=tuple(MEDIA_TYPES.values()),
                needs="read",
            ),
            Operation("/v1/extent", self.get_extent, ExtentReply, needs="read"),
            Operation(
                "/v1/requests/{id}", self.get_request, RequestLogRow, (ROW_ID,), other_answers=NOT_FOUND, needs="read"
            ),
        ]

    async def find_requests(self, request: Request, parameters: ParsedParameters) -> Response:
        """Requests that match all filters, newest first.

        A page reads a bounded number of rows. When few of them match it may be short, or empty, and still have a
        `nextCursor` to continue with; `searchedBackTo` then tells how far the search has come.
        """
        page = await own_reads(request, self._chainlog).find_requests(
            filter_of(parameters), limit=parameters[PAGE_LIMIT], cursor=parameters[PAGE_CURSOR]
        )
        return json_reply(page)

    async def export_requests(self, request: Request, parameters: ParsedParameters) -> Response:
        """All requests that match the filters, newest first, as a file."""
        file_format = parameters[EXPORT_FORMAT]
        with ExitStack() as place:
            place.enter_context(self._exports.place(request))
            pieces = export_requests(own_reads(request, self._chainlog), filter_of(parameters), file_format)
            # The first piece is read before the headers are sent, so that an early error gets its own status.
            begun = _prepend(await anext(pieces, b""), pieces)
            name = {"Content-Disposition": f'attachment; filename="requests.{file_format}"'}
            kept = place.pop_all()
        return await self._exports.reply(request, begun, MEDIA_TYPES[file_format], kept, headers=name)

    async def get_extent(self, request: Request, _parameters: ParsedParameters) -> Response:
        """The times of the oldest and the newest request of the log."""
        reads = own_reads(request, self._chainlog)
        newest = (await reads.find_requests(RequestFilter(), limit=1)).requests
        return json_reply(ExtentReply(await reads.get_oldest_timestamp(), newest[0].timestamp if newest else None))

    async def get_request(self, request: Request, parameters: ParsedParameters) -> Response:
        """One request in full, including its attempts."""
        found = await own_reads(request, self._chainlog).get_request(parameters[ROW_ID])
        if found is None:
            raise ApiError(
                404, f"there is no request {parameters[ROW_ID]}; it may have been pruned", "not_found", param="id"
            )
        return json_reply(found)


async def _prepend(first: bytes, rest: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    async with aclosing(rest):
        yield first
        async for piece in rest:
            yield piece
