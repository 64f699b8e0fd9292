"""Checks the file for damage, and totals, buckets and rollups against the rows and what was pruned."""

from __future__ import annotations

from pathlib import Path
from time import monotonic

import aiosqlite
import msgspec

from chainlog_async.admin.verify.buckets import (
    BUCKETS,
    START_OF_TIME,
    compare_buckets,
    compare_older,
    days_since,
    first_whole_bucket,
)
from chainlog_async.admin.verify.differences import Difference, Findings
from chainlog_async.admin.verify.rollups import compare_rollups, rolled_up_days
from chainlog_async.admin.verify.totals import TABLES, compare, read_totals
from chainlog_async.common.progress import Progress, no_progress
from chainlog_async.common.sqlite import sqlite3
from chainlog_async.storage.base import StorageFault
from chainlog_async.storage.sqlite.errors import classify, sqlite_error_name
from chainlog_async.storage.sqlite.maintenance.pages import fetch_int

from .session import count_rows, open_for_reading

# Not pruned_summary, which lacks what 429chain deleted before the migration.
COUNT_PRUNED = "SELECT COALESCE(SUM(total_requests), 0) FROM pruned_by_provider"


class CheckReport(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What `check_database` found."""

    database: str
    ok: bool
    """Whether nothing is wrong."""
    quick: bool
    """Whether comparing the indexes with the rows was skipped."""
    rows: int | None
    """Requests in the log; None when damage prevents counting them."""
    pruned_rows: int | None
    """Requests that are only in the totals; None when damage prevents reading them."""
    damage: tuple[str, ...]
    """What SQLite reports about the file, at most about a hundred lines."""
    differences: tuple[Difference, ...]
    """Wrong numbers in totals, buckets and rollups; at most a hundred are listed."""
    wrong_numbers: int
    """How many numbers are wrong, listed or not."""
    seconds: float
    """Duration of the check."""


async def check_database(
    path: str | Path, *, quick: bool = False, busy_timeout_ms: int = 5_000, on_progress: Progress = no_progress
) -> CheckReport:
    """Checks one state of the database while other processes write to it.

    Reads every page; with `quick`, indexes are not compared with the rows. No other process is blocked, but the
    write-ahead log cannot be reset until the check is done, so it grows by what is written meanwhile.

    Raises `DatabaseError` when the database cannot be checked: `DatabaseMissingError`, `OlderDatabaseError`,
    `NotADatabaseError` when not even the schema can be read, and others.
    """
    began = monotonic()
    async with open_for_reading(path, busy_timeout_ms=busy_timeout_ms) as connection:
        # The first read fixes the state that all later reads see.
        await connection.execute_fetchall("BEGIN")
        await fetch_int(connection, "SELECT COUNT(*) FROM sqlite_master")
        on_progress("checking the file", 0, len(TABLES) + 1)
        damage = await _damage(connection, quick=quick)
        rows = pruned = None
        findings = Findings()
        try:
            await _compare_totals(connection, findings, on_progress)
            await _compare_buckets(connection, findings, on_progress)
            await _compare_rollups(connection, findings, on_progress)
            rows, pruned = await count_rows(connection), await fetch_int(connection, COUNT_PRUNED)
        except sqlite3.Error as error:
            if classify(error) is not StorageFault.DAMAGED:
                raise
            damage.append(f"the totals cannot be compared: {error} ({sqlite_error_name(error)})")
    return CheckReport(
        database=str(path),
        ok=not damage and not findings.count,
        quick=quick,
        rows=rows,
        pruned_rows=pruned,
        damage=tuple(damage),
        differences=findings.listed,
        wrong_numbers=findings.count,
        seconds=round(monotonic() - began, 3),
    )


async def _compare_totals(connection: aiosqlite.Connection, findings: Findings, on_progress: Progress) -> None:
    for done, table in enumerate(TABLES, 1):
        on_progress(f"summing {table.name}", done, len(TABLES) + 1)
        kept = await read_totals(connection, table.kept)
        findings.add(compare(table.name, table.columns, kept, await read_totals(connection, table.counted)))


async def _compare_buckets(connection: aiosqlite.Connection, findings: Findings, on_progress: Progress) -> None:
    since = await first_whole_bucket(connection)
    if since > START_OF_TIME:
        findings.add(await compare_older(connection, since))
    async for day in days_since(connection, since, on_progress):
        for table in BUCKETS:
            await compare_buckets(connection, table, day, findings)


async def _compare_rollups(connection: aiosqlite.Connection, findings: Findings, on_progress: Progress) -> None:
    days = await rolled_up_days(connection)
    for done, day in enumerate(days):
        on_progress("comparing rollups, days", done, len(days))
        differences, _ = await compare_rollups(connection, day)
        findings.add(differences)


async def _damage(connection: aiosqlite.Connection, *, quick: bool) -> list[str]:
    try:
        rows = await connection.execute_fetchall("PRAGMA quick_check" if quick else "PRAGMA integrity_check")
    except sqlite3.Error as error:
        if classify(error) is not StorageFault.DAMAGED:
            raise
        return [f"{error} ({sqlite_error_name(error)})"]
    findings = [line for (finding,) in rows for line in str(finding).splitlines()]
    return [] if findings == ["ok"] else findings
