"""What the writer does between batches, about once a second: look after the files, prune, give space back."""

from __future__ import annotations

import logging
import sqlite3
from time import monotonic
from typing import TYPE_CHECKING

from anyio import to_thread

from .condition import Condition
from .entry import now_ms
from .errors import ChainlogError
from .faults import Fault, classify, errorname
from .queue import EntryQueue
from .retention import Retention
from .store import Store, wal_bytes
from .stream import Stream

if TYPE_CHECKING:
    from .settings import Settings

logger = logging.getLogger("chainlog_async")

TICK_S = 1.0
"""Time between two rounds, in seconds."""


class Maintenance:
    """Rounds that are short, and never raise."""

    def __init__(
        self, condition: Condition, queue: EntryQueue, store: Store, stream: Stream, settings: Settings
    ) -> None:
        self._condition = condition
        self._queue = queue
        self._store = store
        self._stream = stream
        self._wal_limit = settings.wal_limit_bytes
        self._retention = Retention(store, settings)
        self._next_at = monotonic() + TICK_S

    def due_in_s(self) -> float:
        """Time until the next round, in seconds; not above zero when it is due."""
        return self._next_at - monotonic()

    async def run_if_due(self) -> None:
        """One round. What goes wrong is reported, and tried again in the next."""
        if self.due_in_s() > 0:
            return
        self._next_at = monotonic() + TICK_S
        self._queue.report_journal()
        try:
            await self._store.follow_file()
            await self._stream.follow_folder()
            await self._look_after_wal()
            more_to_prune = await self._retention.prune_slice(now_ms())
        except (sqlite3.Error, ChainlogError, OSError) as error:
            if classify(error) is not Fault.BUSY:
                self._condition.note_error(f"{error} ({errorname(error)})")
            return
        if more_to_prune:
            self._next_at = monotonic()

    async def _look_after_wal(self) -> None:
        size = await to_thread.run_sync(wal_bytes, self._store.path)
        if size <= self._wal_limit:
            self._condition.note_wal(size)
            return
        # PASSIVE waits for nobody; once no reader needs the log, the next commit starts it afresh and
        # journal_size_limit cuts the file. The answer has to be read: a checkpoint that did nothing raises nothing.
        _, frames, moved = await self._store.numbers("PRAGMA wal_checkpoint(PASSIVE)")
        self._condition.note_wal(size, frames=frames, moved=moved)
