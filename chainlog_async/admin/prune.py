"""Pruning on request: the small deletions of the writer's retention, repeated until every limit holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import aiosqlite
import anyio
import msgspec

from chainlog_async.common.clock import now_ms
from chainlog_async.common.progress import Progress, no_progress
from chainlog_async.storage.sqlite.maintenance.pages import free_pages, read_pages
from chainlog_async.storage.sqlite.maintenance.purge import OldestRowsPurge
from chainlog_async.storage.sqlite.maintenance.rows_ahead import BY_AGE, MAX_CLOCK_SKEW_MS, has_rows_ahead
from chainlog_async.storage.sqlite.maintenance.size_estimate import bytes_per_row, find_surplus

from .session import count_rows, open_for_admin, open_for_reading

PRUNE_TRANSACTION_S = 0.1
"""About how long one deletion may hold the write lock, in seconds; longer ones delete faster."""

ROWS_BEFORE = "SELECT COUNT(*), MIN(timestamp), MAX(timestamp) FROM request_logs WHERE timestamp < ?"
FIRST_ROWS = """
SELECT MIN(timestamp), (SELECT timestamp FROM request_logs ORDER BY timestamp, id LIMIT 1 OFFSET ? - 1)
FROM request_logs
"""
OLDEST_ROWS = f"SELECT MIN(timestamp), MAX(timestamp) FROM request_logs WHERE id IN ({BY_AGE})"  # noqa: S608  # put together from constants


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
    oldest: int | None
    """Timestamp of the first of them, in ms since the epoch, UTC, as planned before the first was deleted; None if none
    had to go."""
    newest: int | None
    """Timestamp of the last of them."""
    deleted_bytes: int
    """About how many bytes of the database they took, as planned before the first was deleted."""
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


async def plan_pruning(
    path: str | Path, limits: PruneLimits, *, now: int | None = None, busy_timeout_ms: int = 5_000
) -> PruneReport:
    """Counts what `prune_database` would delete; changes nothing. By size this is an estimate.

    Ages are as of `now` (ms since the epoch, UTC; by default the current time). Raises `DatabaseError`:
    `DatabaseMissingError`, `OlderDatabaseError` and others.
    """
    began = monotonic()
    async with open_for_reading(path, busy_timeout_ms=busy_timeout_ms) as connection:
        await connection.execute_fetchall("BEGIN")
        rows = await count_rows(connection)
        plan = await _plan(connection, limits, rows, now_ms() if now is None else now)
        pages = await read_pages(connection)
        return PruneReport(
            database=str(path),
            dry_run=True,
            deleted=plan.rows,
            oldest=plan.oldest,
            newest=plan.newest,
            deleted_bytes=plan.bytes,
            rows=rows - plan.rows,
            bytes_before=pages.file_bytes,
            bytes_after=pages.file_bytes,
            free_bytes=pages.free_bytes,
            can_shrink=pages.is_incremental,
            too_large=plan.too_large,
            seconds=round(monotonic() - began, 3),
        )


async def prune_database(
    path: str | Path,
    limits: PruneLimits,
    *,
    now: int | None = None,
    busy_timeout_ms: int = 5_000,
    on_progress: Progress = no_progress,
) -> PruneReport:
    """Deletes the oldest rows until the limits hold, and returns their pages to the file system.

    Ages are as of `now` (ms since the epoch, UTC; by default the current time). Each deletion is a transaction of about
    `PRUNE_TRANSACTION_S` seconds, followed by as long a pause in which other processes can write. The totals are kept.
    An error, a cancellation or a kill ends the pruning; what was deleted stays deleted.

    Raises `DatabaseError`: `DatabaseMissingError`, `OlderDatabaseError`, another process holds the lock, and others.
    """
    began = monotonic()
    async with open_for_admin(path, busy_timeout_ms=busy_timeout_ms) as connection:
        bytes_before = (await read_pages(connection)).file_bytes
        now = now_ms() if now is None else now
        plan = await _plan(connection, limits, await count_rows(connection), now)
        run = _PruneRun(connection, plan.rows, now, on_progress)
        await run.prune(limits)
        await run.free_pages()
        # The file only shrinks when a checkpoint moves the write-ahead log into it.
        await connection.execute_fetchall("PRAGMA wal_checkpoint(PASSIVE)")
        pages = await read_pages(connection)
        return PruneReport(
            database=str(path),
            dry_run=False,
            deleted=run.deleted,
            oldest=plan.oldest,
            newest=plan.newest,
            deleted_bytes=plan.bytes,
            rows=await count_rows(connection),
            bytes_before=bytes_before,
            bytes_after=pages.file_bytes,
            free_bytes=pages.free_bytes,
            can_shrink=pages.is_incremental,
            too_large=run.too_large,
            seconds=round(monotonic() - began, 3),
        )


class _PruneRun:
    def __init__(self, connection: aiosqlite.Connection, expected: int, now: int, on_progress: Progress) -> None:
        self._connection = connection
        self._expected = expected
        self._now = now
        self._on_progress = on_progress
        self._purge = OldestRowsPurge(PRUNE_TRANSACTION_S)
        self.deleted = 0
        self.too_large: str | None = None

    async def prune(self, limits: PruneLimits) -> None:
        if limits.max_age_ms:
            await self._delete(await count_rows(self._connection), before=self._now - limits.max_age_ms)
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

    async def _delete(self, rows: int, *, before: int | None = None) -> None:
        while rows > 0:
            deleted = await self._delete_slice(rows, before=before)
            if not deleted:
                break
            rows -= deleted

    async def _delete_slice(self, rows: int, *, before: int | None = None) -> int:
        started = monotonic()
        if before is None:
            deleted = await self._purge.delete_oldest(self._connection, rows, self._now)
        else:
            deleted = await self._purge.delete_before(self._connection, rows, before)
        self.deleted += deleted
        self._on_progress("deleting rows", self.deleted, max(self._expected, self.deleted))
        # A waiting writer polls for the lock, and must find it free.
        await anyio.sleep(monotonic() - started)
        return deleted


@dataclass(frozen=True, slots=True)
class _Plan:
    rows: int
    oldest: int | None
    newest: int | None
    bytes: int
    too_large: str | None
    """Why deleting them is not enough; None when it is."""


async def _plan(connection: aiosqlite.Connection, limits: PruneLimits, rows: int, now: int) -> _Plan:
    by_age, oldest, newest = 0, None, None
    surplus_rows, too_large = 0, None
    if limits.max_age_ms:
        found = await connection.execute_fetchall(ROWS_BEFORE, (now - limits.max_age_ms,))
        ((by_age, oldest, newest),) = found
    if limits.max_rows:
        surplus_rows = rows - limits.max_rows
    if limits.max_bytes:
        surplus = await find_surplus(connection, rows, (await read_pages(connection)).used_bytes, limits.max_bytes)
        surplus_rows = max(surplus_rows, surplus.rows)
        too_large = surplus.reason
    surplus_rows = min(surplus_rows, rows)
    if surplus_rows > by_age:
        oldest, newest = await _times_of_oldest(connection, surplus_rows, now)
    deleted = max(by_age, surplus_rows)
    size = round(deleted * (await bytes_per_row(connection) or 0)) if deleted else 0
    return _Plan(deleted, oldest, newest, size, too_large)


async def _times_of_oldest(connection: aiosqlite.Connection, rows: int, now: int) -> tuple[int, int]:
    if await has_rows_ahead(connection, now):
        # -1 searches all rows for those of the future.
        everything = {"latest": now + MAX_CLOCK_SKEW_MS, "searched_to": 0, "searched": -1, "rows": rows}
        ((oldest, newest),) = await connection.execute_fetchall(OLDEST_ROWS, everything)
    else:
        ((oldest, newest),) = await connection.execute_fetchall(FIRST_ROWS, (rows,))
    return int(oldest), int(newest)
