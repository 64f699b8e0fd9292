"""Totals made anew from the rows and from what was pruned."""

from __future__ import annotations

from pathlib import Path
from time import monotonic

import aiosqlite
import msgspec

from .errors import DatabaseError
from .progress import Progress, no_progress
from .totals import TABLES, Difference, Totals, TotalsTable, compare, read_totals
from .upkeep import open_for_upkeep, write_transaction


class RebuildReport(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What `rebuild_totals` changed."""

    database: str
    mended: tuple[Difference, ...]
    """The numbers that were wrong, as they were and as they are now; none when all were right."""
    seconds: float
    """How long it took; for most of it nobody else could write."""


async def rebuild_totals(
    path: str | Path, *, busy_timeout_ms: int = 5_000, on_progress: Progress = no_progress
) -> RebuildReport:
    """Replaces the totals by what the rows and the pruned part add up to, in one transaction.

    What was pruned stays in them. The result is compared once more before the commit; a kill, a cancellation or an
    error leaves everything as it was. Others cannot write meanwhile: a gateway keeps its entries in its journal.

    Raises `DatabaseError`: `DatabaseMissingError`, `OlderDatabaseError`, another process holds the lock, and so on.
    """
    began = monotonic()
    mended: list[Difference] = []
    async with open_for_upkeep(path, busy_timeout_ms=busy_timeout_ms) as connection, write_transaction(connection):
        for done, table in enumerate(TABLES):
            on_progress(f"adding up {table.name}", done, len(TABLES))
            counted = await read_totals(connection, table.counted)
            wrong = list(compare(table, await read_totals(connection, table.kept), counted))
            if wrong:
                await _replace(connection, table, counted)
                mended.extend(wrong)
        on_progress("committing", len(TABLES), len(TABLES))
    return RebuildReport(database=str(path), mended=tuple(mended), seconds=round(monotonic() - began, 3))


async def _replace(connection: aiosqlite.Connection, table: TotalsTable, totals: Totals) -> None:
    await connection.execute_fetchall(table.clear)
    for key, values in totals.items():
        # Not executemany: a cursor that outlives the connection would keep the transaction open.
        await connection.execute_fetchall(table.store, (key, *values))
    if left := list(compare(table, await read_totals(connection, table.kept), totals)):
        raise DatabaseError(
            f"{table.name} would still be wrong ({len(left)} numbers, such as {left[0].column} of "
            f"{left[0].name!r}: {left[0].kept!r} instead of {left[0].counted!r}), so nothing was changed; look for "
            "triggers on that table which are not chainlog-async's"
        )
