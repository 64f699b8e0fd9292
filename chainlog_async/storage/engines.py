"""Which engine a log uses: the one place that knows them all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiosqlite

from chainlog_async.storage.sqlite.open import open_or_quarantine
from chainlog_async.storage.sqlite.read_storage import SqliteReadStorage
from chainlog_async.storage.sqlite.storage import SqliteStorage

from .base import BatchStorage, ReadStorage

if TYPE_CHECKING:
    from pathlib import Path

    from chainlog_async.settings import Settings


async def open_storage(settings: Settings) -> BatchStorage:
    """Opens and migrates the database that the settings name. Raises `DatabaseError`; nothing is left open then."""
    return SqliteStorage(await open_or_quarantine(settings), settings)


def storage_of(connection: aiosqlite.Connection | BatchStorage, settings: Settings) -> BatchStorage:
    """The engine behind what `RequestLogger` is given."""
    return SqliteStorage(connection, settings) if isinstance(connection, aiosqlite.Connection) else connection


def connection_of(storage: BatchStorage) -> aiosqlite.Connection:
    """The connection of a SQLite storage. Raises `TypeError` for another engine."""
    if isinstance(storage, SqliteStorage):
        return storage.connection
    raise TypeError(f"{type(storage).__name__} has no SQLite connection; use the log's own methods instead")


def open_reads(
    db_path: str | Path, *, busy_timeout_ms: int = 5_000, max_readers: int = 4, read_timeout_ms: int = 30_000
) -> ReadStorage:
    """The reads of a database. Opens nothing yet; see `UsageAggregator`."""
    return SqliteReadStorage(
        db_path, busy_timeout_ms=busy_timeout_ms, max_readers=max_readers, read_timeout_ms=read_timeout_ms
    )
