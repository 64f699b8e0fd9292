"""What the writer does between batches, about once a second: look after the files, prune, give space back, add up."""

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

SHARE_BEHIND = 10
"""While batches wait, adding up takes one part in so many of the time."""


class MaintenanceRounds:
    """Rounds that are short; what goes wrong with one part of them does not keep the others from being done."""

    def __init__(self, file: WriteConnection, settings: Settings) -> None:
        self._file = file
        self._wal_limit = settings.wal_limit_bytes
        self._retention = Retention(settings)
        self._rollups = RollupJob()
        self._next_at = monotonic() + MAINTENANCE_INTERVAL_S

    async def run_if_due(self, events: StorageEvents, *, is_behind: bool) -> float:
        """One round, if it is time for one. Returns the time until the next, in seconds.

        Problems are reported to `events` and tried again in the next round; raises only when the file is damaged.
        While full batches wait (`is_behind`), what is not urgent leaves them more time.
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
                # The log ends, and what it has to write would wait for a statement that can be done some other time.
                await self._file.end_statement()
                raise
            except Exception as error:
                # Entries are written all the same.
                fault = classify(error)
                if fault is StorageFault.DAMAGED:
                    raise
                if fault is StorageFault.BUSY:
                    # The rest would wait for the same lock, and a batch behind it.
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
        more = await self._retention.prune_slice(self._file.connection, now_ms())
        events.note_too_large(self._retention.too_large)
        if more:
            self._next_at = monotonic()

    async def _roll_up(self, is_behind: bool) -> None:
        began = monotonic()
        if await self._rollups.advance(self._file.connection, now_ms()):
            # As long a pause as it took, at least: other processes have to write, too.
            took_s = monotonic() - began
            pause_s = took_s * (SHARE_BEHIND - 1 if is_behind else 1)
            self._next_at = min(self._next_at, monotonic() + pause_s)

    async def _save_deleted_wal(self, files: Files) -> str | None:
        """Moves what is in a write-ahead log that somebody deleted into the database; says what to do about it."""
        if not self._file.wal_was_deleted(files):
            return None
        # To open the path again would mend it for one process and ruin it for two, whose logs would be different files.
        await self._file.numbers("PRAGMA wal_checkpoint(PASSIVE)")
        return (
            f"{self._file.path}-wal was deleted while in use, and nobody else can read the database; nothing is "
            "lost, but stop every process that has it open, then start them again"
        )

    async def _checkpoint_if_large(self, events: StorageEvents, size: int) -> None:
        if size <= self._wal_limit:
            events.note_wal(size)
            return
        # PASSIVE waits for nobody; once no reader needs the log, the next commit starts it afresh and
        # journal_size_limit cuts the file. The answer has to be read: a checkpoint that did nothing raises nothing.
        _, frames, moved = await self._file.numbers("PRAGMA wal_checkpoint(PASSIVE)")
        events.note_wal(size, frames=frames, moved=moved)
