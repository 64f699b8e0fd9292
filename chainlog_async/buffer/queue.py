"""The queue between the gateway and the writer, and its books.

Any thread may put an entry in; only the writer's event loop takes out and waits. Everything that changes the books
happens here, under one lock, so ``submitted == written + pending + dropped`` holds at every moment. Nothing is
logged while the lock is held: a log handler may well end in `put` again.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import weakref
from collections.abc import Callable

from chainlog_async.common.log_throttle import LogThrottle
from chainlog_async.entry.batch import Batch
from chainlog_async.errors import (
    ClosedError,
    EntryAbandonedError,
    EntryError,
    EntryRejectedError,
    ForkedError,
    QueueFullError,
)
from chainlog_async.statistics import EntryCounts

from .accounting import Accounting
from .backlog import Backlog
from .journal import Journal, Segment

logger = logging.getLogger("chainlog_async")


class EntryQueue:
    """A bounded queue of encoded entries that knows what became of each."""

    def __init__(self, *, max_rows: int, max_bytes: int, max_batch_rows: int, drop_oldest: bool) -> None:
        self._backlog = Backlog(
            max_rows=max_rows,
            max_bytes=max_bytes,
            max_batch_rows=max_batch_rows,
            drop_oldest=drop_oldest,
            on_ready=self.wake_writer,
        )
        self._use_new_lock()
        self._accounting = Accounting()
        self._forked = self._barred = False
        self._abandoned_from: int | None = None
        self._in_hand_from = 1
        self._no_journal: str | None = None
        self._journal_failing = False
        self._waiting = 0
        self._watched: dict[int, EntryError | None] = {}
        self._log_throttle = LogThrottle()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_thread = 0
        self._progress = asyncio.Event()
        self.wake = asyncio.Event()
        """Set when the writer should look up."""
        _queues.add(self)

    # -- the gateway's side, from any thread ---------------------------------------------------------------------

    def put(self, line: bytes, *, watch: bool = False) -> int:
        """Takes in an encoded entry, newline included, and returns its number, counted from 1.

        Raises `QueueFullError`, `ClosedError` or `ForkedError`. With `watch`, `until_resolved` will tell its fate.
        """
        # Bound methods by names of their own, and not `with`, which takes twice as long (measured on Python 3.11).
        is_owned, acquire, release = self._is_owned, self._acquire, self._release
        if is_owned():
            self._bar_nested()
        try:
            acquire()
            if self._barred:
                self._bar()
            try:
                made_room = self._backlog.append(line)
            except QueueFullError:
                self._accounting.refuse("queue_full")
                self._count_oldest_dropped(self._backlog.dropped_in_vain)
                raise
            number = self._backlog.accepted
            if watch:
                self._watched[number] = None
            if made_room:
                self._count_oldest_dropped(made_room)
        except BaseException:
            # A signal handler may raise at any point in here, even while this waits for the lock.
            if is_owned():
                release()
            raise
        release()
        if made_room:
            self._log_throttle.warn("queue_full", "the oldest entries made room for newer ones", made_room)
        return number

    def _bar(self) -> None:
        self.require_same_process()
        self._accounting.refuse("closed")
        raise ClosedError("the log is shut down; log before it is closed, or open a new one")

    def _bar_nested(self) -> None:
        # The call underneath is in the middle of changing what this one would change as well.
        self.require_same_process()
        self._accounting.refuse_nested()
        raise QueueFullError(
            "a finalizer or signal handler logged while this thread was busy in the log itself; "
            "let it hand its entry to the event loop instead (call_soon_threadsafe)"
        )

    def require_same_process(self) -> None:
        """Raises `ForkedError` in a process that inherited the queue."""
        if self._forked:
            raise ForkedError(
                f"this log was opened before process {os.getpid()} was forked from its owner; "
                "spawn the process instead, or fork before the log is opened"
            )

    def refuse_invalid(self) -> None:
        """Counts an entry that could not be encoded."""
        if self._is_owned():
            self._accounting.refuse_nested()
            return
        with self._lock:
            self._accounting.refuse("invalid")

    def report(self, reason: str, detail: str) -> None:
        """Logs a refusal, at most once per period."""
        if not self._is_owned():
            self._log_throttle.warn(reason, detail)

    def _use_new_lock(self) -> None:
        # Reentrant: a finalizer or a signal handler that runs in here may log a request of its own, or ask for the
        # books, and must not wait for itself.
        self._lock = threading.RLock()
        # Whether this very thread is in the middle of a call already, and was interrupted there.
        self._acquire, self._release = self._lock.acquire, self._lock.release
        self._is_owned: Callable[[], bool] = self._lock._is_owned  # type: ignore[attr-defined]  # noqa: SLF001  # as threading.HealthState asks

    # -- the writer's side ---------------------------------------------------------------------------------------

    def attach(self) -> None:
        """Tells the queue which event loop the writer runs on."""
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self.wake.set()

    def detach(self) -> None:
        """The writer has ended: whoever still waits is told."""
        self._loop = None
        self._tell_waiters()

    def wake_writer(self) -> None:
        """Makes the writer look up, from whatever thread this is called in."""
        if (loop := self._loop) is None:
            return
        if threading.get_ident() == self._loop_thread:
            self.wake.set()
            return
        try:
            loop.call_soon_threadsafe(self.wake.set)
        except RuntimeError:
            # The loop was closed under the writer; the entry stays counted as pending.
            self._loop = None

    @property
    def pending(self) -> int:
        """Entries accepted and not settled."""
        return self._backlog.rows

    @property
    def has_full_batch(self) -> bool:
        """Whether a batch of the largest size is waiting."""
        with self._lock:
            return self._backlog.has_full_block

    @property
    def someone_waits(self) -> bool:
        """Whether a flush or a write waits for entries to be committed."""
        return self._waiting > 0

    def set_writer_id(self, writer_id: str) -> None:
        """Whose lines these are."""
        self._backlog.writer_id = writer_id

    def begin_segment(self, new_journal: Callable[[], Journal] | None) -> None:
        """The journal's folder is new: from now on lines go into a new file, or a new journal if there was none."""
        with self._lock:
            self._no_journal = None
            if self._backlog.journal is not None:
                self._backlog.journal.leave_segment()
            elif new_journal is not None:
                self._backlog.journal = new_journal()

    def note_no_journal(self, reason: str) -> None:
        """There should be a journal, and there is none; lines go to memory until `begin_segment`."""
        with self._lock:
            self._no_journal = reason
            if self._backlog.journal is not None:
                self._backlog.journal.suspend(reason)

    @property
    def newest_segment(self) -> Segment | None:
        """The file that lines are written to, if there is one."""
        with self._lock:
            return self._backlog.journal.newest if self._backlog.journal is not None else None

    def take(self) -> Batch | None:
        """The oldest batch; the same one again until it is settled."""
        while True:
            with self._lock:
                if self._backlog.in_hand is None:
                    self._in_hand_from = self._backlog.gone + 1
                try:
                    return self._backlog.take()
                except OSError as error:
                    # Before the lock is let go: an entry that makes room for itself would make another block the first.
                    lost = self._backlog.drop_unreadable()
                    problem = f"accepted entries cannot be read back: {error}"
                    self._accounting.drop("journal_lost", lost)
                    self._fail_last_resolved(
                        lost, EntryError(f"the entry was in the journal, which cannot be read: {error}")
                    )
            self._log_throttle.warn("journal_lost", problem, lost)
            self._tell_waiters()

    @property
    def in_hand(self) -> Batch | None:
        """The batch that was taken and is not settled."""
        with self._lock:
            return self._backlog.in_hand

    def report_journal(self) -> None:
        """Tries a journal that has failed, and says once when it fails, and once when it is back."""
        with self._lock:
            self._backlog.try_journal()
        error = self.journal_error
        was_failing, self._journal_failing = self._journal_failing, error is not None
        if error is not None and not was_failing:
            logger.warning("the journal cannot be written, entries wait in memory: %s", error)
        elif error is None and was_failing:
            logger.info("the journal is written again")

    def take_released(self) -> list[Segment]:
        """Journal segments that are committed; the caller deletes them."""
        with self._lock:
            journal = self._backlog.journal
            return journal.take_released() if journal else []

    def end_journal(self) -> None:
        """After the drain: closes the journal; when nothing in it is needed any more, its segments are released."""
        with self._lock:
            journal = self._backlog.journal
            if journal is not None:
                if not self._backlog.rows:
                    journal.release_all()
                journal.close()

    def mark_committed(self, batch: Batch) -> None:
        """The batch in hand, or its first part, is committed."""
        with self._lock:
            self._backlog.mark_committed(batch)
            self._in_hand_from += batch.rows
            self._accounting.mark_committed(batch.rows)
        self._tell_waiters()

    def reject(self, batch: Batch, error: Exception) -> None:
        """The database refuses this batch of one row."""
        with self._lock:
            self._fail(self._in_hand_from, EntryRejectedError(f"the database refused the entry: {error}"))
            self._backlog.mark_committed(batch)
            self._in_hand_from += batch.rows
            self._accounting.drop("rejected", batch.rows)
        self._tell_waiters()

    def note_replayed(self, rows: int, truncated: int = 0) -> None:
        """Entries of a dead writer are committed."""
        with self._lock:
            self._accounting.replayed += rows
            self._accounting.truncated += truncated

    def close(self) -> None:
        """Takes in nothing more."""
        with self._lock:
            self._barred = True
        self.wake_writer()

    def abandon(self) -> int:
        """Gives up what waits in memory alone, counted under ``shutdown``. Returns how many entries that were.

        What is in the journal stays pending, and is written at the next start.
        """
        with self._lock:
            if self._backlog.rows:
                self._abandoned_from = self._resolved + 1
            rows = self._backlog.clear_memory()
            if rows:
                self._accounting.drop("shutdown", rows)
        self._tell_waiters()
        return rows

    # -- waiting -------------------------------------------------------------------------------------------------

    @property
    def is_forked(self) -> bool:
        """Whether this process inherited the queue from its parent."""
        return self._forked

    @property
    def accepted(self) -> int:
        """The number of the newest entry that was accepted."""
        return self._backlog.accepted

    async def until_resolved(self, number: int, *, watched: bool = False) -> None:
        """Returns once the entry of that number and all before it are committed or counted as dropped.

        Raises `EntryAbandonedError` when shutdown gave them up, `ClosedError` when no writer runs, and for a watched
        entry what kept it out of the database.
        """
        self.require_same_process()
        self._waiting += 1
        try:
            while self._resolved < number:
                if self._abandoned_from is not None:
                    break
                if self._loop is None:
                    raise ClosedError("no writer is running; start run() in a task group, or use `async with`")
                self.wake.set()
                await self._progress.wait()
        finally:
            self._waiting -= 1
            # A flush may wait for the same number, and must not take the news from who watches it.
            error = self._watched.pop(number, None) if watched else None
        if error is not None:
            raise error
        if self._abandoned_from is not None and number >= self._abandoned_from:
            raise EntryAbandonedError(
                "shutdown ran out of time before everything was committed; what is in the journal is written at the "
                "next start: raise shutdown_timeout_ms, or find out what held the writer up (statistics().last_error)"
            )

    @property
    def _resolved(self) -> int:
        """The number of the newest entry that is, with all before it, committed or dropped."""
        if self._backlog.in_hand is not None:
            # Behind it others may have been dropped: their numbers say nothing about the batch in hand.
            return self._in_hand_from - 1
        return self._backlog.gone

    def _tell_waiters(self) -> None:
        self._progress.set()
        self._progress = asyncio.Event()

    def _count_oldest_dropped(self, count: int) -> None:
        self._accounting.drop("queue_full", count)
        self._fail_last_resolved(count, QueueFullError("the entry made room for newer ones; raise max_queue_size"))

    def _fail_last_resolved(self, count: int, error: EntryError) -> None:
        """Tells those who wait for one of the `count` entries that waited longest, which are dropped now."""
        if self._watched:
            # The batch in hand is older still, and is not what was dropped.
            last = self._backlog.gone + self._backlog.rows_in_hand
            for number in range(last - count + 1, last + 1):
                self._fail(number, error)

    def _fail(self, number: int, error: EntryError) -> None:
        if number in self._watched:
            self._watched[number] = error

    # -- accounting ----------------------------------------------------------------------------------------------

    def counts(self) -> EntryCounts:
        """What became of the entries so far, consistent in itself."""
        with self._lock:
            backlog, accounting, journal = self._backlog, self._accounting, self._backlog.journal
            refused, dropped = accounting.losses()
            return EntryCounts(
                submitted=backlog.accepted + refused,
                written=accounting.written,
                pending=backlog.rows,
                dropped=dropped,
                pending_bytes=backlog.size,
                peak_pending=max(backlog.peak_rows, backlog.rows),
                oldest_pending_ms=1_000 * backlog.oldest_age_s,
                journal="failing" if self.journal_error is not None else "on" if journal else "off",
                journal_bytes=journal.size if journal else 0,
                journal_error=self.journal_error,
                replayed=accounting.replayed,
                truncated=accounting.truncated,
                batches=accounting.batches,
                batch_entries=accounting.batch_entries.histogram(),
                last_commit_at=accounting.last_commit_at,
            )

    @property
    def journal_error(self) -> str | None:
        """Why there is no journal at the moment, where there should be one."""
        journal = self._backlog.journal
        return journal.error if journal is not None else self._no_journal

    def disown(self) -> None:
        """In a forked child: the lock may be held by a thread that does not exist here."""
        self._use_new_lock()
        self._forked = self._barred = True
        self._loop = None
        if self._backlog.journal is not None:
            # Closing does not unlock what the parent holds; keeping it open would, in a child that outlives it.
            self._backlog.journal.disown()
            self._backlog.journal = None


_queues: weakref.WeakSet[EntryQueue] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for queue in list(_queues):
        queue.disown()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
