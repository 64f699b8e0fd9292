"""The writer's connection, which follows the file at its path.

When the file is deleted, moved or replaced, or is damaged and may be moved aside, the path is opened again.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import aiosqlite
import anyio

from chainlog_async.common.cancellation import run_in_thread, run_shielded
from chainlog_async.common.sqlite import sqlite3
from chainlog_async.errors import DatabaseError
from chainlog_async.storage.base import StorageFault

from .connection import close_connection
from .files import FileIdentity, Files, Logs, file_identity, logs_of, look_at_files
from .open import open_database, quarantine_database
from .quarantine import set_logs_aside

if TYPE_CHECKING:
    from chainlog_async.settings import Settings

logger = logging.getLogger(__name__)

MAX_BUSY_TIMEOUT_MS = 500
"""How long SQLite itself may wait for another process's lock, in ms; that wait cannot be cancelled."""

REPLACED_FILE_POLL_S = 1.0
"""How often a writer that stopped because of a damaged file checks for another one at its path, in seconds."""


class WriteConnection:
    """A connection to a path, replaced whenever the file at the path is."""

    def __init__(
        self,
        connection: aiosqlite.Connection,
        settings: Settings,
        *,
        on_reopen: Callable[[], Awaitable[None]],
    ) -> None:
        self.connection = connection
        self.path = Path(settings.db_path)
        self._settings = settings
        self._on_reopen = on_reopen
        self._file: FileIdentity | None = None
        self._logs: Logs = (None, None)
        self._suspect: FileIdentity | None = None
        self._is_stale = False

    async def locate(self) -> Path:
        """Asks SQLite where the connection's file is, and remembers which file that is. Raises `sqlite3.Error`."""
        # The committer waits for locks itself, with pauses that can be cancelled; SQLite's own wait cannot be.
        await self.query(f"PRAGMA busy_timeout = {min(self._settings.busy_timeout_ms, MAX_BUSY_TIMEOUT_MS):d}")
        ((file,),) = await self.query("SELECT file FROM pragma_database_list WHERE name = 'main'")
        self.path = Path(str(file))
        files = await run_in_thread(look_at_files, self.path)
        self._file = self._suspect = files.database
        self._logs = files.logs
        return self.path

    async def query(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[object, ...]]:
        """Runs one statement on the writer's connection and returns its rows. Raises `sqlite3.Error`."""
        return [tuple(row) for row in await self.connection.execute_fetchall(sql, parameters)]

    async def numbers(self, sql: str) -> list[int]:
        """Returns the single row of a query for integers. Raises `sqlite3.Error`."""
        (row,) = await self.query(sql)
        return [int(str(value)) for value in row]

    async def end_statement(self) -> None:
        """Interrupts the running statement, if there is one. Awaits nothing, so a cancelled caller may call it."""
        with suppress(sqlite3.Error, ValueError):
            await self.connection.interrupt()

    async def recover(self, fault: StorageFault) -> None:
        """Opens the path again if that can help; with a damaged file, waits until it was replaced or moves it aside.

        Raises `DatabaseError` or `OSError` when the path cannot be opened now.
        """
        if fault is StorageFault.DAMAGED:
            if self._settings.on_corrupt == "quarantine":
                await quarantine_database(self.path, self._suspect)
            else:
                while not await run_in_thread(self._was_repaired):  # noqa: ASYNC110  # the file system has no event to wait for
                    await anyio.sleep(REPLACED_FILE_POLL_S)
            await self._reopen()
        elif fault in (StorageFault.STORAGE, StorageFault.UNKNOWN, StorageFault.OTHER):
            await self._reopen()
        else:
            await self.follow_file()

    async def follow_file(self) -> Files:
        """Opens the path again when the file was deleted, moved or replaced. Raises what `recover` raises."""
        files = await run_in_thread(look_at_files, self.path)
        if self._is_stale or files.database != self._file:
            if not self._is_stale:
                logger.warning("%s was moved, deleted or replaced while in use; opening it again", self.path)
            self._is_stale = True
            await self._reopen()
            files = await run_in_thread(look_at_files, self.path)
        return files

    def wal_was_deleted(self, files: Files) -> bool:
        """Whether the write-ahead log that the connection writes to was deleted."""
        (log, *_), (now, *_) = self._logs, files.logs
        return log is not None and now != log and not self._is_stale

    def _was_repaired(self) -> bool:
        """Whether an operator has replaced the damaged file, or moved all of its files away."""
        file = file_identity(self.path)
        if file is None:
            # An operator who moves the files one by one must not find a new database between them.
            return logs_of(self.path) != self._logs or self._logs == (None, None)
        return file != self._suspect

    async def require_file(self) -> None:
        """Opens the path again if the file is gone: commits to it would be lost. Raises what `recover` raises."""
        if self._is_stale:
            await self._reopen()

    async def _reopen(self) -> None:
        connection, file = await self._open_current_file()
        # Nothing is awaited between here and the end of the swap, so a cancellation finds one connection or the other.
        old, self.connection = self.connection, connection
        self._is_stale = False
        await run_shielded(self._renew(old, file))

    async def _open_current_file(self) -> tuple[aiosqlite.Connection, FileIdentity]:
        """A new connection, and which file it has open: the one that is at the path before and after."""
        while True:
            file = await run_in_thread(file_identity, self.path)
            self._is_stale = file != self._file
            if self._is_stale and (logs := await run_in_thread(set_logs_aside, self.path, self._file, self._logs)):
                logger.warning("the write-ahead log of the file that was at %s is now %s-wal", self.path, logs)
            try:
                connection = await open_database(self._settings.model_copy(update={"db_path": self.path}))
            except DatabaseError:
                self._suspect = file
                raise
            try:
                now = await run_in_thread(file_identity, self.path)
            except BaseException:
                await close_connection(connection)
                raise
            if file is not None and now == file:
                return connection, file
            # Made just now, or exchanged in between. To take the one for the other would be to move the write-ahead
            # log of the very file that is written to.
            await close_connection(connection)

    async def _renew(self, old: aiosqlite.Connection, file: FileIdentity) -> None:
        await close_connection(old, interrupting=True)
        await self.locate()
        # Should there be another one by now, the next round finds that out.
        self._file = self._suspect = file
        await self._on_reopen()
