"""Pruning on request: the small deletions of the writer's retention, repeated until every limit holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import aiosqlite
import anyio
import msgspec

from chainlog_async.common.clock import END_OF_TIME, now_ms
from chainlog_async.common.progress import Progress, no_progress
from chainlog_async.storage.sqlite.maintenance.pages import fetch_int, free_pages, read_pages
from chainlog_async.storage.sqlite.maintenance.purge import OldestRowsPurge
from chainlog_async.storage.sqlite.maintenance.size_estimate import find_surplus

from .session import count_rows, open_for_admin, open_for_reading

PRUNE_TRANSACTION_S = 0.1
"""About how long one deletion may hold the write lock, in seconds; longer ones delete faster."""

COUNT_ROWS_BEFORE = "SELECT COUNT(*) FROM request_logs WHERE timestamp < ?"


@dataclass(frozen=True, slots=True)
class PruneLimits:
    """How much may stay; 0 sets no limit."""

    max_age_ms: int = 0
    max_rows: int = 0
    max_bytes: int = 0
    """Size of the database without its free pages; the log keeps a share of it, see `size_estimate`."""

    def __bool__(self) -> bool:
        return any((self.max_age_ms, self.max_rows, self.max_bytes))


class PruneReport(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What `prune_database` deleted, or `plan_pruning` would delete."""

    database: str
    dry_run: bool
    deleted: int
    """Requests that were deleted, or would be; they stay in the totals."""
    rows: int
    """Requests that are left, or would be."""
    bytes_before: int
    """Size of the database in bytes, free pages included."""
    bytes_after: int
    free_bytes: int
    """How much of it is free for new rows."""
    can_shrink: bool
    """Whether free pages can return to the file system without a VACUUM."""
    too_large: str | None
    """Why the database exceeds, or would exceed, `max_bytes` anyway, with the remedy; None when it does not."""
    seconds: float


async def plan_pruning(path: str | Path, limits: PruneLimits, *, busy_timeout_ms: int = 5_000) -> PruneReport:
    """Counts what `prune_database` would delete; changes nothing. By size this is an estimate.

    Raises `DatabaseError`: `DatabaseMissingError`, `OlderDatabaseError` and others.
    """
    began = monotonic()
    async with open_for_reading(path, busy_timeout_ms=busy_timeout_ms) as connection:
        await connection.execute_fetchall("BEGIN")
        rows = await count_rows(connection)
        deleted, too_large = await _count_surplus(connection, limits, rows, now_ms())
        pages = await read_pages(connection)
        return PruneReport(
            database=str(path),
            dry_run=True,
            deleted=deleted,
            rows=rows - deleted,
            bytes_before=pages.file_bytes,
            bytes_after=pages.file_bytes,
            free_bytes=pages.free_bytes,
            can_shrink=pages.is_incremental,
            too_large=too_large,
            seconds=round(monotonic() - began, 3),
        )


async def prune_database(
    path: str | Path, limits: PruneLimits, *, busy_timeout_ms: int = 5_000, on_progress: Progress = no_progress
) -> PruneReport:
    """Deletes the oldest rows until the limits hold, and returns their pages to the file system.

    Each deletion is a transaction of about `PRUNE_TRANSACTION_S` seconds, followed by as long a pause in which other
    processes can write. The totals are kept. An error, a cancellation or a kill ends the pruning; what was deleted
    stays deleted.

    Raises `DatabaseError`: `DatabaseMissingError`, `OlderDatabaseError`, another process holds the lock, and others.
    """
    began = monotonic()
    async with open_for_admin(path, busy_timeout_ms=busy_timeout_ms) as connection:
        run = _PruneRun(connection, on_progress)
        bytes_before = (await read_pages(connection)).file_bytes
        await run.prune(limits, now_ms())
        await run.free_pages()
        # The file only shrinks when a checkpoint moves the write-ahead log into it.
        await connection.execute_fetchall("PRAGMA wal_checkpoint(PASSIVE)")
        pages = await read_pages(connection)
        return PruneReport(
            database=str(path),
            dry_run=False,
            deleted=run.deleted,
            rows=await count_rows(connection),
            bytes_before=bytes_before,
            bytes_after=pages.file_bytes,
            free_bytes=pages.free_bytes,
            can_shrink=pages.is_incremental,
            too_large=run.too_large,
            seconds=round(monotonic() - began, 3),
        )


class _PruneRun:
    def __init__(self, connection: aiosqlite.Connection, on_progress: Progress) -> None:
        self._connection = connection
        self._on_progress = on_progress
        self._purge = OldestRowsPurge(PRUNE_TRANSACTION_S)
        self._expected = 0
        self.deleted = 0
        self.too_large: str | None = None

    async def prune(self, limits: PruneLimits, now: int) -> None:
        rows = await count_rows(self._connection)
        self._expected, _ = await _count_surplus(self._connection, limits, rows, now)
        if limits.max_age_ms:
            await self._delete(rows, before=now - limits.max_age_ms)
        if limits.max_rows:
            await self._delete(await count_rows(self._connection) - limits.max_rows)
        rows = await count_rows(self._connection)
        while limits.max_bytes:
            used = (await read_pages(self._connection)).used_bytes
            surplus = await find_surplus(self._connection, rows, used, limits.max_bytes)
            self.too_large = surplus.reason
            if not surplus.rows:
                break
            rows -= await self._delete_slice(surplus.rows)

    async def free_pages(self) -> None:
        pages = await read_pages(self._connection)
        at_first = pages.free
        more = True
        while more:
            started = monotonic()
            more = await free_pages(self._connection, pages, keep_pages=0)
            pages = await read_pages(self._connection)
            self._on_progress("returning space", max(at_first - pages.free, 0), at_first)
            await anyio.sleep(monotonic() - started)

    async def _delete(self, rows: int, *, before: int = END_OF_TIME) -> None:
        while rows > 0:
            deleted = await self._delete_slice(rows, before=before)
            if not deleted:
                break
            rows -= deleted

    async def _delete_slice(self, rows: int, *, before: int = END_OF_TIME) -> int:
        started = monotonic()
        deleted = await self._purge.delete_oldest(self._connection, rows, before=before)
        self.deleted += deleted
        self._on_progress("deleting rows", self.deleted, max(self._expected, self.deleted))
        # A waiting writer polls for the lock, and must find it free.
        await anyio.sleep(monotonic() - started)
        return deleted


async def _count_surplus(
    connection: aiosqlite.Connection, limits: PruneLimits, rows: int, now: int
) -> tuple[int, str | None]:
    """Returns how many rows have to go, and why deleting them is not enough, or None."""
    surplus_rows, too_large = [0], None
    if limits.max_age_ms:
        surplus_rows.append(await fetch_int(connection, COUNT_ROWS_BEFORE, (now - limits.max_age_ms,)))
    if limits.max_rows:
        surplus_rows.append(rows - limits.max_rows)
    if limits.max_bytes:
        surplus = await find_surplus(connection, rows, (await read_pages(connection)).used_bytes, limits.max_bytes)
        surplus_rows.append(surplus.rows)
        too_large = surplus.reason
    return min(max(surplus_rows), rows), too_large
