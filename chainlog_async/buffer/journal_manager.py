"""What makes a writer one of several: its name, its lock and its journal."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from chainlog_async.common.cancellation import run_in_thread, run_shielded

from .journal import Journal, Segment, remove_segments
from .lease import Lease, take_dead_leases, take_lease
from .paths import journal_folder
from .queue import EntryQueue

if TYPE_CHECKING:
    from chainlog_async.settings import Settings

logger = logging.getLogger("chainlog_async")

FOLDER_CHECK_INTERVAL_S = 1.0
"""How often the folder is looked at, in seconds; what is committed leaves the disk that much later at the most."""

MAX_SEGMENTS = 256
"""In how many files a journal of the largest size is kept; each is open, and open files are the gateway's as well."""


class JournalManager:
    """The living writer's side of the folder beside the database."""

    def __init__(self, queue: EntryQueue, settings: Settings) -> None:
        self._queue = queue
        self._enabled = settings.journal
        self._max_bytes = settings.journal_max_bytes
        # With a small bound, small segments: what is committed only leaves the disk a segment at a time.
        segment_bytes = max(settings.journal_segment_bytes, settings.journal_max_bytes // MAX_SEGMENTS)
        self._segment_bytes = min(segment_bytes, settings.journal_max_bytes // 4)
        self._lease: Lease | None = None
        self._folder = Path()
        self._dead: list[Lease] = []
        self._committed: list[Segment] = []
        self.writer_id = uuid.uuid4().hex
        queue.set_writer_id(self.writer_id)
        self.left_behind = False
        """Whether a writer before this one ended without its shutdown."""

    async def open(self, db_path: Path) -> None:
        """Takes a lock and starts the journal. Where that fails, entries wait in memory and health says so."""
        self._folder = journal_folder(db_path)
        try:
            await self._take_lease()
        except OSError as error:
            self._note_no_journal(error)

    async def take_dead(self, on_problem: Callable[[str], None]) -> list[Lease]:
        """Leases on what dead writers left; those still in the list when the stream is closed are released then."""
        problems: list[str] = []
        try:
            if self._lease is not None:
                await run_shielded(self._take_dead(problems))
        except OSError as error:
            problems.append(f"{self._folder} cannot be searched for journals of writers before this one: {error}")
        for problem in problems:
            on_problem(problem)
        self.left_behind = self.left_behind or bool(self._dead)
        return self._dead

    async def look_after(self) -> None:
        """Keeps the folder in order until it is cancelled, whatever happens; also while the database takes nothing."""
        while True:
            try:
                self._queue.report_journal()
                await self.remove_committed()
                await self._follow_folder()
            except OSError as error:
                self._note_no_journal(error)
            except Exception:
                logger.exception("the journal's folder could not be looked after; it is tried again")
            await anyio.sleep(FOLDER_CHECK_INTERVAL_S)

    async def remove_committed(self) -> bool:
        """Deletes the segments that are committed. False when there are some that cannot be deleted at the moment."""
        self._committed += self._queue.take_released()
        if self._committed:
            # To its end: what could not be deleted has to be remembered, or its rows would be replayed some day.
            await run_shielded(self._remove_committed())
        return not self._committed

    async def close(self, *, forget: bool, keep_lock: bool = False) -> None:
        """Ends the stream. With `forget` nothing of it is needed, with `keep_lock` nobody may replay it yet."""
        try:
            if self._lease is not None and not keep_lock:
                lease, self._lease = self._lease, None
                await run_in_thread(lease.release, remove=forget)
        except OSError as error:
            logger.warning("the lock of this writer was not removed: %s", error)
        finally:
            while self._dead:
                await run_in_thread(self._dead.pop().release, remove=False)

    async def _follow_folder(self) -> None:
        """Makes the folder anew when somebody deleted it, or could not be made before. Raises `OSError`."""
        lease = self._lease
        if lease is None or not await run_in_thread(lease.is_in_place):
            await self._take_lease()
            if lease is not None:
                # What waits in the deleted files is still read through their descriptors, and written; it just would
                # not survive a kill any more.
                logger.warning("%s was deleted while in use; it is made anew", self._folder)
                await run_in_thread(lease.release, remove=False)
        elif (segment := self._queue.newest_segment) is not None and not await run_in_thread(segment.is_in_place):
            logger.warning("%s was deleted while in use; a new one is begun", segment.path)
            self._queue.begin_segment(None)

    async def _take_lease(self) -> None:
        # To its end: a lock that nobody knows of would be held as long as this process lives.
        await run_shielded(self._take_lease_now())

    async def _take_lease_now(self) -> None:
        self._lease = await run_in_thread(take_lease, self._folder, self.writer_id)
        self._queue.begin_segment(self._new_journal if self._enabled else None)

    async def _take_dead(self, problems: list[str]) -> None:
        await run_in_thread(self._look_for_dead, problems)

    def _look_for_dead(self, problems: list[str]) -> None:
        self._dead.extend(take_dead_leases(self._folder, problems.append, but=self.writer_id))

    async def _remove_committed(self) -> None:
        segments, self._committed = self._committed, []
        left = await run_in_thread(remove_segments, segments)
        # Not in one line: the list that is added to must not be the one from before the wait.
        self._committed += left

    def _note_no_journal(self, error: OSError) -> None:
        if self._enabled:
            self._queue.note_no_journal(f"{self._folder}: {error}")

    def _new_journal(self) -> Journal:
        return Journal(self._folder, self.writer_id, max_bytes=self._max_bytes, segment_bytes=self._segment_bytes)
