"""Maintenance between batches, about once a second: checks files, deletes old rows, frees space, rolls up usage."""

from __future__ import annotations

import asyncio
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

from chainlog_async.common.clock import now_ms
from chainlog_async.storage.base import StorageEvents, StorageFault
from chainlog_async.storage.sqlite.errors import classify, describe
from chainlog_async.storage.sqlite.files import Files
from chainlog_async.storage.sqlite.write_connection import WriteConnection

from .retention import Retention
from .rollup_job import RollupJob

if TYPE_CHECKING:
    from chainlog_async.settings import Settings

MAINTENANCE_INTERVAL_S = 1.0
"""Time between two rounds, in seconds."""

ROLLUP_SHARE_BEHIND = 10
"""While full batches wait, rolling up may take one part in so many of the time."""


class MaintenanceRounds:
    """Short rounds of maintenance; a failure of one part does not prevent the others."""

    def __init__(self, file: WriteConnection, settings: Settings) -> None:
        self._file = file
        self._wal_limit = settings.wal_limit_bytes
        self._retention = Retention(settings)
        self._rollups = RollupJob()
        self._next_at = monotonic() + MAINTENANCE_INTERVAL_S

    async def run_if_due(self, events: StorageEvents, *, is_behind: bool) -> float:
        """Does one round if it is due. Returns the time until the next, in seconds.

        Problems are reported to `events` and retried in the next round; raises only when the file is damaged. While
        full batches wait (`is_behind`), work that is not urgent leaves them more time.
        """
        if self._next_at <= monotonic():
            await self._run(events, is_behind)
        return max(self._next_at - monotonic(), 0.0)

    async def _run(self, events: StorageEvents, is_behind: bool) -> None:
        self._next_at = monotonic() + MAINTENANCE_INTERVAL_S
        troubles: list[str] = []
        for work in (
            partial(self._check_files, events),
            partial(self._purge_old_rows, events),
            partial(self._roll_up, is_behind),
        ):
            try:
                if (trouble := await work()) is not None:
                    troubles.append(trouble)
            except asyncio.CancelledError:
                # Shutdown: the batches to be written must not wait for a statement that can run some other time.
                await self._file.end_statement()
                raise
            except Exception as error:
                # Entries are still written.
                fault = classify(error)
                if fault is StorageFault.DAMAGED:
                    raise
                if fault is StorageFault.BUSY:
                    # The other parts, and the next batch, would wait for the same lock.
                    return
                troubles.append(describe(error))
        events.note_maintenance(troubles[0] if troubles else None)

    async def _check_files(self, events: StorageEvents) -> str | None:
        files = await self._file.follow_file()
        trouble = await self._save_deleted_wal(files)
        events.note_size(files.database_bytes)
        await self._checkpoint_if_large(events, files.wal_bytes)
        return trouble

    async def _purge_old_rows(self, events: StorageEvents) -> None:
        more = await self._retention.purge_some(self._file.connection, now_ms())
        events.note_too_large(self._retention.too_large)
        if more:
            self._next_at = monotonic()

    async def _roll_up(self, is_behind: bool) -> None:
        began = monotonic()
        if await self._rollups.advance(self._file.connection, now_ms()):
            # Pauses at least as long as the work took, so that other processes can write too.
            took_s = monotonic() - began
            pause_s = took_s * (ROLLUP_SHARE_BEHIND - 1 if is_behind else 1)
            self._next_at = min(self._next_at, monotonic() + pause_s)

    async def _save_deleted_wal(self, files: Files) -> str | None:
        """If the write-ahead log was deleted, moves its content into the database. Returns the remedy, or None."""
        if not self._file.wal_was_deleted(files):
            return None
        # Reopening would help one process, but corrupt the file with two, whose logs would be different files.
        await self._file.numbers("PRAGMA wal_checkpoint(PASSIVE)")
        return (
            f"{self._file.path}-wal was deleted while in use, and no other process can read the database; nothing is "
            "lost, but stop every process that has it open, then start them again"
        )

    async def _checkpoint_if_large(self, events: StorageEvents, size: int) -> None:
        if size <= self._wal_limit:
            events.note_wal(size)
            return
        # PASSIVE never waits. Once no reader needs the log, the next commit restarts it and journal_size_limit
        # truncates the file. The result must be read, because a checkpoint that did nothing raises nothing.
        _, frames, moved = await self._file.numbers("PRAGMA wal_checkpoint(PASSIVE)")
        events.note_wal(size, frames=frames, moved=moved)
