"""Prunes a log in PostgreSQL: whole days are dropped, and of the last one rows are deleted; see `admin.prune`."""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic
from typing import cast

import anyio
import asyncpg

from chainlog_async.admin.prune import PruneLimits, PruneReport
from chainlog_async.common.clock import DAY_MS, MAX_INT64
from chainlog_async.common.progress import Progress
from chainlog_async.errors import DatabaseError
from chainlog_async.storage.base import StorageFault
from chainlog_async.storage.postgres.errors import classify
from chainlog_async.storage.postgres.url import PostgresUrl
from chainlog_async.storage.sqlite.maintenance.size_estimate import MIN_LOG_SHARE

from .session import Session, open_session

SLICE_ROWS = 5_000
"""How many rows one transaction deletes: nobody adds up totals meanwhile."""

LOCK_PAUSE_S, LOCK_TRIES = 0.1, 600
"""Pause between two tries to drop a day while others write or add up totals, in seconds, and how many there are."""

COUNT = "SELECT count(*) FROM request_logs"
SIZE = """
SELECT COALESCE(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class
WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'm')
"""
ROWS_SIZE = """
SELECT COALESCE(sum(pg_total_relation_size(inhrelid)), 0)::bigint FROM pg_inherits
WHERE inhparent = 'request_logs'::regclass
"""
# The day of each partition that is one of a day, and its size.
DAYS = """
SELECT day, pg_total_relation_size(inhrelid) FROM (
  SELECT
    inhrelid,
    (extract(epoch FROM to_date(substring(relname FROM '^request_logs_(\\d{8})$'), 'YYYYMMDD')) * 1000)::bigint AS day
  FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
  WHERE inhparent = 'request_logs'::regclass
) AS partitions WHERE day IS NOT NULL ORDER BY day
"""
ROW_AT = "SELECT timestamp, id FROM request_logs ORDER BY timestamp, id OFFSET $1 LIMIT 1"
BEFORE = """
SELECT count(*), min(timestamp), max(timestamp) FROM request_logs
WHERE timestamp <= $1 AND (timestamp, id) < ($1, $2)
"""
PRUNED = "SELECT COALESCE(sum(total_requests), 0)::bigint FROM pruned_by_provider"
DROP_DAY = "SELECT drop_day($1)::integer"
COUNT_DROPPED = "SELECT count_dropped()::integer"
DELETE = "SELECT prune_rows($1, $2, $3)"


@dataclass(frozen=True, slots=True)
class _Plan:
    before: int
    """Rows before that time go, in ms since the epoch, UTC, ..."""
    before_id: int
    """... and of those at that time the ones with smaller ids."""
    all_rows: int
    rows: int
    oldest: int | None
    newest: int | None
    bytes: int
    too_large: str | None


async def plan_pruning(url: PostgresUrl, limits: PruneLimits, now: int) -> PruneReport:
    """See `admin.prune.plan_pruning`."""
    began = monotonic()
    async with open_session(url, "prune") as session, session.transaction(reading=True):
        plan = await _plan(session, limits, now)
        size = await session.number(SIZE)
    return _report(url, plan, plan.rows, plan.all_rows - plan.rows, (size, size), began, dry_run=True)


async def prune(url: PostgresUrl, limits: PruneLimits, now: int, on_progress: Progress) -> PruneReport:
    """See `admin.prune.prune_database`."""
    began = monotonic()
    async with open_session(url, "prune") as session:
        async with session.transaction(reading=True):
            plan = await _plan(session, limits, now)
            before, pruned = await session.number(SIZE), await session.number(PRUNED)
        if plan.rows:
            await _drop_days(session, plan, on_progress)
            await _delete_rows(session, plan, on_progress)
        async with session.transaction(reading=True):
            deleted = await session.number(PRUNED) - pruned
            sizes = before, await session.number(SIZE)
            left = await session.number(COUNT)
    return _report(url, plan, deleted, left, sizes, began, dry_run=False)


