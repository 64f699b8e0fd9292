"""New requests for all streaming clients: the database is polled once, however many clients there are."""

from __future__ import annotations

from collections import deque

import anyio
import msgspec

from chainlog_async.chainlog import ChainLog
from chainlog_async.requests.model import RequestLogRow

FEED_POLL_INTERVAL_S = 0.25
"""Time between two polls of the database while a client streams, in seconds."""

MAX_FEED_KEPT_REQUESTS = 1_000
"""How many of the newest requests are kept for all clients together."""

MAX_FEED_KEPT_BYTES = 4 * 1024 * 1024
"""Size of their events above which fewer are kept, in bytes."""

MAX_FEED_PAGE_REQUESTS = 500
"""How many requests one poll may read."""

MAX_FEED_BEHIND_REQUESTS = 100
"""How many requests a client that is further behind reads at a time."""

_encode = msgspec.json.Encoder().encode


class NewRequest:
    """A request and, encoded once for all clients, its event."""

    __slots__ = ("_event", "request")

    def __init__(self, request: RequestLogRow) -> None:
        self.request = request
        self._event: bytes | None = None

    @property
    def event(self) -> bytes:
        """The request as a server-sent event."""
        if self._event is None:
            self._event = b"event: request\nid: %d\ndata: %b\n\n" % (self.request.id, _encode(self.request))
        return self._event


class LiveFeed:
    """The newest requests, by id.

    A client has no buffer here, only the id up to which it has seen everything. One that falls behind what is kept
    reads the rest from the database, at its own pace: it uses no memory and misses nothing.
    """

    def __init__(self, chainlog: ChainLog) -> None:
        self._chainlog = chainlog
        self._poll_lock = anyio.Lock()
        self._polls = 0
        self._resets = 0
        self._has_more = False
        self._pause: anyio.CancelScope | None = None
        self._kept: deque[NewRequest] = deque()
        self._kept_bytes = 0
        # Every request with an id above _after_id and up to _up_to_id is kept.
        self._after_id = self._up_to_id = 0
        self.stopped = False
        """Whether every stream shall end."""

    def stop(self) -> None:
        """Ends all streams at once."""
        self.stopped = True
        if self._pause is not None:
            self._pause.cancel()

    def forget(self) -> None:
        """Frees what is kept, for when no client is left."""
        self._reset_to(self._up_to_id)

    async def newest_id(self) -> int:
        """Returns the id from which a client sees only new requests."""
        return await self._chainlog.usage.get_newest_id()

    async def after(self, seen: int) -> tuple[list[NewRequest], int]:
        """Returns the requests after the id `seen`, and the id up to which everything has then been seen.

        Waits briefly for new ones; the list may still be empty. Raises `DatabaseError` or `ClosedError`.
        """
        resets = self._resets
        if seen >= self._up_to_id:
            await self._poll(seen)
        if self._resets != resets:
            return [], self._up_to_id
        if seen < self._after_id:
            rows = await self._chainlog.usage.get_requests_after(seen, limit=MAX_FEED_BEHIND_REQUESTS)
            new = list(map(NewRequest, rows))
        else:
            new = [each for each in self._kept if each.request.id > seen]
        return new, new[-1].request.id if new else seen

    async def _poll(self, seen: int) -> None:
        polls = self._polls
        async with self._poll_lock:
            if polls != self._polls or self.stopped:
                # Another client has polled while this one waited for the lock.
                return
            if seen > self._up_to_id:
                self._reset_to(seen)
            if not self._has_more:
                with anyio.CancelScope() as self._pause:
                    await anyio.sleep(FEED_POLL_INTERVAL_S)
                self._pause = None
            rows = await self._chainlog.usage.get_requests_after(self._up_to_id, limit=MAX_FEED_PAGE_REQUESTS)
            self._has_more = len(rows) == MAX_FEED_PAGE_REQUESTS
            if rows:
                self._keep(rows)
            elif (newest := await self.newest_id()) < self._up_to_id:
                # The file at the path was replaced, or every request was pruned.
                self._resets += 1
                self._reset_to(newest)
            self._polls += 1

    def _reset_to(self, seen: int) -> None:
        self._kept.clear()
        self._kept_bytes = 0
        self._after_id = self._up_to_id = seen

    def _keep(self, rows: list[RequestLogRow]) -> None:
        for new in map(NewRequest, rows):
            self._kept.append(new)
            self._kept_bytes += len(new.event)
        self._up_to_id = rows[-1].id
        while len(self._kept) > MAX_FEED_KEPT_REQUESTS or self._kept_bytes > MAX_FEED_KEPT_BYTES:
            oldest = self._kept.popleft()
            self._kept_bytes -= len(oldest.event)
            self._after_id = oldest.request.id
