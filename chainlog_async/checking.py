"""Whether the file is sound, and whether the totals are what the rows and the pruned part add up to."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from time import monotonic

import aiosqlite
import msgspec

from .faults import Fault, classify, errorname
from .progress import Progress, no_progress
from .slices import number
from .totals import TABLES, Difference, compare, read_totals
from .upkeep import open_for_reading

ROWS = "SELECT COUNT(*) FROM request_logs"
# Not the summary: what 429chain had deleted before the database was migrated is not in there.
PRUNED = "SELECT COALESCE(SUM(total_requests), 0) FROM pruned_by_provider"


class CheckReport(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What `check_database` found."""

    database: str
    ok: bool
    """Nothing is wrong."""
    quick: bool
    """The indexes were not compared with the rows."""
    rows: int | None
    """Requests in the log; None where damage keeps them from being counted."""
    pruned_rows: int | None
    """Requests that are in the totals alone; None where damage keeps them from being read."""
    damage: tuple[str, ...]
    """What SQLite finds wrong with the file, at most about a hundred lines."""
    differences: tuple[Difference, ...]
    """Where the totals are not what they should be."""
    seconds: float
    """How long it took."""


async def check_database(
    path: str | Path, *, quick: bool = False, busy_timeout_ms: int = 5_000, on_progress: Progress = no_progress
) -> CheckReport:
    """Looks at one state of the database, while others may go on writing to it.

    Every page is read, with `quick` without comparing indexes and rows. Nobody waits for it, but the write-ahead log
    cannot start afresh before it is done, so it grows by what is written meanwhile.

    Raises `DatabaseError` when there is nothing to look at: `DatabaseMissingError`, `OlderDatabaseError`,
    `NotADatabaseError` where not even the schema can be read, and so on.
    """
    began = monotonic()
    async with open_for_reading(path, busy_timeout_ms=busy_timeout_ms) as connection:
        # The first read settles which state it is, for everything up to the end.
        await connection.execute_fetchall("BEGIN")
        await number(connection, "SELECT COUNT(*) FROM sqlite_master")
        steps = len(TABLES) + 1
        on_progress("checking the file", 0, steps)
        damage = await _damage(connection, quick=quick)
        rows = pruned = None
        differences: list[Difference] = []
        try:
            for done, table in enumerate(TABLES, 1):
                on_progress(f"adding up {table.name}", done, steps)
                kept = await read_totals(connection, table.kept)
                differences.extend(compare(table, kept, await read_totals(connection, table.counted)))
            rows, pruned = await number(connection, ROWS), await number(connection, PRUNED)
        except sqlite3.Error as error:
            if classify(error) is not Fault.DAMAGED:
                raise
            damage.append(f"the totals cannot be compared: {error} ({errorname(error)})")
    return CheckReport(
        database=str(path),
        ok=not damage and not differences,
        quick=quick,
        rows=rows,
        pruned_rows=pruned,
        damage=tuple(damage),
        differences=tuple(differences),
        seconds=round(monotonic() - began, 3),
    )


async def _damage(connection: aiosqlite.Connection, *, quick: bool) -> list[str]:
    try:
        rows = await connection.execute_fetchall("PRAGMA quick_check" if quick else "PRAGMA integrity_check")
    except sqlite3.Error as error:
        if classify(error) is not Fault.DAMAGED:
            raise
        return [f"{error} ({errorname(error)})"]
    findings = [line for (finding,) in rows for line in str(finding).splitlines()]
    return [] if findings == ["ok"] else findings
