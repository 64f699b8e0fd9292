"""The writer's connection, which follows the file at its path.

When the file is deleted, moved or replaced, or is damaged and may be moved aside, the path is opened again.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import aiosqlite
import anyio

from chainlog_async.common.cancellation import run_in_thread, run_shielded
from chainlog_async.errors import DatabaseError
from chainlog_async.storage.base import StorageFault

from .connection import close_connection
from .files import FileIdentity, Files, Logs, file_identity, logs_of, look_at_files
from .open import open_database, quarantine_database
from .quarantine import set_logs_aside

if TYPE_CHECKING:
    from chainlog_async.settings import Settings

logger = logging.getLogger("chainlog_async")

MAX_BUSY_TIMEOUT_MS = 500
"""How long SQLite itself waits for a lock of another process, in ms; it bounds what a shutdown may have to wait."""

REPLACED_FILE_POLL_S = 1.0
"""How often a writer that stopped for a damaged file looks for another one at its path, in seconds."""


class WriteConnection:
    """One connection to one path, replaced by another one when the file is."""

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
        self._is_left = False

    async def locate(self) -> Path:
        """Finds out where the connection's file is, as SQLite says. Raises `sqlite3.Error`."""
        # The committer waits for locks itself, with pauses that can be cancelled; SQLite's wait cannot be.
        await self.query(f"PRAGMA busy_timeout = {min(self._settings.busy_timeout_ms, MAX_BUSY_TIMEOUT_MS):d}")
        ((file,),) = await self.query("SELECT file FROM pragma_database_list WHERE name = 'main'")
        self.path = Path(str(file))
        files = await run_in_thread(look_at_files, self.path)
        self._file = self._suspect = files.database
        self._logs = files.logs
        return self.path

    async def query(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[object, ...]]:
        """One statement on the writer's connection. Raises `sqlite3.Error`."""
        return [tuple(row) for row in await self.connection.execute_fetchall(sql, parameters)]

    async def numbers(self, sql: str) -> list[int]:
        """The one row of a query for whole numbers. Raises `sqlite3.Error`."""
        (row,) = await self.query(sql)
        return [int(str(value)) for value in row]

    async def end_statement(self) -> None:
        """Ends the statement that is running, if one is; awaits nothing, so a cancelled caller may do it."""
        with suppress(sqlite3.Error, ValueError):
            await self.connection.interrupt()

    async def recover(self, fault: StorageFault) -> None:
        """Does what can be done about a fault before the next try; for a damaged file that may take for ever.

        Raises `DatabaseError` or `OSError` when the path cannot be opened at the moment.
        """
        if fault is StorageFault.DAMAGED:
            if self._settings.on_corrupt == "quarantine":
                await quarantine_database(self.path, self._suspect)
            else:
                while not await run_in_thread(self._was_mended):  # noqa: ASYNC110  # the file system sets no event
                    await anyio.sleep(REPLACED_FILE_POLL_S)
            await self._reopen()
        elif fault in (StorageFault.STORAGE, StorageFault.UNKNOWN, StorageFault.OTHER):
            await self._reopen()
        else:
            await self.follow_file()

    async def follow_file(self) -> Files:
        """Opens the path again when the file is gone, or another one is in its place. Raises like `recover`."""
        files = await run_in_thread(look_at_files, self.path)
        if self._is_left or files.database != self._file:
            if not self._is_left:
                logger.warning("%s was moved, deleted or replaced while in use; it is opened again", self.path)
            self._is_left = True
            await self._reopen()
            files = await run_in_thread(look_at_files, self.path)
        return files

    def wal_was_deleted(self, files: Files) -> bool:
        """Whether the write-ahead log that the connection writes to is not beside the database any more."""
        (log, *_), (now, *_) = self._logs, files.logs
        return log is not None and now != log and not self._is_left

    def _was_mended(self) -> bool:
        """Whether somebody has put another file in the place of the damaged one, or moved all of it away."""
        file = file_identity(self.path)
        if file is None:
            # Whoever moves one file after the other away must not find a new database between them.
            return logs_of(self.path) != self._logs or self._logs == (None, None)
        return file != self._suspect

    async def require_file(self) -> None:
        """Opens the path again if the file is gone: what is committed to it would be lost. Raises like `recover`."""
        if self._is_left:
            await self._reopen()

    async def _reopen(self) -> None:
        connection, file = await self._open_as_it_is()
        # Nothing is awaited between here and the end of the swap, so a cancellation finds one connection or the other.
        old, self.connection = self.connection, connection
        self._is_left = False
        await run_shielded(self._renew(old, file))

    async def _open_as_it_is(self) -> tuple[aiosqlite.Connection, FileIdentity]:
        """A new connection, and which file it has open: the one that is at the path before and after."""
        while True:
            file = await run_in_thread(file_identity, self.path)
            self._is_left = file != self._file
            if self._is_left and (logs := await run_in_thread(set_logs_aside, self.path, self._file, self._logs)):
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
