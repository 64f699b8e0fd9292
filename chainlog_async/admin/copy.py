"""Copies a log from a SQLite file to PostgreSQL: rows, totals, and what is left of pruned rows."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from time import monotonic

import aiosqlite
import anyio
import asyncpg
import msgspec

from chainlog_async.common.cancellation import run_in_thread
from chainlog_async.common.progress import Progress, no_progress
from chainlog_async.errors import DatabaseError
from chainlog_async.storage.engines import open_reads
from chainlog_async.storage.postgres.connection import open_connection
from chainlog_async.storage.postgres.errors import DRIVER_ERRORS, database_error
from chainlog_async.storage.postgres.read_storage import PostgresReadStorage
from chainlog_async.storage.postgres.schema import migrate
from chainlog_async.storage.postgres.url import PostgresUrl, parse_url
from chainlog_async.storage.sqlite.maintenance.pages import fetch_int

from .copying.proof import differences
from .copying.rows import copy_rows
from .copying.tags import copy_tag_values
from .copying.totals import copy_totals
from .session import count_rows, open_for_reading

FOLD = "SELECT {s}.fold(100)"
OTHERS = "SELECT count(*) FROM {s}.streams WHERE writer_id <> $1 AND position > 0"
OURS = "SELECT position FROM {s}.streams WHERE writer_id = $1"
ANYTHING = "SELECT EXISTS (SELECT 1 FROM {s}.request_logs) OR EXISTS (SELECT 1 FROM {s}.usage_buckets)"
NEWEST = "SELECT COALESCE(MAX(id), 0) FROM request_logs"
UNFOLDED = "SELECT EXISTS (SELECT 1 FROM {s}.batches)"
FOLD_TRIES, FOLD_PAUSE_S = 100, 0.1
REJECTED = "SELECT COUNT(*) FROM rejected_entries"


class CopyReport(msgspec.Struct, frozen=True, rename="camel"):
    """What a copy did and found."""

    source: str
    target: str
    """Without user and password."""
    requests: int
    """How many requests the log has."""
    copied: int
    """How many of them this run copied; the others had been copied before."""
    completed: int
    """Totals and lines of usage that were completed with what was pruned."""
    rejected: int
    """Rejected entries, which stay in the file."""
    seconds: float
    differences: tuple[str, ...]
    """What is not equal in the end; nothing, unless somebody writes to one of the two."""


async def copy_log(source: Path, target: str, *, on_progress: Progress = no_progress) -> CopyReport:
    """Copies what is not copied yet, and compares everything.

    Nobody else may write to either meanwhile. Stopped at any moment and run again, it goes on where it ended. Raises
    `DatabaseError` when one of them cannot be used, or when the target has requests that are not of this file.
    """
    began = monotonic()
    url = parse_url(target)
    stream = await run_in_thread(_stream_of, source)
    async with open_for_reading(source) as file, _connected(url) as database:
        await migrate(database, url, on_progress=on_progress)
        await _require_ours(database, url, stream)
        newest, total = await fetch_int(file, NEWEST), await count_rows(file)
        await copy_tag_values(file, database, url)
        copied = await copy_rows(file, database, url, stream, on_progress, total)
        await _fold_all(database, url, on_progress)
        completed = await copy_totals(file, database, url, on_progress)
        found = await _compare(source, target, file, database, url, on_progress, total)
        if await fetch_int(file, NEWEST) != newest:
            found = [f"{source} is being written to; stop its gateway, and copy again", *found]
        rejected = await fetch_int(file, REJECTED)
    return CopyReport(str(source), url.shown, total, copied, completed, rejected, monotonic() - began, tuple(found))


async def _compare(
    source: Path,
    target: str,
    file: aiosqlite.Connection,
    database: asyncpg.Connection,
    url: PostgresUrl,
    on_progress: Progress,
    total: int,
) -> list[str]:
    of_copy = PostgresReadStorage(target, max_readers=1, read_timeout_ms=600_000)
    async with aclosing(open_reads(source)) as of_file, aclosing(of_copy):
        return await differences(file, database, url, (of_file, of_copy), on_progress, total)


async def _require_ours(database: asyncpg.Connection, url: PostgresUrl, stream: str) -> None:
    others = await database.fetchval(url.sql(OTHERS), stream)
    ours = await database.fetchval(url.sql(OURS), stream)
    if others or (not ours and await database.fetchval(url.sql(ANYTHING))):
        raise DatabaseError(
            f"{url.shown} has requests that are not of this file; copy to an empty database, or to an empty schema of "
            "its own with ?schema=NAME"
        )


async def _fold_all(database: asyncpg.Connection, url: PostgresUrl, on_progress: Progress) -> None:
    """Adds every batch to the totals; somebody else may be at it."""
    for _ in range(FOLD_TRIES):
        while await database.fetchval(url.sql(FOLD)):
            on_progress("adding up totals", 0, None)
        if not await database.fetchval(url.sql(UNFOLDED)):
            return
        await anyio.sleep(FOLD_PAUSE_S)
    raise DatabaseError(f"another process keeps adding up the totals of {url.shown}; end it, and copy again")


@asynccontextmanager
async def _connected(url: PostgresUrl) -> AsyncGenerator[asyncpg.Connection]:
    connection = await open_connection(url, name="chainlog copy")
    try:
        yield connection
    except DRIVER_ERRORS as error:
        raise database_error(url.shown, error) from error
    finally:
        connection.terminate()


def _stream_of(source: Path) -> str:
    """A name for the stream of this file's rows, the same whenever it is copied."""
    return f"copy-{hashlib.sha256(str(source.resolve()).encode()).hexdigest()[:32]}"
