"""Recomputes totals and buckets from the rows and from what was pruned."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from time import monotonic

import aiosqlite
import msgspec

from chainlog_async.admin.verify.buckets import (
    BUCKETS,
    START_OF_TIME,
    BucketTable,
    TimeSpan,
    compare_buckets,
    compare_older,
    days_since,
    first_whole_bucket,
)
from chainlog_async.admin.verify.differences import Difference, Findings
from chainlog_async.admin.verify.rollups import compare_rollups, forget_rollups, rolled_up_days
from chainlog_async.admin.verify.totals import TABLES, TotalsByKey, TotalsTable, compare, read_totals
from chainlog_async.common.progress import Progress, no_progress
from chainlog_async.errors import DatabaseError

from .session import open_for_admin, write_transaction


class RebuildReport(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What `rebuild_totals` changed."""

    database: str
    mended: tuple[Difference, ...]
    """Numbers in totals and buckets that were wrong, with their old and new values; at most a hundred are listed."""
    mended_numbers: int
    """How many numbers were corrected, listed or not."""
    forgotten_rollups: int
    """How many spans had wrong rollups; the next writer rolls them up again, and until then queries read the buckets.
    """
    left: tuple[Difference, ...]
    """What stays wrong: buckets whose rows were pruned, by provider; at most a hundred are listed."""
    seconds: float
    """How long it took; for most of that time no other process could write."""


async def rebuild_totals(
    path: str | Path, *, busy_timeout_ms: int = 5_000, on_progress: Progress = no_progress
) -> RebuildReport:
    """Recomputes totals and buckets from the rows and from what was pruned, in one transaction.

    What was pruned stays in the totals. Buckets from the time of the newest pruned row and before stay unchanged,
    because their rows no longer exist. The result is verified before the commit; a kill, a cancellation or an error
    leaves everything unchanged. No other process can write meanwhile; a gateway keeps its entries in its journal.

    Raises `DatabaseError`: `DatabaseMissingError`, `OlderDatabaseError`, another process holds the lock, and others.
    """
    began = monotonic()
    corrected, left = Findings(), Findings()
    async with open_for_admin(path, busy_timeout_ms=busy_timeout_ms) as connection, write_transaction(connection):
        for done, table in enumerate(TABLES):
            on_progress(f"summing {table.name}", done, len(TABLES))
            await _correct_totals(connection, table, corrected)
        since = await first_whole_bucket(connection)
        if since > START_OF_TIME:
            left.add(await compare_older(connection, since))
        forgotten = 0
        async for day in days_since(connection, since, on_progress):
            for bucket_table in BUCKETS:
                if await _correct_buckets(connection, bucket_table, day, corrected):
                    # A rollup can have the right sum of wrong parts.
                    forgotten += await forget_rollups(connection, day)
        forgotten += await _forget_wrong_rollups(connection, on_progress)
        on_progress("committing", 1, 1)
    return RebuildReport(
        database=str(path),
        mended=corrected.listed,
        mended_numbers=corrected.count,
        forgotten_rollups=forgotten,
        left=left.listed,
        seconds=round(monotonic() - began, 3),
    )


async def _correct_totals(connection: aiosqlite.Connection, table: TotalsTable, corrected: Findings) -> None:
    counted = await read_totals(connection, table.counted)
    kept = await read_totals(connection, table.kept)
    if wrong := list(compare(table.name, table.columns, kept, counted)):
        await _replace(connection, table, counted)
        corrected.add(wrong)


async def _replace(connection: aiosqlite.Connection, table: TotalsTable, totals: TotalsByKey) -> None:
    await connection.execute_fetchall(table.clear)
    for key, values in totals.items():
        # Not executemany, whose cursor may outlive the connection and keep the transaction open.
        await connection.execute_fetchall(table.store, (key, *values))
    left = list(compare(table.name, table.columns, await read_totals(connection, table.kept), totals))
    _refuse(table.name, left, len(left))


async def _correct_buckets(
    connection: aiosqlite.Connection, table: BucketTable, day: TimeSpan, corrected: Findings
) -> bool:
    if not await compare_buckets(connection, table, day, corrected):
        return False
    parameters = table.whole(day)
    await connection.execute_fetchall(table.clear, parameters)
    await connection.execute_fetchall(table.fill, parameters)
    left = Findings()
    await compare_buckets(connection, table, day, left)
    _refuse(table.name, left.listed, left.count)
    return True


async def _forget_wrong_rollups(connection: aiosqlite.Connection, on_progress: Progress) -> int:
    forgotten = 0
    days = await rolled_up_days(connection)
    for done, day in enumerate(days):
        on_progress("comparing rollups, days", done, len(days))
        _, spans = await compare_rollups(connection, day)
        for span in spans:
            forgotten += await forget_rollups(connection, span)
    return forgotten


def _refuse(table: str, left: Sequence[Difference], count: int) -> None:
    if left:
        raise DatabaseError(
            f"{table} would still be wrong ({count} numbers, such as {left[0].column} of "
            f"{left[0].name!r}: {left[0].kept!r} instead of {left[0].counted!r}), so nothing was changed; look for "
            "triggers on that table that are not chainlog-async's"
        )
