"""Joins attempts into requests: failed ones wait for the attempt that ends their request.

LiteLLM identifies neither the request nor its end. What it offers:

- Attempts of one request have the same trace id, but so have other requests of the same session, even concurrent ones.
  Under the Router each attempt of a request has a higher position than the one before (fallbacks, then retries), so an
  attempt belongs to a waiting request with a lower position, and position (0, 0) starts a new one.
- A call without the Router has no position. Its attempts have the same call id, as have all attempts under the proxy.
- A stream that breaks off is reported late, with the position and the provider of the fallback that follows; what it
  was is only known from its beginning.
- For Gemini's route and a model of another provider, LiteLLM makes an inner call, with a call id of its own and without
  a position, but with the trace id of the Router. Its failures are reported for the outer call as well, its success is
  not.
- A success ends its request. The proxy reports when a request has finally failed; otherwise nothing does, and the
  request has failed when no further attempt came for longer than LiteLLM ever sleeps between two.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

import msgspec

from chainlog_async.entry.model import RequestLogEntry

from .attempt import UNKNOWN_PROVIDER, AttemptPosition, BegunAttempt, ReportedAttempt
from .entry import entry_of

FAILED_HOLD_S = 5.0
"""How long a failed attempt waits for the next one when LiteLLM does not sleep between them, in seconds."""

RETRY_HOLD_S = 75.0
"""How long it waits when LiteLLM may honour a Retry-After header, of which it accepts up to 60 s, in seconds.

