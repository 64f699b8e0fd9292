"""Takes in what tells of requests in parts, holds it until a request is known, and logs that as one entry."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path
from typing import Final, Generic, Protocol, TypeVar

import anyio
import msgspec

from chainlog_async.chainlog import ChainLog
from chainlog_async.common.cancellation import run_in_thread
from chainlog_async.common.log_throttle import LogThrottle
from chainlog_async.entry.model import RequestLogEntry
from chainlog_async.errors import ChainlogError, ClosedError, ForkedError, InvalidEntryError, QueueFullError
from chainlog_async.requests.filter import RequestFilter
from chainlog_async.settings import Settings

from .spool import Spool

RETRY_S: Final = 1.0
"""Pause before an entry is submitted again for which the queue had no room, in seconds."""

RECOVERY_S: Final = 30.0
"""How long the start may look which recovered requests are in the log already, in seconds."""

_ENTRIES_AT_ONCE: Final = 500
_PAGE: Final = 500

logger = logging.getLogger(__name__)

Item = TypeVar("Item", bound=msgspec.Struct)
Item_contra = TypeVar("Item_contra", contravariant=True)


class Join(Protocol[Item_contra]):
    """Makes entries of items. Times are those of a monotonic clock, in seconds. Need not be thread-safe."""

    def add(self, items: Iterable[Item_contra], now_s: float) -> None:
        """Adds items. Those that it knows already are ignored."""

    def due(self, now_s: float) -> Iterator[RequestLogEntry]:
        """Yields the entries of which nothing more is expected; at infinity, all that are left."""

    def next_due_s(self) -> float | None:
        """When `due` may have more; None when nothing waits."""

    def waiting_since_s(self) -> float | None:
        """When the first of what waits was added; None when nothing waits."""


def spool_folder(settings: Settings, suffix: str) -> Path | None:
    """Returns a folder beside the journal, in which what waits is kept; None without a journal."""
    if not settings.journal:
        return None
    path = settings.journal_path if settings.journal_path is not None else settings.db_path
    return path.with_name(path.name + suffix)


class HeldIntake(Generic[Item]):
    """Holds items in memory and in a file, so that a kill loses none, and logs what their join makes of them.

    The next `start` goes on with what a killed process left. A thread logs the entries. Thread-safe but for `start`.
    """

    def __init__(  # what the senders differ in
        self,
        chainlog: ChainLog,
        join: Join[Item],
        kind: type[Item],
        *,
        noun: str,
        rotate_s: float,
        end_ms: Callable[[Item], int | None],
        accepts: Callable[[Settings, RequestLogEntry], bool] = lambda _settings, _entry: True,
    ) -> None:
        """`noun` names several items, in the folder and in log lines; `rotate_s` is how long a file is appended to.

        `end_ms` is when the request of an item may have ended, in ms since the epoch, None for one that is none.
        `accepts` says which entries are logged.
        """
        self._chainlog = chainlog
        self._join = join
        self._noun = noun
        folder = spool_folder(chainlog.settings, f".{noun}")
        self._spool = None if folder is None else Spool(kind, folder, rotate_s=rotate_s)
        self._end_ms = end_ms
        self._accepts = accepts
        self._changed = threading.Condition()
        """Guards everything here."""
        self._refused: deque[RequestLogEntry] = deque()
        """Entries for which the queue had no room."""
        self._logged_before: frozenset[str] = frozenset()
        """Ids of requests that a killed process logged, but whose items it left."""
        self._thread: threading.Thread | None = None
        self._is_closing = False
        self._starting = anyio.Lock()
        self._throttle = LogThrottle()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """While the log is open: goes on with what a killed process left, and logs what waits at the end."""
        async with anyio.create_task_group() as tasks:
            if await run_in_thread(self._has_left):
                # Not awaited, as it waits for the database.
                tasks.start_soon(self.start)
            try:
                yield
            finally:
                tasks.cancel_scope.cancel()
                await run_in_thread(self.close)

    async def start(self) -> None:
        """Goes on with what a killed process left, and begins to log. Called again, does nothing."""
        async with self._starting:
            if self._thread is not None:
                return
            now_s = time.monotonic()
            left = await run_in_thread(self._recover, now_s)
            if left:
                self._logged_before = await self._logged_of(left)
                logger.info("%d %s of a process that was killed are logged now", len(left), self._noun)
                with self._changed:
                    self._join.add(left, now_s)
            self._is_closing = False
            self._thread = threading.Thread(target=self._run, name=f"chainlog {self._noun}", daemon=True)
            self._thread.start()

    def hold(self, items: Sequence[Item]) -> None:
        """Holds items; they survive a kill once this has returned. Blocks for a moment, call it in a thread.

        Raises `QueueFullError` when the log has no room.
        """
        if not items:
            return
        with self._changed:
            if self._refused:
                raise QueueFullError(f"the queue is full, and requests of earlier {self._noun} wait for room")
            now_s = time.monotonic()
            if self._spool is not None:
                try:
                    self._spool.append(items, now_s)
                except OSError as error:
                    self._throttle.warn(
                        f"{self._noun} that wait are in memory only, a kill would lose them", str(error)
                    )
            self._join.add(items, now_s)
            self._changed.notify()

    def close(self) -> None:
        """Logs every request that waits, as it is known by now. Blocks until that is done."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        with self._changed:
            if self._spool is not None:
                self._spool.close()

    # -- the thread ---------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._is_closing:
                    self._changed.wait(self._pause_s())
                is_last = self._is_closing
            try:
                self._log_due(float("inf") if is_last else time.monotonic())
            except (ClosedError, ForkedError):
                # What waits stays in the files, for the next start.
                return
            if is_last:
                return

    def _pause_s(self) -> float | None:
        if self._refused:
            return RETRY_S
        due_s = self._join.next_due_s()
        return None if due_s is None else max(due_s - time.monotonic(), 0.001)

    def _log_due(self, now_s: float) -> None:
        while True:
            with self._changed:
                entries = [*self._refused, *islice(self._join.due(now_s), _ENTRIES_AT_ONCE)]
                self._refused.clear()
            if not entries:
                break
            self._submit(deque(entries))
            if self._refused:
                return
        with self._changed:
            if self._spool is not None:
                since_s = self._join.waiting_since_s()
                self._spool.discard(float("inf") if since_s is None else since_s)

    def _submit(self, entries: deque[RequestLogEntry]) -> None:
        while entries:
            entry = entries[0]
            if entry.request_id not in self._logged_before and self._accepts(self._chainlog.settings, entry):
                try:
                    self._chainlog.submit(entry)
                except InvalidEntryError as error:
                    self._throttle.warn(f"a request that {self._noun} tell of cannot be stored", str(error))
                except QueueFullError:
                    with self._changed:
                        self._refused = entries
                    return
            entries.popleft()

    # -- what a killed process left -----------------------------------------------------------------------------------

    def _has_left(self) -> bool:
        return self._spool is not None and self._spool.has_left()

    def _recover(self, now_s: float) -> list[Item]:
        if self._spool is None:
            return []
        try:
            return self._spool.recover(now_s)
        except OSError as error:
            logger.warning("%s that a killed process left cannot be read: %s", self._noun, error)
            return []

    async def _logged_of(self, left: list[Item]) -> frozenset[str]:
        """Returns the ids of requests in the log from the time of these items, once all journals are in it."""
        ends = [end_ms for item in left if (end_ms := self._end_ms(item)) is not None]
        if not ends:
            return frozenset()
        found: set[str] = set()
        where = RequestFilter(start=min(ends), end=max(ends) + 1)
        try:
            with anyio.fail_after(RECOVERY_S):
                await self._chainlog.flush()
                cursor: str | None = None
                while True:
                    page = await self._chainlog.usage.find_requests(where, limit=_PAGE, cursor=cursor)
                    found.update(row.request_id for row in page.requests if row.request_id)
                    cursor = page.next_cursor
                    if cursor is None:
                        break
        except (TimeoutError, ChainlogError) as error:
            logger.warning("requests of %s that a killed process left may be logged twice: %s", self._noun, error)
        return frozenset(found)
