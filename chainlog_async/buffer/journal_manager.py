"""A writer's id, lock and journal in the folder beside the database, which it may share with other writers."""

from __future__ import annotations

import logging
import uuid
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from chainlog_async.common.cancellation import run_in_thread, run_shielded
from chainlog_async.common.database_files import journal_folder

from .journal import Journal
from .kept_segments import KeptSegments
from .lease import Lease, take_dead_leases, take_lease, writers_without_lock
from .queue import EntryQueue
from .recovery import kept_batches
from .reservation import reserving_device
from .segment import Segment, remove_segments

if TYPE_CHECKING:
    from chainlog_async.entry.batch import Batch
    from chainlog_async.settings import Settings

logger = logging.getLogger(__name__)

FOLDER_CHECK_INTERVAL_S = 1.0
"""Time between two checks of the folder, in seconds; committed segments are deleted that much later at most."""

MAX_SEGMENTS = 256
"""Most segments of one journal. Each is an open file, and the gateway needs file descriptors too."""


class JournalManager:
    """Takes the writer's lock, starts its journal, deletes committed segments, and recovers a deleted folder."""

    def __init__(self, queue: EntryQueue, settings: Settings) -> None:
        self._queue = queue
        self._enabled = settings.journal
        self._journal_path = settings.journal_path
        self._max_batch_rows = settings.max_batch_size
        self._max_bytes = settings.journal_max_bytes
        # Small bounds need small segments, because committed lines leave the disk one segment at a time.
        segment_bytes = max(settings.journal_segment_bytes, settings.journal_max_bytes // MAX_SEGMENTS)
        self._segment_bytes = min(segment_bytes, settings.journal_max_bytes // 4)
        self._write = settings.journal_write
        self._mapped_on: int | None = None
        self._lease: Lease | None = None
        self._folder = Path()
        self._dead: list[Lease] = []
        self._without_lock: set[str] | None = None
        self._committed: list[Segment] = []
        # A file of SQLite does not go back to what it was.
        self._kept = KeptSegments(settings.journal_keep_s if settings.engine == "postgres" else 0, self._max_bytes)
        self.writer_id = uuid.uuid4().hex
        queue.set_writer_id(self.writer_id)
        self.left_behind = False
        """Whether an earlier writer ended without shutting down."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What an operator should know about the journal although nothing is wrong."""
        if self._write == "mmap" and self._queue.journal_write == "pwrite":
            return (
                f"journal_write is mmap, but no space can be reserved in {self._folder}: lines are written by pwrite",
            )
        return ()

    async def open(self, db_path: Path) -> None:
        """Takes the lock and starts the journal. If that fails, entries wait in memory and health reports it."""
        self._folder = await run_in_thread(journal_folder, db_path, self._journal_path)
        try:
            await self._take_lease()
        except OSError as error:
            self._note_no_journal(error)

    async def take_dead(self, on_problem: Callable[[str], None]) -> list[Lease]:
        """Takes leases on the journals of dead writers. Those still in the list are released by `close`.

        A running writer whose lock file was deleted makes a new one within `FOLDER_CHECK_INTERVAL_S`. So from the
        second call on, a journal without a lock is only taken if it had none at the call before, either.
        """
        problems: list[str] = []
        try:
            if self._lease is not None:
                await run_shielded(self._take_dead(problems))
        except OSError as error:
            problems.append(f"{self._folder} cannot be searched for the journals of dead writers: {error}")
        for problem in problems:
            on_problem(problem)
        self.left_behind = self.left_behind or bool(self._dead)
        return self._dead

    async def look_after(self) -> None:
        """Maintains the folder until cancelled, whatever happens, even while the database cannot be written."""
        while True:
            try:
                self._queue.report_journal()
                await self.remove_committed()
                await self._follow_folder()
            except OSError as error:
                self._note_no_journal(error)
            except Exception:
                logger.exception("maintaining the journal's folder failed; trying again")
            await anyio.sleep(FOLDER_CHECK_INTERVAL_S)

    async def remove_committed(self) -> bool:
        """Deletes committed segments whose time is over. Returns False when some are left."""
        self._kept.add(self._queue.take_released())
        self._committed += self._kept.take_due()
        if self._committed:
            # Shielded: segments that could not be deleted must be remembered, or their rows would be replayed one day.
            await run_shielded(self._remove_committed())
        return not self._committed and not self._kept

    def kept_batches(self, writer_id: str, position: int, until: int) -> AsyncGenerator[Batch]:
        """What is still in a journal here of that writer's stream, committed or not. Raises `OSError`."""
        return kept_batches(self._folder, writer_id, position, until, max_batch_rows=self._max_batch_rows)

    async def close(self, *, forget: bool, keep_lock: bool = False) -> None:
        """Ends the stream. `forget` deletes the lock file; `keep_lock` keeps others from replaying the journal."""
        try:
            if self._lease is not None and not keep_lock:
                lease, self._lease = self._lease, None
                await run_in_thread(lease.release, remove=forget)
        except OSError as error:
            logger.warning("the lock file of this writer was not deleted: %s", error)
        finally:
            self._kept.close()
            while self._dead:
                await run_in_thread(self._dead.pop().release, remove=False)

    async def _follow_folder(self) -> None:
        """Recreates the folder if it was deleted or could not be created before. Raises `OSError`."""
        lease = self._lease
        if lease is None or not await run_in_thread(lease.is_in_place):
            await self._take_lease()
            if lease is not None:
                # Lines in the deleted files are still read through their descriptors and written; until then they
                # would no longer survive a kill.
                logger.warning("%s was deleted while in use; creating it again", self._folder)
                await run_in_thread(lease.release, remove=False)
        elif (segment := self._queue.newest_segment) is not None and not await run_in_thread(segment.is_in_place):
            logger.warning("%s was deleted or cut while in use; starting a new segment", segment.path)
            self._queue.begin_segment(None)

    async def _take_lease(self) -> None:
        # Shielded: a lock whose lease was lost would be held until the process ends.
        await run_shielded(self._take_lease_now())

    async def _take_lease_now(self) -> None:
        self._lease = await run_in_thread(take_lease, self._folder, self.writer_id)
        if self._enabled and self._write != "pwrite":
            trusting = self._write == "mmap"
            self._mapped_on = await run_in_thread(reserving_device, self._folder, trusting=trusting)
        self._queue.begin_segment(self._new_journal if self._enabled else None)

    async def _take_dead(self, problems: list[str]) -> None:
        await run_in_thread(self._look_for_dead, problems)

    def _look_for_dead(self, problems: list[str]) -> None:
        before, self._without_lock = self._without_lock, writers_without_lock(self._folder)
        spared = set() if before is None else self._without_lock - before
        self._dead.extend(take_dead_leases(self._folder, problems.append, but={*spared, self.writer_id}))

    async def _remove_committed(self) -> None:
        segments, self._committed = self._committed, []
        left = await run_in_thread(remove_segments, segments)
        # Not in one statement: `+=` would add to the list as it was before the await.
        self._committed += left

    def _note_no_journal(self, error: OSError) -> None:
        if self._enabled:
            self._queue.note_no_journal(f"{self._folder}: {error}")

    def _new_journal(self) -> Journal:
        return Journal(
            self._folder,
            self.writer_id,
            max_bytes=self._max_bytes,
            segment_bytes=self._segment_bytes,
            mapped_on=self._mapped_on,
        )
