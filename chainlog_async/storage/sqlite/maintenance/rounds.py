"""What the writer does between batches, about once a second: look after the files, prune, give space back, add up."""

from __future__ import annotations

import asyncio
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

from chainlog_async.common.clock import now_ms
from chainlog_async.storage.sqlite.errors import StorageFault, classify, sqlite_error_name
from chainlog_async.storage.sqlite.files import Files
from chainlog_async.storage.sqlite.storage import SqliteStorage
from chainlog_async.writer.health import HealthState

from .retention import Retention
from .rollup_job import RollupJob

if TYPE_CHECKING:
    from chainlog_async.settings import Settings

MAINTENANCE_INTERVAL_S = 1.0
"""Time between two rounds, in seconds."""

SHARE_BEHIND = 10
"""While batches wait, adding up takes one part in so many of the time."""


class MaintenanceRounds:
    """Rounds that are short; what goes wrong with one part of them does not keep the others from being done."""

    def __init__(self, health: HealthState, storage: SqliteStorage, settings: Settings) -> None:
        self._health = health
        self._storage = storage
        self._wal_limit = settings.wal_limit_bytes
        self._retention = Retention(settings)
        self._rollups = RollupJob()
        self._next_at = monotonic() + MAINTENANCE_INTERVAL_S

    def due_in_s(self) -> float:
        """Time until the next round, in seconds; not above zero when it is due."""
        return self._next_at - monotonic()

    async def run_if_due(self, *, is_behind: bool) -> None:
        """One round. What goes wrong is reported and tried again in the next; raises where the file is damaged.

        `is_behind` says that full batches wait, which what is not urgent has to leave more time.
        """
        if self.due_in_s() > 0:
            return
        self._next_at = monotonic() + MAINTENANCE_INTERVAL_S
        troubles: list[str] = []
        for work in (self._look_after_files, self._prune, partial(self._roll_up, is_behind)):
            try:
                if (trouble := await work()) is not None:
                    troubles.append(trouble)
            except asyncio.CancelledError:
                # The log ends, and what it has to write would wait for a statement that can be done some other time.
                await self._storage.end_statement()
                raise
            except Exception as error:
                # Entries are written all the same.
                fault = classify(error)
                if fault is StorageFault.DAMAGED:
                    raise
                if fault is StorageFault.BUSY:
                    # The rest would wait for the same lock, and a batch behind it.
                    return
                troubles.append(f"{error} ({sqlite_error_name(error)})")
        self._health.note_maintenance(troubles[0] if troubles else None)

    async def _look_after_files(self) -> str | None:
        files = await self._storage.follow_file()
        trouble = await self._save_deleted_wal(files)
        self._health.database_bytes = files.database_bytes
        await self._look_after_wal(files.wal_bytes)
        return trouble

    async def _prune(self) -> None:
        more = await self._retention.prune_slice(self._storage.connection, now_ms())
        self._health.too_large = self._retention.too_large
        if more:
            self._next_at = monotonic()

    async def _roll_up(self, is_behind: bool) -> None:
        began = monotonic()
        if await self._rollups.advance(self._storage.connection, now_ms()):
            # As long a pause as it took, at least: other processes have to write, too.
            took_s = monotonic() - began
            pause_s = took_s * (SHARE_BEHIND - 1 if is_behind else 1)
            self._next_at = min(self._next_at, monotonic() + pause_s)

    async def _save_deleted_wal(self, files: Files) -> str | None:
        """Moves what is in a write-ahead log that somebody deleted into the database; says what to do about it."""
        if not self._storage.wal_was_deleted(files):
            return None
        # To open the path again would mend it for one process and ruin it for two, whose logs would be different files.
        await self._storage.numbers("PRAGMA wal_checkpoint(PASSIVE)")
        return (
            f"{self._storage.path}-wal was deleted while in use, and nobody else can read the database; nothing is "
            "lost, but stop every process that has it open, then start them again"
        )

    async def _look_after_wal(self, size: int) -> None:
        if size <= self._wal_limit:
            self._health.note_wal(size)
            return
        # PASSIVE waits for nobody; once no reader needs the log, the next commit starts it afresh and
        # journal_size_limit cuts the file. The answer has to be read: a checkpoint that did nothing raises nothing.
        _, frames, moved = await self._storage.numbers("PRAGMA wal_checkpoint(PASSIVE)")
        self._health.note_wal(size, frames=frames, moved=moved)
