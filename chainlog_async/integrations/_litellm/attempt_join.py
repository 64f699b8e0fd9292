"""Which tries are one request: failed ones wait a while for the try that ends their request.

LiteLLM names neither the request nor its end. What there is:

- Tries of one request have the same trace id, but so have other requests of the same session, even at the same time.
  Within a request every try under the Router has a higher number than the one before (fallbacks, then retries), so a
  try belongs to a waiting request that has not come as far, and number (0, 0) begins a new one.
- A call without the Router has no number. Its tries have the same call id, and so have all tries under the proxy.
- A success ends its request. The proxy says when a request has failed for good; elsewhere nobody does, and the request
  has failed when no other try came for longer than LiteLLM ever sleeps between two.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

import msgspec

from chainlog_async.entry.model import RequestLogEntry

from .entry import entry_of
from .payload import AttemptPosition, ReportedAttempt

FAILED_HOLD_S = 5.0
"""How long a failed try waits for the next when nothing makes LiteLLM sleep between them, in seconds."""

RETRY_HOLD_S = 75.0
"""The same where LiteLLM may heed a Retry-After, of which it takes up to 60 s."""

RUNNING_HOLD_S = 900.0
"""Longest wait for the end of a try that has begun, in seconds."""

MAX_WAITING_REQUESTS = 10_000
"""How many requests may wait; beyond that the oldest has failed."""

MAX_REMEMBERED_EVENTS = 20_000
"""How many events and ended calls are remembered, so that what LiteLLM reports twice is one row."""


class _Request:
    """A request that has failed so far."""

    def __init__(self) -> None:
        self.tries: list[ReportedAttempt] = []
        self.names: set[str] = set()
        """Its call ids and trace ids."""
        self.until = 0.0
        """When it has failed for good, on the monotonic clock."""

    @property
    def position(self) -> AttemptPosition | None:
        return self.tries[-1].position

    def is_continued_by(self, item: ReportedAttempt) -> bool:
        """Whether the try can be the next of this request."""
        if item.position is None or self.position is None:
            return any(item.call_id == known.call_id for known in self.tries)
        return self.position < item.position

    def is_described_by(self, item: ReportedAttempt) -> bool:
        """Whether the last try is the same one, known from its exception alone so far."""
        last = self.tries[-1]
        return (
            last.is_partial and not item.is_partial and (last.call_id, last.position) == (item.call_id, item.position)
        )


class AttemptJoin:
    """Joins tries into entries, which it hands to `emit`. Any thread may call it."""

    def __init__(
        self,
        emit: Callable[[RequestLogEntry], object],
        *,
        max_waiting: int = MAX_WAITING_REQUESTS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._emit = emit
        self._max_waiting = max_waiting
        self._clock = clock
        self._lock = threading.Lock()
        self._by_id: dict[str, list[_Request]] = {}
        """Waiting requests by call id and by trace id."""
        self._waiting: dict[_Request, None] = {}
        self._seen: OrderedDict[tuple[object, ...], None] = OrderedDict()

    def __len__(self) -> int:
        """How many requests wait."""
        return len(self._waiting)

    def failed(self, item: ReportedAttempt) -> None:
        """Takes in a try that failed; its request may go on."""
        ended: list[_Request] = []
        with self._lock:
            if self._is_known(item):
                return
            request = self._find(item, _Request.is_described_by)
            if request is not None:
                request.tries.pop()
            else:
                request = self._find(item, _Request.is_continued_by) or _Request()
            request.tries.append(item)
            request.until = self._clock() + (RETRY_HOLD_S if item.may_pause else FAILED_HOLD_S)
            self._keep(request, item)
            while len(self._waiting) > self._max_waiting:
                ended.append(self._remove(next(iter(self._waiting))))
        self._end(ended)

    def succeeded(self, item: ReportedAttempt) -> None:
        """Takes in the try that answered: its request is one row now."""
        with self._lock:
            if self._is_known(item):
                return
            request = self._find(item, _Request.is_continued_by) or _Request()
            self._remove(request)
            request.tries.append(item)
            # A guardrail may still refuse the answer; the row says what the provider did.
            self._remember(("ended", item.call_id))
        self._end([request])

    def refused(self, item: ReportedAttempt) -> None:
        """Takes in the end of a request that failed for good, as the proxy told its client.

        Its last try is known as a rule; `item` stands for it when there was none, as when every deployment cools down.
        """
        with self._lock:
            request = next(iter(self._by_id.get(item.call_id, ())), None)
            if request is not None:
                self._remove(request)
            elif ("ended", item.call_id) in self._seen:
                return
            self._remember(("ended", item.call_id))
        if request is not None:
            self._emit(entry_of(request.tries, status=item.status))
        else:
            self._emit(entry_of([msgspec.structs.replace(item, called_no_provider=True)]))

    def began(self, call_id: str, trace_id: str) -> None:
        """Notes that another try is under way: the request it continues waits for its end, however long that takes."""
        # Nearly always nothing waits under these names; looking needs no lock.
        if call_id not in self._by_id and trace_id not in self._by_id:
            return
        with self._lock:
            for request in self._by_id.get(call_id, self._by_id.get(trace_id, [])):
                request.until = self._clock() + RUNNING_HOLD_S

    def expire(self) -> None:
        """Ends the requests for which no other try came in time."""
        if not self._waiting:
            return
        now = self._clock()
        with self._lock:
            ended = [self._remove(request) for request in list(self._waiting) if request.until <= now]
        self._end(ended)

    def flush(self) -> None:
        """Ends every request that waits."""
        with self._lock:
            ended = [self._remove(request) for request in list(self._waiting)]
        self._end(ended)

    def _end(self, requests: list[_Request]) -> None:
        for request in requests:
            self._emit(entry_of(request.tries))

    def _is_known(self, item: ReportedAttempt) -> bool:
        """Whether LiteLLM reports the same event again: some come both through the async and the sync callback."""
        if item.is_partial:
            return False
        key = (item.call_id, item.started_s, item.status)
        known = key in self._seen
        self._remember(key)
        return known

    def _remember(self, key: tuple[object, ...]) -> None:
        self._seen[key] = None
        if len(self._seen) > MAX_REMEMBERED_EVENTS:
            self._seen.popitem(last=False)

    def _find(self, item: ReportedAttempt, matches: Callable[[_Request, ReportedAttempt], bool]) -> _Request | None:
        """The waiting request that the try fits best: by its call id, else the one that has come furthest."""
        for name in (item.call_id, item.trace_id):
            fitting = [request for request in self._by_id.get(name, ()) if matches(request, item)]
            if fitting:
                return max(fitting, key=lambda request: request.position or (0, 0))
        return None

    def _keep(self, request: _Request, item: ReportedAttempt) -> None:
        self._waiting[request] = None
        for name in {item.call_id, item.trace_id} - request.names:
            self._by_id.setdefault(name, []).append(request)
            request.names.add(name)

    def _remove(self, request: _Request) -> _Request:
        self._waiting.pop(request, None)
        for name in request.names:
            named = self._by_id[name]
            named.remove(request)
            if not named:
                del self._by_id[name]
        request.names.clear()
        return request
