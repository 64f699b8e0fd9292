"""Those who wait for entries to be committed: `flush`, `write`, and the end of a replay."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from chainlog_async.errors import ClosedError, EntryAbandonedError, EntryError

from .waker import WriterWaker


class Waiters:
    """Lets coroutines wait for an entry's number; `resolved` returns the newest number that nobody waits for."""

    def __init__(self, waker: WriterWaker, resolved: Callable[[], int]) -> None:
        self._waker = waker
        self._resolved = resolved
        self._watched: dict[int, EntryError | None] = {}
        self._progress = asyncio.Event()
        self.count = 0
        """How many wait."""
        self.is_replaying = False
        """Whether the journals of dead writers are being replayed."""
        self.abandoned_from: int | None = None
        """The first entry that shutdown gave up, if it did."""

    def watch(self, number: int) -> None:
        """Keeps what becomes of this entry until somebody who waits for it was told."""
        self._watched[number] = None

    def fail(self, first: int, last: int, error: EntryError) -> None:
        """Notes the error for those who watch one of these entries."""
        if self._watched:
            for number in range(first, last + 1):
                if number in self._watched:
                    self._watched[number] = error

    def tell(self) -> None:
        """Lets everyone look again at what they wait for."""
        self._progress.set()
        self._progress = asyncio.Event()

    async def until_resolved(self, number: int, *, watched: bool, replayed: bool) -> None:
        """See `EntryQueue.until_resolved`."""
        self.count += 1
        try:
            while self._resolved() < number or (replayed and self.is_replaying):
                if self.abandoned_from is not None:
                    break
                if not self._waker.is_attached:
                    if self._resolved() >= number:
                        break
                    raise ClosedError("no writer is running; start run() in a task group, or use `async with`")
                self._waker.event.set()
                await self._progress.wait()
        finally:
            self.count -= 1
            # A flush may wait for the same number and must not consume the error of the one who watches it.
            error = self._watched.pop(number, None) if watched else None
        if error is not None:
            raise error
        if self.abandoned_from is not None and number >= self.abandoned_from:
            raise EntryAbandonedError(
                "shutdown ran out of time before everything was committed; entries in the journal are written at the "
                "next start: raise shutdown_timeout_ms, or find out what blocked the writer (statistics().last_error)"
            )
        if replayed and self.is_replaying:
            raise EntryAbandonedError(
                "shutdown ran out of time before the journals of earlier writers were replayed, which the next start "
                "goes on with: raise shutdown_timeout_ms, or find out what blocked the writer (statistics().last_error)"
            )
