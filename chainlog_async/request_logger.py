"""`RequestLogger`: accepts entries and writes them through one background task."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import aiosqlite
import msgspec
from anyio import TASK_STATUS_IGNORED
from anyio.abc import TaskStatus

from chainlog_async.buffer.journal_manager import JournalManager
from chainlog_async.buffer.queue import EntryQueue
from chainlog_async.common.gil_yield import GilYielder
from chainlog_async.entry.line import encode_line
from chainlog_async.entry.model import RequestLogEntry
from chainlog_async.entry.redaction import Redactor
from chainlog_async.entry.repair import encode_repaired
from chainlog_async.storage.base import BatchStorage
from chainlog_async.storage.engines import connection_of, storage_of
from chainlog_async.writer.guests import GuestWriters
from chainlog_async.writer.health import HealthState
from chainlog_async.writer.writer import Writer

from .errors import ClosedError, InvalidEntryError, QueueFullError
from .statistics import Health, Statistics

if TYPE_CHECKING:
    from .settings import Settings


class RequestLogger:
    """Accepts entries at once and writes them in batches through one task.

    The connection comes from `initialize_database` and `migrate_schema` and must not be used by others while the logger
    runs. Start the writer with ``await task_group.start(logger.run)``; entries logged before that wait in memory. At
    the end, close `connection`.
    """

    def __init__(
        self,
        connection: aiosqlite.Connection | BatchStorage,
        settings: Settings | None = None,
        *,
        on_reopen: Callable[[], Awaitable[None]] | None = None,
        gil_yielder: GilYielder | None = None,
    ) -> None:
        if settings is None:
            from .settings import Settings

            settings = Settings()
        self._redact = Redactor(settings.redact_patterns)
        self._health = HealthState()
        self._queue = EntryQueue(
            max_rows=settings.max_queue_size,
            max_bytes=settings.max_queue_bytes,
            max_batch_rows=settings.max_batch_size,
            drop_oldest=settings.on_full == "drop_oldest",
        )
        self._on_reopen = on_reopen
        # Bound once, which saves an attribute lookup for each request.
        self._put: Callable[[bytes], int] = self._queue.put
        self._storage = storage_of(connection, settings)
        self._storage.report_to(self._health, self._reopened)
        # Only SQLite runs in a thread of this process.
        self._gil_yielder = gil_yielder or GilYielder(enabled=settings.yield_gil and settings.engine == "sqlite")
        self._journals = JournalManager(self._queue, settings)
        self._writer = Writer(self._health, self._queue, self._storage, self._journals, self._gil_yielder, settings)

    @property
    def connection(self) -> aiosqlite.Connection:
        """The writer's connection to SQLite; a different one after the file was replaced.

        Raises `TypeError` when the log is kept by another engine.
        """
        return connection_of(self._storage)

    @property
    def guests(self) -> GuestWriters:
        """What stores the batches of writers on other machines."""
        return self._writer.guests

    @property
    def is_forked(self) -> bool:
        """Whether this process was forked after the log was opened, and so cannot use it."""
        return self._queue.is_forked

    @property
    def is_stuck(self) -> bool:
        """Whether the database failed to respond the last time the writer used it."""
        return self._storage.is_stuck

    @property
    def write_error(self) -> str | None:
        """Why the last try to write failed; None once one succeeded, and while only a lock is waited for."""
        return self._health.write_error

    def log_request(self, entry: RequestLogEntry) -> bool:
        """Accepts the entry and returns at once, from any thread.

        Returns False when it was not accepted: a required field cannot be stored, the queue is full, or the log is shut
        down. That is counted in `statistics` and logged at most once a minute per reason; it never raises for load or
        for what the entry holds. An optional value that cannot be stored is cut, converted or left out; see
        `Statistics.repaired`. Raises `ForkedError` in a process that was forked after the log was opened.
        """
        # A local name, because Python 3.11 is slow at calling an attribute.
        put = self._put
        try:
            try:
                line = encode_line(entry, self._redact)
            except InvalidEntryError as error:
                self._submit_repaired(entry, error)
            else:
                put(line)
        except InvalidEntryError as error:
            self._queue.report("invalid", str(error))
        except QueueFullError as error:
            self._queue.report("queue_full", str(error))
        except ClosedError as error:
            self._queue.report("closed", str(error))
        else:
            return True
        return False

    def submit(self, entry: RequestLogEntry) -> None:
        """Like `log_request`, but says why an entry is not accepted.

        Raises `InvalidEntryError`, `QueueFullError`, `ClosedError` or `ForkedError`; each is counted.
        """
        self._submit(entry)

    async def write(self, entry: RequestLogEntry) -> None:
        """Returns when the entry is committed; many callers share one commit.

        Raises what `submit` raises, `EntryRejectedError` when the database refuses the row, `QueueFullError` when the
        entry was dropped for a newer one, and `EntryAbandonedError` when shutdown ran out of time. When the call is
        cancelled, the entry is still written.
        """
        await self._queue.until_resolved(self._submit(entry, watch=True), watched=True)

    async def flush(self) -> None:
        """Returns when everything accepted before the call is committed.

        So is then what killed writers had left when this log was opened; later ones are looked for once a minute.

        Raises `ClosedError` when no writer runs, and `EntryAbandonedError` when shutdown ran out of time. Entries that
        were rejected by the database or dropped for newer ones raise nothing: see `statistics`.
        """
        await self._queue.until_resolved(self._queue.accepted, replayed=True)

    def statistics(self) -> Statistics:
        """What became of the entries so far, and what the writer reports. Cheap, and safe from any thread."""
        health = self._health
        return Statistics(
            **msgspec.structs.asdict(self._queue.counts()),
            commit_ms=health.commit_ms.histogram(),
            retries=health.retries,
            checkpoints_complete=health.checkpoints_complete,
            checkpoints_partial=health.checkpoints_partial,
            wal_bytes=health.wal_bytes,
            database_bytes=health.database_bytes,
            gil_yield_ms=1_000 * self._gil_yielder.spent_s,
            last_error=health.last_error,
            last_error_at=health.last_error_at,
        )

    def health(self) -> Health:
        """Whether entries reach the database."""
        if self.is_forked:
            reason = (
                "this log belongs to the parent process; spawn this process instead, or fork before opening the log"
            )
            return Health(status="failed", reasons=(reason,))
        notes = (*self._storage.notes, *self._journals.notes)
        return self._health.health(self._queue.journal_error, notes, self._queue.journal_write)

    async def run(self, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """Runs the writer until `stop` or cancellation, then drains the queue within ``shutdown_timeout_ms``.

        Raises `ForkedError` in a process that was forked after the log was opened.
        """
        # The connection's thread exists only in the parent; waiting for it here would never end.
        self._queue.require_same_process()
        await self._writer.run(task_status=task_status)

    def stop(self) -> None:
        """Refuses further entries and tells the writer to drain the queue and end; returns at once."""
        self._queue.close()
        self._writer.stop()

    async def _reopened(self) -> None:
        self._writer.forget_database()
        if self._on_reopen is not None:
            await self._on_reopen()

    def _submit(self, entry: RequestLogEntry, *, watch: bool = False) -> int:
        try:
            line = encode_line(entry, self._redact)
        except InvalidEntryError as error:
            return self._submit_repaired(entry, error, watch=watch)
        return self._queue.put(line, watch=watch)

    def _submit_repaired(self, entry: RequestLogEntry, refusal: InvalidEntryError, *, watch: bool = False) -> int:
        try:
            line, fields = encode_repaired(entry, self._redact)
        except InvalidEntryError:
            self._queue.refuse_invalid()
            raise
        number = self._queue.put(line, watch=watch)
        self._queue.note_repaired(fields)
        self._queue.report("repaired", f"{refusal}; the entry is stored without it or with what could be kept")
        return number
