"""Proves that a log and its copy are equal: row by row, bucket by bucket, total by total."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

import aiosqlite
import asyncpg
import msgspec

from chainlog_async.common.progress import Progress
from chainlog_async.requests.model import COLUMNS, RequestLogRow
from chainlog_async.requests.stored_row import request_of_row
from chainlog_async.storage.base import ReadStorage
from chainlog_async.storage.postgres.url import PostgresUrl

from .rows import BATCH_ROWS, pages
from .tags import differing_tag_lines
from .totals import days_of, differing_lines

MAX_DIFFERENCES = 20

ROWS = f"SELECT {', '.join(COLUMNS)} FROM {{s}}.request_logs ORDER BY id"  # noqa: S608  # built from constants


async def differences(
    source: aiosqlite.Connection,
    target: asyncpg.Connection,
    url: PostgresUrl,
    reads: tuple[ReadStorage, ReadStorage],
    on_progress: Progress,
    total: int,
) -> list[str]:
    """What differs, each in a sentence, at most `MAX_DIFFERENCES`; ids are given anew and play no part.

    `reads` are those of the file and of the copy. Raises the errors of both drivers, and `DatabaseError`.
    """
    found = await _different_rows(source, target, url, on_progress, total)
    for day in await days_of(source):
        for line in await differing_lines(source, target, url, day):
            found.append(f"usage of {line['model']} at {line['provider_id']} from {line['start']} on")
        for line in await differing_tag_lines(source, target, url, day):
            found.append(f"usage of tag {line['tag_key']}:{line['tag_value']} from {line['start']} on")
    of_file, of_copy = reads
    for what, kept, copied in (
        ("totals of providers", await of_file.get_all_provider_usage(), await of_copy.get_all_provider_usage()),
        ("totals of chains", await of_file.get_all_chain_usage(), await of_copy.get_all_chain_usage()),
        ("summary", await of_file.get_summary_stats(), await of_copy.get_summary_stats()),
        ("names", await of_file.get_names(), await of_copy.get_names()),
    ):
        if kept != copied:
            found.append(f"{what}: {kept} in the file, {copied} in the copy")
    return found[:MAX_DIFFERENCES]


async def _different_rows(
    source: aiosqlite.Connection, target: asyncpg.Connection, url: PostgresUrl, on_progress: Progress, total: int
) -> list[str]:
    found: list[str] = []
    compared = 0
    async with target.transaction(isolation="repeatable_read", readonly=True), aclosing(_rows(target, url)) as copies:
        async for page in pages(source):
            for row in page:
                copy = await anext(copies, None)
                if copy is None:
                    return [*found, f"request {row.id} and all after it are not in the copy"]
                if msgspec.structs.replace(copy, id=row.id) != row:
                    found.append(f"request {row.id} is not what it is in the copy, where its id is {copy.id}")
                    if len(found) == MAX_DIFFERENCES:
                        return found
            compared += len(page)
            on_progress("comparing rows", compared, total)
        if await anext(copies, None) is not None:
            found.append("the copy has more requests than the file")
    return found


async def _rows(target: asyncpg.Connection, url: PostgresUrl) -> AsyncGenerator[RequestLogRow]:
    cursor = await target.cursor(url.sql(ROWS))
    while rows := await cursor.fetch(BATCH_ROWS):
        for row in rows:
            yield request_of_row(tuple(row))
