"""The connections of `chainlog serve`: how many there are, how long they may keep it waiting, what they may hold."""

from __future__ import annotations

import asyncio
import sys
from http import HTTPStatus
from typing import Literal

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from chainlog_async.server.counters import Disconnection, ServiceCounters
from chainlog_async.server.http.responses import ApiError
from chainlog_async.settings import ServerSettings

BODY_GRACE_S = 1.0
"""How much longer than ``body_timeout_ms`` a connection is kept, in seconds: the application answers with 408 first."""

REFUSED_LINGER_S = 1.0
"""How long a refused connection stays open for the client to read why, in seconds."""

MAX_LINGERING = 50
"""How many refused connections may stay open; further ones are closed without an answer."""

RETRY_AFTER_S = 1

SPARE_FILES = 64
"""Open files besides connections and readers: the database, the journal, the listening socket, and some to spare."""

FILES_PER_READER = 3

Phase = Literal["headers", "body", "refused"]
"""What a connection waits for from its client, for a limited time."""


def possible_connections(settings: ServerSettings, max_readers: int) -> int:
    """Returns how many connections the limit of open files has room for, at most ``max_connections``.

    Without such a bound, connections could use up the files that the database needs.
    """
    if sys.platform == "win32":
        return settings.max_connections
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return settings.max_connections
    room = soft - MAX_LINGERING - SPARE_FILES - FILES_PER_READER * max_readers
    return max(1, min(settings.max_connections, room))


class ConnectionLimits:
    """What the connections of one service have in common."""

    def __init__(self, settings: ServerSettings, max_connections: int, counters: ServiceCounters) -> None:
        self.counters = counters
        self.max_connections = max_connections
        self.lingering = 0
        self.write_timeout_s = settings.write_timeout_ms / 1000
        self.timeouts_s: dict[Phase, float] = {
            "headers": settings.header_timeout_ms / 1000,
            "body": settings.body_timeout_ms / 1000 + BODY_GRACE_S,
            "refused": REFUSED_LINGER_S,
        }
        self._max_unread_bytes = settings.max_buffered_bytes
        # In the order in which they stopped reading.
        self._unread: dict[LimitedConnection, None] = {}

    def add_unread(self, connection: LimitedConnection) -> None:
        """Notes a client that has not read everything, and disconnects others while all hold too much."""
        self._unread[connection] = None
        while self._count_unread() > self._max_unread_bytes and len(self._unread) > 1:
            next(iter(self._unread)).disconnect("unread_bytes")

    def remove_unread(self, connection: LimitedConnection) -> None:
        """Notes a client that has read everything, or is gone."""
        self._unread.pop(connection, None)
        self._count_unread()

    def _count_unread(self) -> int:
        self.counters.unread_bytes = sum(each.transport.get_write_buffer_size() for each in self._unread)
        return self.counters.unread_bytes


class LimitedConfig(uvicorn.Config):
    """uvicorn's configuration, with the limits that its connections find there."""

    limits: ConnectionLimits


