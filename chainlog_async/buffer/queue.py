"""The queue between the gateway and the writer.

Any thread may put entries in; only the writer's event loop takes them out. Every change to the counters happens here,
under one lock, so ``submitted == written + pending + dropped`` holds at every moment. Nothing is logged while the lock
is held, because a log handler may call `put` again.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable

from chainlog_async.common.log_throttle import LogThrottle
from chainlog_async.entry.batch import Batch
from chainlog_async.errors import (
    ChainlogError,
    ClosedError,
    EntryError,
    EntryRejectedError,
    ForkedError,
    QueueFullError,
)
from chainlog_async.statistics import EntryCounts, JournalWriteMethod

from .accounting import Accounting
from .backlog import Backlog
from .forks import disown_after_fork
from .journal import Journal
from .segment import NEWLINE, Segment
from .waiters import Waiters
from .waker import WriterWaker

logger = logging.getLogger(__name__)


class EntryQueue:
    """A thread-safe, bounded queue of encoded entries that accounts for every one of them."""

    def __init__(self, *, max_rows: int, max_bytes: int, max_batch_rows: int, drop_oldest: bool) -> None:
        self.waker = WriterWaker()
        self._backlog = Backlog(
            max_rows=max_rows,
            max_bytes=max_bytes,
            max_batch_rows=max_batch_rows,
            drop_oldest=drop_oldest,
            on_ready=self.waker.wake,
        )
        self._use_new_lock()
        self._accounting = Accounting()
        self._forked = self._is_closed = False
        self._in_hand_from = 1
        self._no_journal: str | None = None
        self._journal_failing = False
        self._waiters = Waiters(self.waker, lambda: self._resolved)
        self._log_throttle = LogThrottle()
        disown_after_fork(self)

    # -- the gateway's side, from any thread ---------------------------------------------------------------------

    def put(self, line: bytes, *, watch: bool = False) -> int:
        """Accepts an encoded entry, without a newline, and returns its number, counted from 1.

        With `watch`, `until_resolved` raises what kept this entry out of the database. Raises `QueueFullError`,
        `ClosedError` or `ForkedError`.
        """
        # Bound methods in local names, and no `with`, which takes twice as long (measured on Python 3.11).
        is_owned, acquire, release = self._is_owned, self._acquire, self._release
        if is_owned():
            self._refuse_nested_call()
        made_room = 0
        try:
            acquire()
            segment = self._backlog.segment
            start, number = segment.end, segment.number + 1
            end = start + len(line) + 1
            # Every request pays for this call, and nearly every line simply follows the one before. So two comparisons
            # decide whether there is more to do.
            if end <= segment.fast_end and number <= segment.fast_number:
                mapped = segment.mapped
                if mapped is not None:
                    start -= segment.start
                    mark = start + len(line)
                    mapped[start:mark] = line
                    # Commits the line: after a kill in between, it has no end.
                    mapped[mark] = NEWLINE
                else:
                    segment.lines.append(line)
                segment.end = end
                segment.number = number
            else:
                made_room = self._append(line)
                number = self._backlog.accepted
            if watch:
                self._waiters.watch(number)
        except BaseException as error:
            # A signal handler may raise at any point here, even while waiting for the lock.
            if is_owned():
                if not isinstance(error, ChainlogError):
                    self._backlog.note_interruption()
                release()
            raise
        release()
        if made_room:
            self._log_throttle.warn("queue_full", "the oldest entries were dropped for newer ones", made_room)
        return number

    def _append(self, line: bytes) -> int:
        """Accepts a line wherever there is room. Returns how many older lines were dropped for it."""
        if self._is_closed:
            self._refuse_closed()
        try:
            made_room = self._backlog.append(line)
        except QueueFullError:
            self._accounting.refuse("queue_full")
            self._count_oldest_dropped(self._backlog.dropped_in_vain)
            raise
        if made_room:
            self._count_oldest_dropped(made_room)
        return made_room

    def _refuse_closed(self) -> None:
        self.require_same_process()
        self._accounting.refuse("closed")
        raise ClosedError("the log is shut down; log before it is closed, or open a new one")

    def _refuse_nested_call(self) -> None:
        # The interrupted call is in the middle of the same update.
        self.require_same_process()
        self._accounting.refuse_nested()
        raise QueueFullError(
            "a finalizer or signal handler logged while this thread was busy in the log itself; "
            "let it hand its entry to the event loop instead (call_soon_threadsafe)"
        )

    def require_same_process(self) -> None:
        """Raises `ForkedError` in a forked process that inherited the queue."""
        if self._forked:
            raise ForkedError(
                f"this log was opened before process {os.getpid()} was forked from its owner; "
                "spawn the process instead, or fork before opening the log"
            )

    def refuse_invalid(self) -> None:
        """Counts an entry that could not be encoded."""
        if self._is_owned():
            self._accounting.refuse_nested()
            return
        with self._lock:
            self._accounting.refuse("invalid")

    def note_repaired(self, fields: Iterable[str]) -> None:
        """Counts an accepted entry of which these fields could not be stored as they were."""
        with self._lock:
            self._accounting.repaired.update(fields)

    def report(self, reason: str, detail: str) -> None:
        """Logs a refusal or a repair, at most once a minute per reason."""
        if not self._is_owned():
            self._log_throttle.warn(reason, detail)

    def _use_new_lock(self) -> None:
        # Reentrant: a finalizer or signal handler that interrupts this thread here may log a request or ask for the
        # statistics, and must not deadlock.
        self._lock = threading.RLock()
        # Tells whether this thread already holds the lock, that is, was interrupted in the middle of a call.
        self._acquire, self._release = self._lock.acquire, self._lock.release
        self._is_owned: Callable[[], bool] = self._lock._is_owned  # type: ignore[attr-defined]  # noqa: SLF001  # as threading.Condition does

    # -- the writer's side ---------------------------------------------------------------------------------------

    def attach(self) -> None:
        """Tells the queue which event loop the writer runs on. The writer then replays, until `end_replay`."""
        self._waiters.is_replaying = True
        self.waker.attach()

    def detach(self) -> None:
        """Tells everyone who still waits that the writer has ended."""
        self.waker.detach()
        self._waiters.tell()

    def end_replay(self) -> None:
        """Tells everyone who waits for it that the journals of dead writers are replayed."""
        self._waiters.is_replaying = False
        self._waiters.tell()

    @property
    def pending(self) -> int:
        """Entries that are accepted and neither committed nor dropped."""
        return self._backlog.rows

    @property
    def has_full_batch(self) -> bool:
        """Whether a full batch is waiting."""
        with self._lock:
            return self._backlog.has_full_block

    @property
    def someone_waits(self) -> bool:
        """Whether a flush or a write waits for entries to be committed."""
        return self._waiters.count > 0

    def set_writer_id(self, writer_id: str) -> None:
        """Sets the id of the writer that these lines belong to."""
        self._backlog.writer_id = writer_id

    def begin_segment(self, new_journal: Callable[[], Journal] | None) -> None:
        """Starts a new segment because the folder is new, or a new journal if there was none."""
        with self._lock:
            self._no_journal = None
            self._backlog.begin_segment(new_journal)

    def note_no_journal(self, reason: str) -> None:
        """Keeps lines in memory until `begin_segment`, because the journal cannot be used for that reason."""
        with self._lock:
            self._no_journal = reason
            self._backlog.suspend_journal(reason)

    @property
    def newest_segment(self) -> Segment | None:
        """The journal segment that lines are written to, if there is one."""
        with self._lock:
            return self._backlog.journal.newest if self._backlog.journal is not None else None

    def take(self) -> Batch | None:
        """Takes the oldest batch, or None; returns the same one until it is committed or rejected."""
        while True:
            with self._lock:
                if self._backlog.in_hand is None:
                    self._in_hand_from = self._backlog.gone + 1
                try:
                    return self._backlog.take()
                except OSError as error:
                    # While the lock is held: an entry that drops older ones would make another block the first.
                    lost = self._backlog.drop_unreadable()
                    problem = f"accepted entries cannot be read back: {error}"
                    self._accounting.drop("journal_lost", lost)
                    self._fail_last_resolved(
                        lost, EntryError(f"the entry was in the journal, which cannot be read: {error}")
                    )
            self._log_throttle.warn("journal_lost", problem, lost)
            self._waiters.tell()

    @property
    def in_hand(self) -> Batch | None:
        """The batch that was taken and is neither committed nor rejected."""
        with self._lock:
            return self._backlog.in_hand

    def report_journal(self) -> None:
        """Retries a failing journal, and logs once when it fails and once when it recovers."""
        with self._lock:
            self._backlog.try_journal()
        error = self.journal_error
        was_failing, self._journal_failing = self._journal_failing, error is not None
        if error is not None and not was_failing:
            logger.warning("the journal cannot be written, entries wait in memory: %s", error)
        elif error is None and was_failing:
            logger.info("the journal can be written again")

    def take_released(self) -> list[Segment]:
        """Hands over committed journal segments, which the caller deletes."""
        with self._lock:
            journal = self._backlog.journal
            return journal.take_released() if journal else []

    def end_journal(self) -> None:
        """After the drain, closes the journal, and releases its segments if nothing in them is needed."""
        with self._lock:
            journal = self._backlog.journal
            if journal is not None:
                if not self._backlog.rows:
                    journal.release_all()
                journal.close()

    def mark_committed(self, batch: Batch) -> None:
        """Releases the batch that was taken, or its first part, as committed."""
        with self._lock:
            self._backlog.mark_committed(batch)
            self._in_hand_from += batch.rows
            self._accounting.mark_committed(batch.rows)
        self._waiters.tell()

    def reject(self, batch: Batch, error: Exception) -> None:
        """Releases this batch of one row as rejected by the database."""
        with self._lock:
            self._waiters.fail(
                self._in_hand_from, self._in_hand_from, EntryRejectedError(f"the database refused the entry: {error}")
            )
            self._backlog.mark_committed(batch)
            self._in_hand_from += batch.rows
            self._accounting.drop("rejected", batch.rows)
        self._waiters.tell()

    def note_replayed(self, rows: int, truncated: int = 0) -> None:
        """Counts entries of a dead writer that were committed, and truncated lines that were found."""
        with self._lock:
            self._accounting.replayed += rows
            self._accounting.truncated += truncated

    def close(self) -> None:
        """Refuses every further entry."""
        with self._lock:
            self._is_closed = True
            self._backlog.close()
        self.waker.wake()

    def abandon(self) -> int:
        """Drops the entries that are only in memory, counted under ``shutdown``. Returns how many there were.

        Entries in the journal stay pending and are written at the next start.
        """
        with self._lock:
            if self._backlog.rows:
                self._waiters.abandoned_from = self._resolved + 1
            rows = self._backlog.clear_memory()
            if rows:
                self._accounting.drop("shutdown", rows)
        self._waiters.tell()
        return rows

    # -- waiting -------------------------------------------------------------------------------------------------

    @property
    def is_forked(self) -> bool:
        """Whether this process was forked after the queue was made."""
        return self._forked

    @property
    def accepted(self) -> int:
        """The number of the newest entry that was accepted."""
        return self._backlog.accepted

    async def until_resolved(self, number: int, *, watched: bool = False, replayed: bool = False) -> None:
        """Returns once the entry with that number and all before it are committed or dropped.

        With `replayed`, once the journals of dead writers are replayed as well. Raises `EntryAbandonedError` when
        shutdown ran out of time, `ClosedError` when no writer runs, and, for a watched entry, what kept it out of the
        database.
        """
        self.require_same_process()
        await self._waiters.until_resolved(number, watched=watched, replayed=replayed)

    @property
    def _resolved(self) -> int:
        """The number of the newest entry that is committed or dropped along with all before it."""
        if self._backlog.in_hand is not None:
            # Entries behind the batch may have been dropped; that says nothing about the batch itself.
            return self._in_hand_from - 1
        return self._backlog.gone

    def _count_oldest_dropped(self, count: int) -> None:
        self._accounting.drop("queue_full", count)
        self._fail_last_resolved(count, QueueFullError("the entry was dropped for newer ones; raise max_queue_size"))

    def _fail_last_resolved(self, count: int, error: EntryError) -> None:
        """Notes the error for those who watch one of the `count` oldest waiting entries, which were just dropped."""
        # The batch being written is older still, and was not dropped.
        last = self._backlog.gone + self._backlog.rows_in_hand
        self._waiters.fail(last - count + 1, last, error)

    # -- accounting ----------------------------------------------------------------------------------------------

    def counts(self) -> EntryCounts:
        """A consistent snapshot of what became of the entries so far."""
        with self._lock:
            return self._accounting.counts(self._backlog, self.journal_error)

    @property
    def journal_error(self) -> str | None:
        """Why entries are not journaled although they should be, or None."""
        journal = self._backlog.journal
        return journal.error if journal is not None else self._no_journal

    @property
    def journal_write(self) -> JournalWriteMethod | None:
        """How lines are written to the journal at present; None without a journal."""
        journal = self._backlog.journal
        return journal.write_method if journal is not None else None

    def disown(self) -> None:
        """In a forked child, drops what is the parent's; the lock may be held by a thread that does not exist here."""
        self._use_new_lock()
        self._forked = self._is_closed = True
        self._backlog.close()
        self.waker.detach()
        if self._backlog.journal is not None:
            # Closing does not release the parent's lock; keeping the descriptor would hold it after the parent's death.
            self._backlog.journal.disown()
            self._backlog.journal = None
