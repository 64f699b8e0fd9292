"""``GET /v1/requests/stream``: new requests as server-sent events."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import ExitStack

from starlette.requests import Request
from starlette.responses import Response

from chainlog_async.chainlog import ChainLog
from chainlog_async.common.clock import MAX_INT64
from chainlog_async.errors import ClosedError, DatabaseError
from chainlog_async.requests.filter import RequestFilter, matches
from chainlog_async.server.counters import ServiceCounters
from chainlog_async.server.http.operation import Operation
from chainlog_async.server.http.parameters import ParsedParameters, integer_parameter
from chainlog_async.server.http.request_filters import FIELD_FILTERS, filter_of
from chainlog_async.server.http.streamed_reply import MAX_PIECE_BYTES, StreamLimit
from chainlog_async.server.live_feed import LiveFeed
from chainlog_async.server.own_reads import own_filter

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


class EventEndpoints:
    """The route that streams new requests."""

    def __init__(self, chainlog: ChainLog, counters: ServiceCounters) -> None:
        self._feed = LiveFeed(chainlog)
        self._watchers = StreamLimit("watchers", chainlog.settings.server, counters)

    def operations(self) -> list[Operation]:
        """Returns the routes."""
        path = "/v1/requests/stream"
        return [
            Operation(
                path,
                self.stream_requests,
                parameters=(*FIELD_FILTERS, LAST_EVENT_ID),
                media_types=("text/event-stream",),
                needs="read",
            )
        ]

    def stop(self) -> None:
        """Ends every stream."""
        self._feed.stop()

    async def stream_requests(self, request: Request, parameters: ParsedParameters) -> Response:
        """New requests as they are stored, as server-sent events.

        Each event is named `request`; its id is that of the request and its data the request as JSON. After 15 seconds
        without an event a comment is sent. A client that lost the connection sends `Last-Event-ID` and misses nothing;
        one that reads slowly gets the events later, and one that reads nothing for a while is disconnected. 503 when
        there are too many clients.
        """
        where, seen = own_filter(request, filter_of(parameters)), parameters[LAST_EVENT_ID]
        with ExitStack() as place:
            place.callback(self._end_watching)
            place.enter_context(self._watchers.place(request))
            newest = await self._feed.newest_id()
            # An id beyond the newest is from another file, so the stream starts with new requests.
            begin = newest if not 0 <= seen <= newest else seen
            kept = place.pop_all()
        return await self._watchers.reply(request, self._events(where, begin), "text/event-stream", kept)

    def _end_watching(self) -> None:
        if not self._watchers.taken:
            self._feed.forget()

    async def _events(self, where: RequestFilter, seen: int) -> AsyncGenerator[bytes]:
        yield b"retry: %d\nid: %d\n\n" % (RECONNECT_MS, seen)
        spoke_at = time.monotonic()
        while not self._feed.stopped:
            try:
                events, seen = await self._events_after(seen, where)
            except (DatabaseError, ClosedError) as error:
                yield f": {' '.join(str(error).split())}\n\n".encode()
                return
            if not events and time.monotonic() - spoke_at >= HEARTBEAT_INTERVAL_S:
                # With the id, so that a client that reconnects skips what the filter has left out.
                events = b": nothing new\nid: %d\n\n" % seen
            if events:
                yield events
                spoke_at = time.monotonic()

    async def _events_after(self, seen: int, where: RequestFilter) -> tuple[bytes, int]:
        """Returns events for about one piece, and the id up to which they go.

        The requests are dropped before the events are sent: for a client that does not read, nothing else is held, and
        what was left out is looked up again.
        """
        new, seen = await self._feed.after(seen)
        events: list[bytes] = []
        size = 0
        for each in new:
            if matches(each.request, where):
                events.append(each.event)
                size += len(each.event)
                if size >= MAX_PIECE_BYTES:
                    return b"".join(events), each.request.id
        return b"".join(events), seen
