"""``GET /v1/requests/stream``: new requests as server-sent events."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from chainlog_async.chainlog import ChainLog
from chainlog_async.common.clock import MAX_INT64
from chainlog_async.errors import ClosedError, DatabaseError
from chainlog_async.requests.filter import RequestFilter, matches
from chainlog_async.requests.model import RequestLogRow
from chainlog_async.server.http.operation import Operation
from chainlog_async.server.http.parameters import ParsedParameters, integer_parameter
from chainlog_async.server.http.request_filters import FIELD_FILTERS, filter_of
from chainlog_async.server.http.responses import ApiError, streamed_reply
from chainlog_async.server.live_feed import LiveFeed

MAX_STREAMS = 100
"""How many clients may stream at once."""

HEARTBEAT_INTERVAL_S = 15.0
"""Maximum silence on a stream, in seconds: proxies close idle connections."""

RECONNECT_MS = 2_000
"""How long a browser waits before it reconnects after a lost connection."""

NO_EVENT_ID = -1
LAST_EVENT_ID = integer_parameter(
    "Last-Event-ID",
    "The id of the last event received: the stream continues with the next one instead of starting with new requests.",
    minimum=0,
    maximum=MAX_INT64,
    default=NO_EVENT_ID,
    location="header",
)

_encode = msgspec.json.Encoder().encode


class EventEndpoints:
    """The route that streams new requests."""

    def __init__(self, chainlog: ChainLog) -> None:
        self._feed = LiveFeed(chainlog)
        self._streams = 0

    def operations(self) -> list[Operation]:
        """Returns the routes."""
        path = "/v1/requests/stream"
        return [
            Operation(
                path,
                self.stream_requests,
                parameters=(*FIELD_FILTERS, LAST_EVENT_ID),
                media_types=("text/event-stream",),
            )
        ]

    def stop(self) -> None:
        """Ends every stream."""
        self._feed.stop()

    async def stream_requests(self, request: Request, parameters: ParsedParameters) -> Response:
        """New requests as they are stored, as server-sent events.

        Each event is named `request`; its id is that of the request and its data the request as JSON. After 15 seconds
        without an event a comment is sent. A client that lost the connection sends `Last-Event-ID` and misses nothing;
        one that reads slowly gets the events later.
        """
        if self._streams >= MAX_STREAMS:
            raise ApiError(503, f"{MAX_STREAMS} clients are streaming already; try again later", "too_many_streams")
        where, seen = filter_of(parameters), parameters[LAST_EVENT_ID]
        newest = await self._feed.newest_id()
        # An id beyond the newest is from another file, so the stream starts with new requests.
        begin = newest if not 0 <= seen <= newest else seen
        return await streamed_reply(request, self._events(where, begin), "text/event-stream")

    async def _events(self, where: RequestFilter, seen: int) -> AsyncGenerator[bytes]:
        self._streams += 1
        try:
            yield b"retry: %d\nid: %d\n\n" % (RECONNECT_MS, seen)
            spoke_at = time.monotonic()
            while not self._feed.stopped:
                try:
                    requests, seen = await self._feed.after(seen)
                except (DatabaseError, ClosedError) as error:
                    yield f": {' '.join(str(error).split())}\n\n".encode()
                    return
                events = b"".join(_event(request) for request in requests if matches(request, where))
                if not events and time.monotonic() - spoke_at >= HEARTBEAT_INTERVAL_S:
                    # With the id, so that a client that reconnects skips what the filter has left out.
                    events = b": nothing new\nid: %d\n\n" % seen
                if events:
                    yield events
                    spoke_at = time.monotonic()
        finally:
            self._streams -= 1


def _event(request: RequestLogRow) -> bytes:
    return b"event: request\nid: %d\ndata: %b\n\n" % (request.id, _encode(request))