class LimitedConnection(H11Protocol):
    """uvicorn's connection, closed when its client sends its request, or reads its response, too slowly."""

    def __init__(
        self,
        config: LimitedConfig,
        server_state: ServerState,
        app_state: dict[str, object],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._limits = config.limits
        self._is_refused = False
        self._waiting_for: tuple[Phase, object] | None = None
        self._request_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Serves the connection, or refuses it when there are too many."""
        super().connection_made(transport)
        # So that `pause_writing` is called for every byte that the client does not read.
        transport.set_write_buffer_limits(high=0)
        counters = self._limits.counters
        if counters.connections >= self._limits.max_connections:
            self._refuse()
        else:
            counters.connections += 1
        self._watch_request()

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends what was noted about the connection."""
        if self._is_refused:
            self._limits.lingering -= 1
        else:
            self._limits.counters.connections -= 1
        for timer in (self._request_timer, self._write_timer):
            if timer is not None:
                timer.cancel()
        self._limits.remove_unread(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Continues the request; what a refused client sends is ignored."""
        if not self._is_refused:
            super().data_received(data)
            self._watch_request()

    def on_response_complete(self) -> None:
        """Begins the next request."""
        super().on_response_complete()
        self._watch_request()

    def pause_writing(self) -> None:
        """Notes that the client does not read everything at once."""
        super().pause_writing()
        if self._write_timer is None:
            self._watch_reading()
        self._limits.add_unread(self)

    def resume_writing(self) -> None:
        """Notes that the client has read everything."""
        super().resume_writing()
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None
        self._limits.remove_unread(self)

    def disconnect(self, reason: Disconnection) -> None:
        """Closes the connection at once, with what its client has not read."""
        self._limits.counters.disconnected[reason] += 1
        self.transport.abort()
        self._limits.remove_unread(self)

    def _phase(self) -> Phase | None:
        if self._is_refused:
            return "refused"
        state = self.conn.their_state
        if state is h11.SEND_BODY:
            return "body"
        # Between two requests, uvicorn closes an idle connection by itself, until the first byte arrives.
        if state is h11.IDLE and (self.cycle is None or self.conn.trailing_data[0]):
            return "headers"
        return None

    def _watch_request(self) -> None:
        phase = self._phase()
        waiting_for = None if phase is None else (phase, self.cycle)
        if waiting_for == self._waiting_for:
            return
        self._waiting_for = waiting_for
        if self._request_timer is not None:
            self._request_timer.cancel()
            self._request_timer = None
        if phase is not None and not self.transport.is_closing():
            self._request_timer = self.loop.call_later(self._limits.timeouts_s[phase], self._end, phase)

    def _end(self, phase: Phase) -> None:
        if phase == "refused":
            self.transport.abort()
        elif phase == "body":
            self.disconnect("body_timeout")
        elif self.transport.is_closing() or not self.conn.trailing_data[0]:
            # To a client that has sent nothing, such as a browser that connects ahead of time, there is nothing to say.
            self.disconnect("header_timeout")
        else:
            self._limits.counters.disconnected["header_timeout"] += 1
            self._answer(
                ApiError(
                    408,
                    f"the headers did not arrive within {self._limits.timeouts_s['headers'] * 1000:.0f} ms; send them "
                    "at once, or raise server.header_timeout_ms",
                    "header_timeout",
                    headers={"Connection": "close"},
                )
            )
            self.transport.close()

    def _watch_reading(self, unread: int | None = None) -> None:
        """Checks after every write timeout whether the client has read anything meanwhile."""
        left = self.transport.get_write_buffer_size()
        if unread is not None and (left >= unread or self._is_cut_short()):
            self.disconnect("write_timeout")
        else:
            self._write_timer = self.loop.call_later(self._limits.write_timeout_s, self._watch_reading, left)

    def _is_cut_short(self) -> bool:
        return self.transport.is_closing() and self.cycle is not None and not self.cycle.response_complete

    def _refuse(self) -> None:
        self._is_refused = True
        self._limits.counters.refused["connections"] += 1
        self._limits.lingering += 1
        if self._limits.lingering > MAX_LINGERING:
            self.transport.abort()
            return
        most = self._limits.max_connections
        self._answer(
            ApiError(
                503,
                f"there are {most} connections already; try again later, or raise server.max_connections",
                "too_many_connections",
                headers={"Retry-After": str(RETRY_AFTER_S), "Connection": "close"},
            )
        )
        # Closed at once, with a request unread, the connection would be reset, and the answer lost.
        self.transport.write_eof()

    def _answer(self, error: ApiError) -> None:
        reply = error.reply()
        response = h11.Response(
            status_code=error.status, headers=reply.raw_headers, reason=HTTPStatus(error.status).phrase
        )
        for event in (response, h11.Data(data=bytes(reply.body)), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
