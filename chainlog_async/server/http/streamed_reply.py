"""Responses that are produced while they are sent: how many at once, in what pieces, and to clients that read them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, aclosing, contextmanager

import anyio
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from chainlog_async.server.counters import ServiceCounters, StreamKind
from chainlog_async.settings import ServerSettings

from .responses import ApiError, closing_headers

MAX_PIECE_BYTES = 32 * 1024
"""Maximum size of what is handed to the server at a time, in bytes."""

WRITE_GRACE_S = 1.0
"""How much longer than ``write_timeout_ms`` a piece may take, in seconds: `chainlog serve`, which also frees the
connection, goes first."""

RETRY_AFTER_S = 5

_CODES: dict[StreamKind, str] = {"watchers": "too_many_streams", "exports": "too_many_exports"}


class StreamLimit:
    """How many responses of one kind may be streamed at once, and how long a client may read nothing of one."""

    def __init__(self, kind: StreamKind, settings: ServerSettings, counters: ServiceCounters) -> None:
        self._kind: StreamKind = kind
        self._most = settings.max_watchers if kind == "watchers" else settings.max_exports
        self._write_timeout_s = settings.write_timeout_ms / 1000
        self._counters = counters

    @property
    def taken(self) -> int:
        """How many places are taken."""
        return self._counters.streams[self._kind]

    @contextmanager
    def place(self, request: Request) -> Iterator[None]:
        """Holds one of the places. Raises `ApiError` (503) when all are taken."""
        if self.taken >= self._most:
            self._counters.refused[self._kind] += 1
            raise ApiError(
                503,
                f"there are {self._most} {self._kind} already; try again later, or raise server.max_{self._kind}",
                _CODES[self._kind],
                headers={"Retry-After": str(RETRY_AFTER_S), **closing_headers(request)},
            )
        self._counters.streams[self._kind] += 1
        try:
            yield
        finally:
            self._counters.streams[self._kind] -= 1

    async def reply(
        self,
        request: Request,
        pieces: AsyncGenerator[bytes],
        media_type: str,
        place: ExitStack,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Returns a response that is produced while it is sent and must not be cached; for HEAD, only its headers.

        ``place``, which holds a `place`, is closed at its end.
        """
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", **(headers or {})}
        if request.method == "HEAD":
            with place:
                await pieces.aclose()
            return Response(headers=headers, media_type=media_type)
        return _Streamed(pieces, place, self._write_timeout_s, self._counters, headers=headers, media_type=media_type)


class _Streamed(StreamingResponse):
    """Closes its source when the client disconnects, and ends when the client reads nothing for too long."""

    def __init__(
        self,
        pieces: AsyncGenerator[bytes],
        place: AbstractContextManager[object],
        write_timeout_s: float,
        counters: ServiceCounters,
        *,
        headers: Mapping[str, str],
        media_type: str,
    ) -> None:
        super().__init__(_small(pieces), headers=headers, media_type=media_type)
        self._pieces = pieces
        self._place = place
        self._send_timeout_s = write_timeout_s + WRITE_GRACE_S
        self._counters = counters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._place, anyio.CancelScope() as until_it_stops_reading:

            async def send_in_time(message: Message) -> None:
                with anyio.move_on_after(self._send_timeout_s) as waiting:
                    await send(message)
                if waiting.cancelled_caught:
                    self._counters.disconnected["write_timeout"] += 1
                    until_it_stops_reading.cancel()
                    await anyio.lowlevel.checkpoint()

            async with aclosing(self._pieces):
                await super().__call__(scope, receive, send_in_time)


async def _small(pieces: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    async with aclosing(pieces):
        async for piece in pieces:
            for start in range(0, len(piece), MAX_PIECE_BYTES):
                # The server waits only when its own buffer is full; other clients need turns before that.
                await anyio.lowlevel.checkpoint()
                yield piece[start : start + MAX_PIECE_BYTES]
