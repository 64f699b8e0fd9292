"""Databases with this library's schema, for contenders that write to them without this library."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path

import aiosqlite

from chainlog_async import initialize_database, migrate_schema
from chainlog_async.entry.line import encode_line
from chainlog_async.storage.sqlite.connection import close_connection

from .common import Row, entry_of

WRITE_BATCH = "INSERT INTO batches (writer_id, start_position, end_position, lines) VALUES (?, ?, ?, ?)"
"""The statement that the writer uses, with the lines of `lines_of`."""

_PRAGMAS = ("synchronous = NORMAL", "cache_size = -64000", "temp_store = MEMORY", "journal_size_limit = 67108864")


def lines_of(rows: Iterable[Row]) -> bytes:
    """The lines of a batch."""
    return b"[" + b",".join(encode_line(entry_of(row)) for row in rows) + b"]"


async def make_database(path: Path) -> None:
    """An empty one, with every table, index and trigger."""
    connection = await initialize_database(path)
    try:
        await migrate_schema(connection)
    finally:
        await close_connection(connection)


def open_plainly(path: Path) -> sqlite3.Connection:
    """A bare connection with the pragmas of this library's writer; autocommit."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=30, check_same_thread=False)
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")
    return connection


async def open_async(path: Path) -> aiosqlite.Connection:
    """The connection of `open_plainly`, over aiosqlite."""
    connection = await aiosqlite.connect(path, isolation_level=None, timeout=30)
    for pragma in _PRAGMAS:
        await connection.execute_fetchall(f"PRAGMA {pragma}")
    return connection
