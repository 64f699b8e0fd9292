"""What makes a writer one of several: its name, its lock and its journal."""

from __future__ import annotations

import logging
import uuid
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from anyio import to_thread

from .journal import Journal, remove_segments
from .lease import Lease, journal_folder, take_dead_leases, take_lease
from .queue import EntryQueue

if TYPE_CHECKING:
    from .settings import Settings

logger = logging.getLogger("chainlog_async")


class Stream:
    """The living writer's side of the folder beside the database."""

    def __init__(self, queue: EntryQueue, settings: Settings) -> None:
        self._queue = queue
        self._enabled = settings.journal
        self._max_bytes = settings.journal_max_bytes
        # With a small bound, small segments: what is committed only leaves the disk a segment at a time.
        self._segment_bytes = min(settings.journal_segment_bytes, settings.journal_max_bytes // 4)
        self._lease: Lease | None = None
        self._folder = Path()
        self.writer_id = uuid.uuid4().hex
        queue.name_stream(self.writer_id)
        self.left_behind = False
        """Whether a writer before this one ended without its shutdown."""

    async def open(self, db_path: Path) -> None:
        """Takes a lock and starts the journal. Where that fails, entries wait in memory and health says so."""
        self._folder = journal_folder(db_path)
        try:
            await self._take_lease()
        except OSError as error:
            if self._enabled:
                self._queue.note_no_journal(f"{self._folder}: {error}")

    async def take_dead(self) -> list[Lease]:
        """Leases on what dead writers left; each has to be released."""
        if self._lease is None:
            return []
        dead = await to_thread.run_sync(lambda: list(take_dead_leases(self._folder)))
        self.left_behind = self.left_behind or bool(dead)
        return dead

    async def remove_released(self) -> None:
        """Deletes the segments that are committed. What cannot be deleted is only reported."""
        released = self._queue.take_released()
        if released:
            try:
                await to_thread.run_sync(remove_segments, released)
            except OSError as error:
                logger.warning("a committed journal segment stays on disk: %s", error)

    async def follow_folder(self) -> None:
        """Makes the folder anew when somebody deleted it, or could not be made before. Raises `OSError`."""
        lease = self._lease
        if lease is None or not await to_thread.run_sync(lease.is_in_place):
            await self._take_lease()
        if lease is not None and lease is not self._lease:
            # What waits in the deleted files is still read through their descriptors, and written; it just would not
            # survive a kill any more.
            logger.warning("%s was deleted while in use; it is made anew", self._folder)
            await to_thread.run_sync(partial(lease.release, remove=False))

    async def close(self, *, forget: bool) -> None:
        """Ends the stream. With `forget` nothing of it is needed any more, and nothing is left on disk."""
        lease, self._lease = self._lease, None
        if lease is not None:
            await to_thread.run_sync(partial(lease.release, remove=forget))

    async def _take_lease(self) -> None:
        self._lease = await to_thread.run_sync(take_lease, self._folder, self.writer_id)
        self._queue.begin_segment(self._new_journal if self._enabled else None)

    def _new_journal(self) -> Journal:
        return Journal(self._folder, self.writer_id, max_bytes=self._max_bytes, segment_bytes=self._segment_bytes)
