"""Opens databases for the admin tasks: they must exist and have the current schema.

Nothing here creates a file. A cancelled caller leaves no statement running and no transaction open.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import aiosqlite
import anyio

from chainlog_async.common.cancellation import run_shielded
from chainlog_async.storage.sqlite.connection import close_connection, initialize_database, open_reader
from chainlog_async.storage.sqlite.errors import named_errors
from chainlog_async.storage.sqlite.identity import check_readable, read_identity
from chainlog_async.storage.sqlite.maintenance.pages import fetch_int

PAUSE_S = 0.01
"""Pause between two write transactions of a task, in seconds: a writer that polls for the lock must find it free."""


@asynccontextmanager
async def open_for_reading(path: str | Path, *, busy_timeout_ms: int = 5_000) -> AsyncGenerator[aiosqlite.Connection]:
    """Opens a read-only connection for the duration of the block.

    Raises `DatabaseMissingError`, `OlderDatabaseError` and other `DatabaseError`s when it cannot be opened, and turns
    every `sqlite3.Error` in the block into a `DatabaseError` that names the remedy.
    """
    connection = await open_reader(path, busy_timeout_ms=busy_timeout_ms)
    async with _closing(connection):
        with named_errors(path):
            check_readable(await read_identity(connection), str(path))
            yield connection


@asynccontextmanager
async def open_for_admin(path: str | Path, *, busy_timeout_ms: int = 5_000) -> AsyncGenerator[aiosqlite.Connection]:
    """Opens a connection that may write, in autocommit mode, for the duration of the block.

    Raises what `open_for_reading` raises.
    """
    async with open_for_reading(path, busy_timeout_ms=busy_timeout_ms):
        # Checked first: opening it for writing would create it, or switch it to write-ahead logging.
        pass
    connection = await initialize_database(path, busy_timeout_ms=busy_timeout_ms)
    async with _closing(connection):
        with named_errors(path):
            # The copy of a VACUUM and the sorting of all rows may not fit into memory.
            await connection.execute_fetchall("PRAGMA temp_store = FILE")
            yield connection


@asynccontextmanager
async def write_transaction(connection: aiosqlite.Connection) -> AsyncGenerator[None]:
    """Commits at the end of the block; an exception rolls everything back. Raises `sqlite3.Error`.

    After a cancellation, closing the connection rolls back.
    """
    await connection.execute_fetchall("BEGIN IMMEDIATE")
    try:
        yield
        await run_shielded(_commit(connection))
    except Exception:
        # SQLITE_FULL and some other errors roll back by themselves; a second ROLLBACK would hide them.
        if connection.in_transaction:
            await connection.execute_fetchall("ROLLBACK")
        raise


@asynccontextmanager
async def write_slice(connection: aiosqlite.Connection) -> AsyncGenerator[None]:
    """One of many write transactions of a task; after its commit follows a pause. Raises `sqlite3.Error`."""
    async with write_transaction(connection):
        yield
    await pause_for_writers()


async def pause_for_writers() -> None:
    """Waits for `PAUSE_S`, in which other processes can write."""
    await anyio.sleep(PAUSE_S)


async def count_rows(connection: aiosqlite.Connection) -> int:
    """Returns how many requests the log holds. Raises `sqlite3.Error`."""
    return await fetch_int(connection, "SELECT COUNT(*) FROM request_logs")


@asynccontextmanager
async def _closing(connection: aiosqlite.Connection) -> AsyncGenerator[None]:
    try:
        yield
    except BaseException:
        await close_connection(connection, interrupting=True)
        raise
    await close_connection(connection)


async def _commit(connection: aiosqlite.Connection) -> None:
    await connection.execute_fetchall("COMMIT")
