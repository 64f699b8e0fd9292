"""Opens and closes connections: pragmas, write-ahead logging, and no thread left behind."""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Literal, TypeVar
from urllib.parse import quote

import aiosqlite
import anyio
from anyio import to_thread

from chainlog_async.common.cancellation import run_in_thread, run_shielded
from chainlog_async.common.sqlite import sqlite3
from chainlog_async.errors import DatabaseError, DatabaseMissingError, WalUnavailableError
from chainlog_async.storage.base import StorageFault

from .errors import classify, database_error, describe
from .fork_guard import note_closed, note_opening
from .identity import check_identity, read_identity

logger = logging.getLogger(__name__)

CACHE_KIB = 64_000
"""SQLite's page cache per writer, in KiB; the value that 429chain uses."""

MIN_SQLITE_VERSION = (3, 38, 0)
"""The first release with the operator ``->>``, with which batches are unpacked."""

READER_CACHE_KIB = 8_000
"""SQLite's page cache per reader, in KiB."""

CLOSE_TIMEOUT_S = 10.0
"""Longest wait for a connection to close, in seconds."""

INTERRUPT_EVERY_S = 0.05
"""Time between two attempts to interrupt a statement, in seconds."""

T = TypeVar("T")


async def initialize_database(
    db_path: str | Path,
    *,
    busy_timeout_ms: int = 5_000,
    synchronous: Literal["NORMAL", "FULL"] = "NORMAL",
    wal_limit_bytes: int = 64 * 1024 * 1024,
) -> aiosqlite.Connection:
    """Opens the database for writing, creating the file and its folders if they are missing, and sets its pragmas.

    The connection is in autocommit mode; close it with `close_connection`. Call `migrate_schema` next.

    `busy_timeout_ms` is how long to wait for another process's lock, and `wal_limit_bytes` the size to which SQLite
    truncates the write-ahead log after a checkpoint. ``synchronous="FULL"`` waits for the disk at every commit.

    Raises `ForeignDatabaseError`, `NewerDatabaseError` or `NotADatabaseError` before anything is changed,
    `WalUnavailableError` when write-ahead logging is not available (a database in memory, a network file system),
    `ForkedError` in a forked child whose parent had the file open at the fork, and `DatabaseError` when the file cannot
    be opened. No connection is left open then.
    """
    _require_sqlite(sqlite3.sqlite_version_info)
    if str(db_path) in ("", ":memory:"):
        raise WalUnavailableError(
            f"db_path is {str(db_path)!r}, a database in memory, which readers could not see; name a file"
        )
    path = Path(db_path)
    try:
        path = await to_thread.run_sync(_make_file, path)
        if await to_thread.run_sync(_has_write_ahead_log, path):
            await _until_not_busy(lambda: _refuse_foreign(path, busy_timeout_ms), busy_timeout_ms)
        connection = await _connect(path, "rw", busy_timeout_ms)
    except (OSError, ValueError, sqlite3.Error) as error:
        raise database_error(path, error, doing="opened") from error
    try:
        await _until_not_busy(lambda: _prepare(connection, path, synchronous, wal_limit_bytes), busy_timeout_ms)
    except BaseException as error:
        await close_connection(connection)
        if isinstance(error, sqlite3.Error):
            raise database_error(path, error, doing="opened") from error
        raise
    return connection


def _require_sqlite(version: tuple[int, int, int]) -> None:
    if version < MIN_SQLITE_VERSION:
        raise DatabaseError(
            f"SQLite is {'.'.join(map(str, version))}, and chainlog-async needs "
            f"{'.'.join(map(str, MIN_SQLITE_VERSION))} or newer; use a Python built with a newer SQLite"
        )


async def open_reader(db_path: str | Path, *, busy_timeout_ms: int = 5_000) -> aiosqlite.Connection:
    """Opens a read-only connection, which never writes or checkpoints. Close it with `close_connection`.

    Raises `DatabaseMissingError` when there is no file, `ForkedError` in a forked child whose parent had it open at the
    fork, and `DatabaseError` when it cannot be opened.
    """
    path = Path(db_path)
    try:
        path = await to_thread.run_sync(_find_file, path)
        connection = await _connect(path, "ro", busy_timeout_ms)
    except (OSError, ValueError, sqlite3.Error) as error:
        raise database_error(path, error, doing="opened") from error
    try:
        for pragma in (f"cache_size = -{READER_CACHE_KIB:d}", "query_only = ON"):
            await connection.execute_fetchall(f"PRAGMA {pragma}")
    except BaseException as error:
        await close_connection(connection)
        if isinstance(error, sqlite3.Error):
            raise database_error(path, error, doing="opened") from error
        raise
    return connection


async def open_aside(db_path: str | Path, *, busy_timeout_ms: int = 5_000) -> aiosqlite.Connection:
    """Opens a file that a writer has open, for a few small writes beside it. Close it with `close_connection`.

    Raises what `open_reader` raises: it never creates a file, and leaves the journal mode as it is.
    """
    path = Path(db_path)
    try:
        path = await to_thread.run_sync(_find_file, path)
        connection = await _connect(path, "rw", busy_timeout_ms)
    except (OSError, ValueError, sqlite3.Error) as error:
        raise database_error(path, error, doing="opened") from error
    try:
        await connection.execute_fetchall("PRAGMA synchronous = NORMAL")
    except BaseException as error:
        await close_connection(connection)
        if isinstance(error, sqlite3.Error):
            raise database_error(path, error, doing="opened") from error
        raise
    return connection


