"""Rewrites the file without its free pages; from then on it can shrink by itself."""

from __future__ import annotations

from pathlib import Path
from time import monotonic

import aiosqlite
import msgspec

from chainlog_async.common.cancellation import run_in_thread
from chainlog_async.common.disk_space import SpaceNeed, require_space, space_needs, temporary_folder
from chainlog_async.common.progress import Progress, no_progress
from chainlog_async.storage.sqlite.maintenance.pages import read_pages

from .session import open_for_admin, open_for_reading

WAL_OVERHEAD = 1.01
"""Size of a page in the write-ahead log, which adds a header of 24 bytes, relative to the page."""


class VacuumReport(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What `vacuum_database` did."""

    database: str
    bytes_before: int
    """Size of the database in bytes, free pages included."""
    bytes_after: int
    converted: bool
    """Whether the file could not return pages before, and now can."""
    seconds: float
    """How long it took; for most of that time no other process could write."""


async def vacuum_space_needs(path: str | Path, *, busy_timeout_ms: int = 5_000) -> list[SpaceNeed]:
    """Returns how much space `vacuum_database` needs at most, by folder. Raises `DatabaseError` or `OSError`."""
    async with open_for_reading(path, busy_timeout_ms=busy_timeout_ms) as connection:
        return await _needs(connection)


async def vacuum_database(
    path: str | Path, *, busy_timeout_ms: int = 5_000, on_progress: Progress = no_progress
) -> VacuumReport:
    """Compacts the file, and converts one without auto_vacuum, as 429chain creates them, into one that can shrink.

    It is one transaction: an error, a cancellation or a kill leaves the file unchanged. Other processes can read but
    not write meanwhile; a gateway keeps its entries in its journal.

    Raises `DatabaseError`: too little disk space, another process holds the lock, `DatabaseMissingError`,
    `OlderDatabaseError`, and others.
    """
    began = monotonic()
    async with open_for_admin(path, busy_timeout_ms=busy_timeout_ms) as connection:
        require_space(
            await _needs(connection), remedy="free some space, or set SQLITE_TMPDIR to a folder on a larger disk"
        )
        before = await read_pages(connection)
        on_progress("rewriting the file", 0, None)
        await connection.execute_fetchall("PRAGMA auto_vacuum = INCREMENTAL")
        await connection.execute_fetchall("VACUUM")
        on_progress("emptying the write-ahead log", 0, None)
        await connection.execute_fetchall("PRAGMA wal_checkpoint(TRUNCATE)")
        return VacuumReport(
            database=str(path),
            bytes_before=before.file_bytes,
            bytes_after=(await read_pages(connection)).file_bytes,
            converted=not before.is_incremental,
            seconds=round(monotonic() - began, 3),
        )


async def _needs(connection: aiosqlite.Connection) -> list[SpaceNeed]:
    """The new file is written to a temporary file, then copied back through the write-ahead log."""
    size = (await read_pages(connection)).used_bytes
    ((file,),) = await connection.execute_fetchall("SELECT file FROM pragma_database_list WHERE name = 'main'")
    folder = Path(str(file)).parent
    temporary = await run_in_thread(temporary_folder)
    return await run_in_thread(space_needs, [(folder, round(size * WAL_OVERHEAD)), (temporary, size)])
