"""Opens the writer's database: migrates it, and moves a damaged file aside if the settings say so."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import aiosqlite

from chainlog_async.common.cancellation import run_in_thread
from chainlog_async.errors import DatabaseError
from chainlog_async.storage.base import StorageFault

from .connection import close_connection, initialize_database, logger
from .errors import classify
from .files import FileIdentity, file_identity
from .quarantine import move_away
from .schema import migrate_schema

if TYPE_CHECKING:
    from chainlog_async.settings import Settings


async def open_database(settings: Settings) -> aiosqlite.Connection:
    """Opens and migrates the database named by the settings. Raises `DatabaseError` and then leaves nothing open."""
    connection = await initialize_database(
        settings.db_path,
        busy_timeout_ms=settings.busy_timeout_ms,
        synchronous=settings.synchronous,
        wal_limit_bytes=settings.wal_limit_bytes,
    )
    try:
        await migrate_schema(connection)
    except BaseException:
        await close_connection(connection)
        raise
    return connection


async def open_or_quarantine(settings: Settings) -> aiosqlite.Connection:
    """Like `open_database`, but with ``on_corrupt: quarantine`` moves a damaged file aside and starts a new one."""
    # The file itself rather than a link to it: -wal and journal are beside the file.
    settings = settings.model_copy(update={"db_path": await run_in_thread(settings.db_path.resolve)})
    damaged = await run_in_thread(file_identity, settings.db_path)
    try:
        return await open_database(settings)
    except DatabaseError as error:
        if settings.on_corrupt != "quarantine" or classify(error) is not StorageFault.DAMAGED:
            raise
    await quarantine_database(settings.db_path, damaged)
    return await open_database(settings)


async def quarantine_database(path: Path, damaged: FileIdentity | None) -> None:
    """Moves the damaged file aside with its -wal and -shm, unless another process has done so. Raises `OSError`."""
    moved_to = await run_in_thread(move_away, path, damaged)
    if moved_to is not None:
        logger.error("%s was damaged and is now %s; a new database was started in its place", path, moved_to)
