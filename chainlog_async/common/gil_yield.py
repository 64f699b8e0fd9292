"""Yields the GIL to the database's threads when the event loop never idles.

A thread that waits for the GIL requests it only after five milliseconds without a release, and a busy loop releases it
briefly at every `select`: too briefly for the thread to wake up. So the thread starves beside a loop that is 100 %
busy, and a batch that takes milliseconds waits for seconds. While a batch is waiting for the thread, the loop's thread
therefore sleeps for a moment now and then. docs/explanation/performance-notes.md has the costs and the effect.
"""

from __future__ import annotations

import asyncio
import time
from types import TracebackType

PAUSE_S = 50e-6
"""Length of one pause, in seconds; in practice the kernel sleeps about twice as long."""

INTERVAL_S = 0.002
"""Time between two checks whether the loop is busy, in seconds."""

MAX_SHARE = 0.02
"""Largest share of the loop's time that pauses may take within any second."""

BUSY_SHARE = 0.9
"""A loop that uses the CPU for more than this share of the time between two checks counts as busy."""


class GilYielder:
    """A reentrant context in which code on this event loop waits for a thread."""

    def __init__(self, *, enabled: bool) -> None:
        self._enabled = enabled
        self._depth = 0
        self._timer: asyncio.TimerHandle | None = None
        self._checked_at = self._computed = 0.0
        self._second_began = self._spent_in_second = 0.0
        self.spent_s = 0.0
        """Total time that the loop has paused, in seconds."""

    def __enter__(self) -> None:
        self._depth += 1
        if self._enabled and self._depth == 1:
            self._check_later()

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._depth -= 1
        if self._timer is not None and self._depth == 0:
            self._timer.cancel()
            self._timer = None

    def _check_later(self) -> None:
        self._checked_at = time.perf_counter()
        self._computed = time.thread_time()
        self._timer = asyncio.get_running_loop().call_later(INTERVAL_S, self._check)

    def _check(self) -> None:
        now = time.perf_counter()
        if time.thread_time() - self._computed > BUSY_SHARE * (now - self._checked_at) and self._may_pause(now):
            time.sleep(PAUSE_S)
            paused_s = time.perf_counter() - now
            self._spent_in_second += paused_s
            self.spent_s += paused_s
        self._check_later()

    def _may_pause(self, now: float) -> bool:
        if now - self._second_began >= 1:
            self._second_began, self._spent_in_second = now, 0.0
        return self._spent_in_second < MAX_SHARE
