"""Copies rows: from a SQLite file in the order of their ids, as batches of one stream, so that each comes once."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import cast

import aiosqlite
import asyncpg
import msgspec

from chainlog_async.common.clock import DAY_MS
from chainlog_async.common.progress import Progress
from chainlog_async.entry.model import ENTRY_FIELDS, Attempt
from chainlog_async.errors import DatabaseError
from chainlog_async.requests.model import COLUMNS, RequestLogRow
from chainlog_async.requests.stored_row import request_of_row
from chainlog_async.storage.postgres.url import PostgresUrl

BATCH_ROWS = 2_000
FOLD_EVERY = 10
"""After how many batches they are added to the totals."""

ROWS = f"SELECT {', '.join(COLUMNS)} FROM request_logs WHERE id > ? ORDER BY id LIMIT ?"  # noqa: S608  # constants
NEXT_DAY = "SELECT MIN(timestamp) FROM request_logs WHERE timestamp >= ?"
COUNT_UP_TO = "SELECT COUNT(*) FROM request_logs WHERE id <= ?"

MAKE_PARTITIONS = "SELECT {s}.make_partitions($1, $2)"
POSITION = "SELECT {s}.stream_position($1)"
WRITE_BATCH = "SELECT {s}.write_batch($1, $2, $3, $4::text::jsonb)"
FOLD = "SELECT {s}.fold($1)"

_encode = msgspec.json.Encoder().encode


async def copy_rows(
    source: aiosqlite.Connection,
    target: asyncpg.Connection,
    url: PostgresUrl,
    stream: str,
    on_progress: Progress,
    total: int,
) -> int:
    """Copies the rows that are not copied yet. Returns how many were. The position of the stream is the last id.

    Raises the errors of both drivers, and `DatabaseError` when somebody else copies the same file.
    """
    position = cast("int", await target.fetchval(url.sql(POSITION), stream))
    ((done,),) = await source.execute_fetchall(COUNT_UP_TO, (position,))
    copied, batches = 0, 0
    await _make_partitions(source, target, url)
    async for rows in pages(source, position):
        on_progress("copying rows", done + copied, total)
        lines = "[" + ",".join(_line(row) for row in rows) + "]"
        before = await target.fetchval(url.sql(WRITE_BATCH), stream, position, rows[-1].id, lines)
        if before != position:
            raise DatabaseError(f"another process copies to {url.shown} too; end one of them")
        position = rows[-1].id
        copied += len(rows)
        batches += 1
        if batches % FOLD_EVERY == 0:
            await target.fetchval(url.sql(FOLD), 2 * FOLD_EVERY)
    return copied


async def pages(source: aiosqlite.Connection, after: int = 0) -> AsyncGenerator[list[RequestLogRow]]:
    """The rows of a SQLite file in the order of their ids. Raises `sqlite3.Error`."""
    while rows := [request_of_row(tuple(row)) for row in await source.execute_fetchall(ROWS, (after, BATCH_ROWS))]:
        yield rows
        after = rows[-1].id


async def _make_partitions(source: aiosqlite.Connection, target: asyncpg.Connection, url: PostgresUrl) -> None:
    begin = 0
    while True:
        ((first,),) = await source.execute_fetchall(NEXT_DAY, (begin,))
        if first is None:
            return
        day = int(first) // DAY_MS * DAY_MS
        begin = day + DAY_MS
        await target.fetchval(url.sql(MAKE_PARTITIONS), day, begin)


def _line(row: RequestLogRow) -> str:
    """The row as a line of a batch: see `entry.line`."""
    values = {name: getattr(row, name) for name in ENTRY_FIELDS}
    trail = row.attempt_trail
    values["attempt_trail"] = None if trail is None else [Attempt(**msgspec.structs.asdict(one)) for one in trail]
    return _encode(list(values.values())).decode()