async def close_connection(
    connection: aiosqlite.Connection, *, interrupting: bool = False, timeout_s: float | None = None
) -> None:
    """Closes the connection and ends its thread, even if the caller is cancelled. Never raises for a SQLite error.

    Waits for a statement that is still running, or interrupts it with `interrupting`. After `timeout_s` seconds
    (`CLOSE_TIMEOUT_S` by default) the thread is abandoned: a disk that does not respond may block it indefinitely.
    """
    await run_shielded(_close(connection, interrupting, CLOSE_TIMEOUT_S if timeout_s is None else timeout_s))


async def _close(connection: aiosqlite.Connection, interrupting: bool, timeout_s: float) -> None:
    # A future rather than the coroutine `connection.close()`, which, as a task that never ends, would also keep
    # `asyncio.run` from ending.
    closing = connection.stop() if _is_open(connection) else None
    if closing is None:
        return
    deadline = monotonic() + timeout_s
    while not closing.done() and (left_s := deadline - monotonic()) > 0:
        if interrupting:
            # Repeatedly, because a statement that the thread has not started yet is not interrupted.
            with suppress(sqlite3.Error, ValueError):
                await connection.interrupt()
            left_s = min(left_s, INTERRUPT_EVERY_S)
        await asyncio.wait((closing,), timeout=left_s)
    if not closing.done():
        logger.error("the database could not be closed within %g s; its disk does not respond", timeout_s)
    elif (error := closing.exception()) is not None:
        logger.warning("closing the database failed: %s", describe(error))
    else:
        note_closed(connection)


def _is_open(connection: aiosqlite.Connection) -> bool:
    try:
        connection.in_transaction  # noqa: B018  # raises when there is no connection; there is no other way to tell
    except ValueError:
        return False
    return True


async def _connect(path: Path, mode: Literal["rw", "ro"], busy_timeout_ms: int) -> aiosqlite.Connection:
    # Not by `aiosqlite.connect`, which always takes Python's own SQLite.
    connection = aiosqlite.Connection(
        lambda: sqlite3.connect(
            f"file:{quote(os.fsencode(path))}?mode={mode}",
            uri=True,
            isolation_level=None,
            timeout=busy_timeout_ms / 1_000,
        ),
        iter_chunk_size=64,
    )
    # A thread that is blocked in SQLite (by a dead network disk) must not keep the process from ending:
    # https://github.com/omnilib/aiosqlite/issues/290
    connection._thread.daemon = True  # noqa: SLF001  # there is no public way
    await run_in_thread(note_opening, connection, path)
    try:
        # If cancelled, aiosqlite loses the connection that its thread is just opening (its issue 259).
        await run_shielded(_open(connection))
    except asyncio.CancelledError:
        await close_connection(connection)
        raise
    return connection


async def _open(connection: aiosqlite.Connection) -> None:
    try:
        await connection
    except BaseException:
        # The thread is ending, and would fail if the event loop were closed first.
        await to_thread.run_sync(connection._thread.join)  # noqa: SLF001  # there is no public way
        raise


async def _refuse_foreign(path: Path, busy_timeout_ms: int) -> None:
    """Checks whose database it is over a read-only connection.

    There is a write-ahead log, so its owner was killed or is running. Closing a connection that can write would
    checkpoint the log, which must not happen to another program's file.
    """
    connection = await _connect(path, "ro", busy_timeout_ms)
    try:
        check_identity(await read_identity(connection), str(path))
    finally:
        await close_connection(connection)


async def _prepare(
    connection: aiosqlite.Connection, path: Path, synchronous: Literal["NORMAL", "FULL"], wal_limit_bytes: int
) -> None:
    identity = await read_identity(connection)
    check_identity(identity, str(path))
    if not identity.tables:
        # Takes effect only before the first table is created; later it would take a VACUUM.
        await connection.execute_fetchall("PRAGMA auto_vacuum = INCREMENTAL")
    ((mode,),) = await connection.execute_fetchall("PRAGMA journal_mode = WAL")
    if mode != "wal":
        raise WalUnavailableError(
            f"{path} stays in journal mode {mode!r}, in which readers block the writer; "
            "put the database on a local disk"
        )
    for pragma in (
        f"synchronous = {synchronous}",
        f"cache_size = -{CACHE_KIB:d}",
        "temp_store = MEMORY",
        f"journal_size_limit = {wal_limit_bytes:d}",
        # A batch that a foreign trigger ends half-way must not be committed: see migrations/0003.
        "foreign_keys = ON",
    ):
        await connection.execute_fetchall(f"PRAGMA {pragma}")
    logger.info("opened %s (journal mode %s, synchronous %s)", path, mode, synchronous)


async def _until_not_busy(attempt: Callable[[], Awaitable[T]], timeout_ms: int) -> T:
    """Retries while another process switches to WAL: SQLite's own busy timeout does not apply to that."""
    deadline = monotonic() + timeout_ms / 1_000
    while True:
        try:
            return await attempt()
        except sqlite3.Error as error:
            if classify(error) is not StorageFault.BUSY or monotonic() >= deadline:
                raise
        await anyio.sleep(random.uniform(0.005, 0.05))


def _make_file(path: Path) -> Path:
    """Creates the file, readable only by its owner; SQLite gives -wal and -shm the same permissions."""
    path = path.absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    # An existing file is not opened: closing it would drop the locks that this process's connections hold on it.
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    return path


def _find_file(path: Path) -> Path:
    path = path.absolute()
    if not path.exists():
        raise DatabaseMissingError(f"{path} does not exist; start the service that writes it, or correct db_path")
    return path


def _has_write_ahead_log(path: Path) -> bool:
    # One look, not two: whoever closes the file last deletes its log.
    try:
        return path.with_name(path.name + "-wal").stat().st_size > 0
    except FileNotFoundError:
        return False