Also how long a request of the proxy waits for its end.
"""

SAME_TIME_S = 0.1
"""How far the next attempt may overlap the one before, because their times are rounded, in seconds."""

RUNNING_HOLD_S = 900.0
"""How long it waits for the end of an attempt that has begun, in seconds."""

MAX_WAITING_REQUESTS = 10_000
"""How many requests may wait; beyond that the oldest is logged as failed."""

MAX_REMEMBERED_EVENTS = 20_000
"""How many events, ended calls and begun streams are remembered each."""


_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class _Request:
    """A request whose attempts have all failed so far."""

    def __init__(self) -> None:
        self.attempts: list[ReportedAttempt] = []
        self.names: set[str] = set()
        """Its call ids and trace ids."""
        self.since = 0.0
        """When its first attempt was added, on the monotonic clock."""
        self.until = 0.0
        """When it counts as finally failed, on the monotonic clock."""

    @property
    def position(self) -> AttemptPosition | None:
        return self.attempts[-1].position

    def is_continued_by(self, item: ReportedAttempt) -> bool:
        """Returns whether the attempt can be the next one of this request."""
        if item.is_inner:
            return self.position is not None and item.route == self.attempts[-1].route
        if item.position is None or self.position is None:
            if any(item.call_id == known.call_id for known in self.attempts):
                return True
            last = self.attempts[-1]
            is_later = item.started_s >= last.ended_s - SAME_TIME_S
            return item.owns_trace and item.trace_id == last.trace_id and is_later
        return self.position < item.position

    def is_described_by(self, item: ReportedAttempt) -> bool:
        """Returns whether it is the last attempt again, which so far was only known from its exception."""
        last = self.attempts[-1]
        if not last.is_partial or item.is_partial or last.call_id != item.call_id:
            return False
        return item.position in (last.position, None)

    def has(self, item: ReportedAttempt) -> bool:
        """Returns whether the attempt is one of its attempts: LiteLLM may report one several times."""
        return any(
            (known.call_id, known.position) == (item.call_id, item.position)
            and (item.position is not None or known.handoff_s == item.handoff_s)
            for known in self.attempts
        )


class AttemptJoin:
    """Joins attempts into entries, and passes each entry to `emit`. Thread-safe."""

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
        self._ended: OrderedDict[str, float] = OrderedDict()
        """When calls ended, in s since the epoch, by call id; a client may give another call the same id later."""
        self._begun: OrderedDict[str, list[BegunAttempt]] = OrderedDict()
        """The streams of requests that have not ended, by call id."""

    def __len__(self) -> int:
        """Returns how many requests wait."""
        return len(self._waiting)

    def failed(self, item: ReportedAttempt) -> None:
        """Adds a failed attempt; its request may continue."""
        # It comes again, as a failure of the outer call.
        if item.is_inner:
            return
        ended: list[_Request] = []
        with self._lock:
            if self._is_known(item) or self._has_ended(item):
                return
            item = self._as_begun(item)
            request = self._find(item, _Request.is_described_by)
            if request is not None:
                item = _completed(item, request.attempts.pop())
            else:
                request = self._find(item, _Request.is_continued_by) or _Request()
            if not request.attempts:
                request.since = self._clock()
            request.attempts.append(item)
            # Under the proxy the end is always reported, though late when it is busy.
            hold_s = RETRY_HOLD_S if item.may_pause or item.route else FAILED_HOLD_S
            request.until = self._clock() + hold_s
            self._keep(request, item)
            while len(self._waiting) > self._max_waiting:
                ended.append(self._give_up(next(iter(self._waiting))))
        self._end(ended)

    def succeeded(self, item: ReportedAttempt) -> None:
        """Adds the attempt that succeeded, and emits its request."""
        with self._lock:
            if self._is_known(item):
                return
            is_part = self._has_ended(item)
            request = self._find(item, _Request.is_continued_by) or _Request()
            self._remove(request)
            request.attempts.append(item)
            # A guardrail may still refuse the response; the row records what the provider did.
            self._note_end(item)
        self._emit(entry_of(request.attempts, is_part=is_part))

    def refused(self, item: ReportedAttempt) -> None:
        """Ends a request that has finally failed, as the proxy told its client.

        Its attempts are usually known; `item` stands for them when there was none, for example because every deployment
        cools down.
        """
        with self._lock:
            request = next(iter(self._by_id.get(item.call_id, ())), None)
            if request is not None:
                self._remove(request)
            elif self._has_ended(item):
                return
            self._note_end(item)
        self._emit(entry_of(request.attempts, refusal=item) if request is not None else entry_of([item]))

    def began(self, begun: BegunAttempt) -> None:
        """Notes that an attempt has begun: the request that it continues waits for its end, up to `RUNNING_HOLD_S`."""
        if begun.position is not None:
            with self._lock:
                self._begun.setdefault(begun.call_id, []).append(begun)
                _forget_oldest(self._begun)
        # Nearly always nothing waits under these ids; checking needs no lock.
        if begun.call_id not in self._by_id and begun.trace_id not in self._by_id:
            return
        with self._lock:
            for request in self._by_id.get(begun.call_id, self._by_id.get(begun.trace_id, [])):
                request.until = self._clock() + RUNNING_HOLD_S

    def waiting_since_s(self) -> float | None:
        """Returns when the first attempt of the request that waits longest was added; None when none waits."""
        return next((request.since for request in self._waiting), None)

    def expire(self) -> None:
        """Emits the requests whose next attempt did not come in time."""
        if not self._waiting:
            return
        now = self._clock()
        with self._lock:
            ended = [self._give_up(request) for request in list(self._waiting) if request.until <= now]
        self._end(ended)

    def flush(self) -> None:
        """Emits every waiting request."""
        with self._lock:
            ended = [self._give_up(request) for request in list(self._waiting)]
        self._end(ended)

    def _end(self, requests: list[_Request]) -> None:
        """Emits requests of whose end nothing is known."""
        for request in requests:
            # The proxy always reports the end: whoever ended this request could not be joined with it.
            self._emit(entry_of(request.attempts, is_part=bool(request.attempts[-1].route)))

    def _is_known(self, item: ReportedAttempt) -> bool:
        """Returns whether LiteLLM reports an event again: some come through several callbacks."""
        if item.is_partial:
            return any(request.has(item) for request in self._by_id.get(item.call_id, ()))
        key = (item.call_id, item.started_s, item.status)
        known = key in self._seen
        self._seen[key] = None
        _forget_oldest(self._seen)
        return known

    def _has_ended(self, item: ReportedAttempt) -> bool:
        """Returns whether the request of the attempt has ended, and is in the log."""
        return item.started_s < self._ended.get(item.call_id, 0.0)

    def _give_up(self, request: _Request) -> _Request:
        self._note_end(request.attempts[-1])
        return self._remove(request)

    def _note_end(self, item: ReportedAttempt) -> None:
        self._ended[item.call_id] = item.ended_s
        _forget_oldest(self._ended)
        self._begun.pop(item.call_id, None)

    def _as_begun(self, item: ReportedAttempt) -> ReportedAttempt:
        """Returns the attempt under its own name: the first of its call that began and was not reported."""
        begun = self._begun.get(item.call_id)
        if not begun or item.position is None or item.is_partial:
            return item
        reported = {known.position for request in self._by_id.get(item.call_id, ()) for known in request.attempts}
        first = next((known for known in begun if known.position not in reported), None)
        if first is None or first.position is None or first.position >= item.position:
            return item
        return item.as_begun(first)

    def _find(self, item: ReportedAttempt, matches: Callable[[_Request, ReportedAttempt], bool]) -> _Request | None:
        """Returns the waiting request that the attempt fits best: by call id, else that with the highest position."""
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


def _completed(item: ReportedAttempt, partial: ReportedAttempt) -> ReportedAttempt:
    """Returns the attempt with what only its exception told: the payload of an outer call has no provider."""
    item = msgspec.structs.replace(item, position=item.position or partial.position)
    if item.provider_id != UNKNOWN_PROVIDER:
        return item
    return msgspec.structs.replace(item, provider_id=partial.provider_id, model=partial.model)


def _forget_oldest(remembered: OrderedDict[_Key, _Value]) -> None:
    if len(remembered) > MAX_REMEMBERED_EVENTS:
        remembered.popitem(last=False)
