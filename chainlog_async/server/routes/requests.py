"""``GET /v1/requests…``: requests by filters, page by page, one whole, or all of them as a file."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from starlette.requests import Request
from starlette.responses import Response

from chainlog_async.chainlog import ChainLog
from chainlog_async.common.clock import MAX_INT64
from chainlog_async.requests.cursor import CURSOR, MAX_PAGE
from chainlog_async.requests.export import MEDIA_TYPES, export_requests
from chainlog_async.requests.model import RequestLogRow, RequestPage
from chainlog_async.server.http.operation import MISSING, Operation
from chainlog_async.server.http.parameters import Given, choice, pattern, whole
from chainlog_async.server.http.request_filters import FILTER, filter_of
from chainlog_async.server.http.responses import ApiError, ErrorReply, json_reply, streamed_reply

LIMIT = whole("limit", "Most requests on the page.", least=1, most=MAX_PAGE, default=50)
AT = pattern("cursor", "The page before's `nextCursor`.", CURSOR, "one nextCursor as it came")


ID = whole("id", "The request's number in this database.", least=0, most=MAX_INT64, default=0, place="path")


FORMAT = choice("format", "What kind of file.", tuple(MEDIA_TYPES), default="csv")


class RequestEndpoints:
    """What is asked about single requests."""

    def __init__(self, chainlog: ChainLog) -> None:
        self._chainlog = chainlog

    def operations(self) -> list[Operation]:
        """The routes."""
        return [
            Operation("/v1/requests", self.find_requests, RequestPage, (*FILTER, LIMIT, AT)),
            Operation(
                "/v1/requests/export",
                self.export_requests,
                parameters=(*FILTER, FORMAT),
                others={501: ErrorReply},
                media_types=tuple(MEDIA_TYPES.values()),
            ),
            Operation("/v1/requests/{id}", self.get_request, RequestLogRow, (ID,), others=MISSING),
        ]

    async def find_requests(self, _request: Request, given: Given) -> Response:
        """The requests that all filters let through, newest first.

        A page looks at a bounded number of rows. When few of them match it may be short, or empty, and still have a
        `nextCursor` to go on with; `searchedBackTo` then says how far it came.
        """
        page = await self._chainlog.usage.find_requests(filter_of(given), limit=given[LIMIT], cursor=given[AT])
        return json_reply(page)

    async def export_requests(self, request: Request, given: Given) -> Response:
        """All requests that the filters let through, newest first, as a file."""
        file_format = given[FORMAT]
        pieces = export_requests(self._chainlog.usage, filter_of(given), file_format)
        # Made before the headers are sent, so that what is wrong from the start has its status.
        begun = _begin_again(await anext(pieces, b""), pieces)
        name = {"Content-Disposition": f'attachment; filename="requests.{file_format}"'}
        return await streamed_reply(request, begun, MEDIA_TYPES[file_format], headers=name)

    async def get_request(self, _request: Request, given: Given) -> Response:
        """One request with everything that is known of it, its tries included."""
        request = await self._chainlog.usage.get_request(given[ID])
        if request is None:
            raise ApiError(404, f"there is no request {given[ID]}; it may have been pruned", "not_found", param="id")
        return json_reply(request)


async def _begin_again(first: bytes, rest: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    async with aclosing(rest):
        yield first
        async for piece in rest:
            yield piece