async def _drop_days(session: Session, plan: _Plan, on_progress: Progress) -> None:
    async with session.transaction(reading=True):
        days = [cast("int", day) for day, _ in await session.fetch(DAYS)]
    gone = [day for day in days if day + DAY_MS <= plan.before]
    for done, day in enumerate(gone):
        on_progress("dropping days", done, len(gone))
        for _ in range(LOCK_TRIES):
            if await _drop(session, day):
                break
            await anyio.sleep(LOCK_PAUSE_S)
        else:
            raise DatabaseError(f"another process keeps the tables of {session.url.shown} locked; try again later")
        while await session.call(COUNT_DROPPED):
            pass


async def _drop(session: Session, day: int) -> bool:
    try:
        return bool(await session.call(DROP_DAY, day))
    except asyncpg.PostgresError as error:
        if classify(error) is not StorageFault.BUSY:
            raise
        return False


async def _delete_rows(session: Session, plan: _Plan, on_progress: Progress) -> None:
    deleted = 0
    while count := await session.call(DELETE, plan.before, plan.before_id, SLICE_ROWS):
        deleted += count
        on_progress("deleting rows", deleted, max(plan.rows, deleted))


async def _plan(session: Session, limits: PruneLimits, now: int) -> _Plan:
    all_rows = await session.number(COUNT)
    cut = (now - limits.max_age_ms, 0) if limits.max_age_ms else (0, 0)
    if limits.max_rows and all_rows > limits.max_rows:
        ((timestamp, number),) = await session.fetch(ROW_AT, all_rows - limits.max_rows)
        cut = max(cut, (cast("int", timestamp), cast("int", number)))
    too_large = None
    if limits.max_bytes:
        day, too_large = await _first_day_that_fits(session, limits.max_bytes, now)
        cut = max(cut, (day, 0))
    ((rows, oldest, newest),) = cast(
        "list[tuple[int, int | None, int | None]]", await session.fetch(BEFORE, min(cut[0], MAX_INT64), cut[1])
    )
    size = await session.number(ROWS_SIZE) * rows // all_rows if all_rows else 0
    return _Plan(cut[0], cut[1], all_rows, rows, oldest, newest, size, too_large)


async def _first_day_that_fits(session: Session, max_bytes: int, now: int) -> tuple[int, str | None]:
    """From which day (ms, UTC) on the log has the size, 0 for all; and why it is larger without the days before.

    Today stays, and so does a part of the limit, however large totals and usage are.
    """
    size, log_bytes = await session.number(SIZE), await session.number(ROWS_SIZE)
    days = cast("list[tuple[int, int]]", await session.fetch(DAYS))
    first = 0
    for day, day_bytes in days:
        if size <= max_bytes or day + DAY_MS > now or (log_bytes - day_bytes) * MIN_LOG_SHARE < max_bytes:
            break
        size, log_bytes, first = size - day_bytes, log_bytes - day_bytes, day + DAY_MS
    if size <= max_bytes:
        return first, None
    return first, (
        f"the log takes {size} bytes without the days that can be dropped, more than its limit of {max_bytes}: only "
        f"whole days (UTC) are dropped, today stays, and the requests keep {100 // MIN_LOG_SHARE} % of the limit; "
        "totals and usage are never deleted"
    )


def _report(
    url: PostgresUrl, plan: _Plan, deleted: int, left: int, sizes: tuple[int, int], began: float, *, dry_run: bool
) -> PruneReport:
    return PruneReport(
        database=url.shown,
        dry_run=dry_run,
        deleted=deleted,
        oldest=plan.oldest,
        newest=plan.newest,
        deleted_bytes=plan.bytes,
        rows=left,
        bytes_before=sizes[0],
        bytes_after=sizes[1],
        free_bytes=0,
        can_shrink=True,
        too_large=plan.too_large,
        seconds=round(monotonic() - began, 3),
    )
