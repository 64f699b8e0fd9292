"""Letting the database's thread have the GIL when the event loop never idles.

A thread asks for the GIL only after five milliseconds without a hand-over, and a busy loop hands it over, for a
moment, at every `select`: too short for the thread to wake up in. So the thread starves beside a loop that is 100 %
busy, and a batch that takes milliseconds waits for seconds. While such a batch is overdue, the loop's thread sleeps
for a moment now and then. See docs/performance.md for what that costs and what it brings.
"""

from __future__ import annotations

import asyncio
import time
from types import TracebackType

PAUSE_S = 50e-6
"""One pause, in seconds; the kernel makes about twice that of it."""

INTERVAL_S = 0.002
"""Time between two looks at whether the loop is busy, in seconds."""

MAX_SHARE = 0.02
"""Most of the loop's time that pauses may take, within any second."""

BUSY_SHARE = 0.9
"""A loop that computes for more than this share of the time between two looks does not idle."""


class GilYielder:
    """A context in which somebody on this event loop waits for a thread; it may be entered within itself."""

    def __init__(self, *, enabled: bool) -> None:
        self._enabled = enabled
        self._depth = 0
        self._timer: asyncio.TimerHandle | None = None
        self._looked_at = self._computed = 0.0
        self._second_began = self._spent_in_second = 0.0
        self.spent_s = 0.0
        """Time that the loop has paused in all, in seconds."""

    def __enter__(self) -> None:
        self._depth += 1
        if self._enabled and self._depth == 1:
            self._look_later()

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._depth -= 1
        if self._timer is not None and self._depth == 0:
            self._timer.cancel()
            self._timer = None

    def _look_later(self) -> None:
        self._looked_at = time.perf_counter()
        self._computed = time.thread_time()
        self._timer = asyncio.get_running_loop().call_later(INTERVAL_S, self._look)

    def _look(self) -> None:
        now = time.perf_counter()
        if time.thread_time() - self._computed > BUSY_SHARE * (now - self._looked_at) and self._may_pause(now):
            time.sleep(PAUSE_S)
            paused_s = time.perf_counter() - now
            self._spent_in_second += paused_s
            self.spent_s += paused_s
        self._look_later()

    def _may_pause(self, now: float) -> bool:
        if now - self._second_began >= 1:
            self._second_began, self._spent_in_second = now, 0.0
        return self._spent_in_second < MAX_SHARE
