"""Maintenance between batches: totals, rollups, partitions and retention, by one process at a time.

Each piece is a function of the database (see `migrations`) and a transaction of its own. Where another process is at it
already, the function says so at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, cast

from chainlog_async.common.clock import DAY_MS, now_ms
from chainlog_async.storage.base import StorageEvents, StorageFault

from .errors import classify, describe
from .write_connection import WriteConnection

if TYPE_CHECKING:
    from chainlog_async.settings import Settings

MAINTENANCE_INTERVAL_S = 1.0
"""Time between two rounds, in seconds."""

FOLD_BATCHES = 50
"""How many batches are added to the totals at once: the more, the less work for each row."""

PARTITIONS_AHEAD = 7
"""How many days ahead partitions are made."""

PARTITIONS_INTERVAL_S = 3_600.0
RETENTION_INTERVAL_S = 60.0
ROLLUP_INTERVAL_S = 60.0
ALL_ROLLUPS_INTERVAL_S = 600.0
"""Times between two searches for work, in seconds; for late rows of any time the search is less frequent."""

ROLLUP_SEARCH_MS = 2 * DAY_MS
"""How far back each search for spans to roll up goes, in ms."""

ROLLUP_STEP_MS = 100
"""Time after which no further step of rolling up starts in a round, in ms."""

ROLLUP_GRACE_MS = 300_000
"""How long after its end a span of time is rolled up, in ms: requests are logged shortly after they end."""

FEWEST_BUCKETS, FEWEST_FOR_A_LINE = 100, 3
"""What has fewer buckets, or fewer for each line, is not rolled up: reading the buckets takes no time then."""

PURGE_ROWS = 5_000

_FOLD = "SELECT {s}.fold($1)"
_HAS_MORE = "SELECT EXISTS (SELECT 1 FROM {s}.batches)"
_ROLL_UP = "SELECT {s}.roll_up($1, $2, $3, $4, $5)"
_MAKE_PARTITIONS = "SELECT {s}.make_partitions($1, $2)"
_DAYS = "SELECT day, rows FROM {s}.log_days ORDER BY day"
_DROP_DAY = "SELECT {s}.drop_day($1)"
_COUNT_DROPPED = "SELECT {s}.count_dropped()"
_PURGE_REST = "SELECT {s}.purge_rest($1, $2)"
_SIZE = """
SELECT COALESCE(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class
WHERE relnamespace = to_regnamespace('{s}') AND relkind IN ('r', 'm')
"""


class MaintenanceRounds:
    """Short rounds of maintenance; a failure of one part does not prevent the others."""

    def __init__(self, link: WriteConnection, settings: Settings) -> None:
        self._link = link
        self._max_age_ms = settings.retention_days * DAY_MS
        self._max_rows = settings.retention_rows
        self._next_at = self._partitions_at = self._retention_at = self._rollups_at = self._all_rollups_at = 0.0

    async def run_if_due(self, events: StorageEvents, *, is_behind: bool) -> float:
        """Does one round if it is due. Returns the time until the next, in seconds.

        Problems are reported to `events` and retried in the next round; raises only when the database is damaged.
        """
        if self._next_at <= monotonic():
            await self._run(events, is_behind)
        return max(self._next_at - monotonic(), 0.0)

    async def _run(self, events: StorageEvents, is_behind: bool) -> None:
        self._next_at = monotonic() + MAINTENANCE_INTERVAL_S
        troubles: list[str] = []
        for work in (
            self._fold,
            self._make_partitions,
            partial(self._retain, events),
            *(() if is_behind else (self._roll_up,)),
        ):
            try:
                await work()
            except asyncio.CancelledError:
                raise
            except Exception as error:
                # Entries are still written.
                fault = classify(error)
                if fault is StorageFault.DAMAGED:
                    raise
                if fault is not StorageFault.BUSY:
                    troubles.append(describe(error))
        events.note_maintenance(troubles[0] if troubles else None)

    async def _fold(self) -> None:
        if await self._ask(_FOLD, FOLD_BATCHES) and await self._ask(_HAS_MORE):
            self._next_at = monotonic()

    async def _make_partitions(self) -> None:
        if monotonic() < self._partitions_at:
            return
        today = now_ms() // DAY_MS * DAY_MS
        await self._ask(_MAKE_PARTITIONS, today, today + (1 + PARTITIONS_AHEAD) * DAY_MS)
        self._partitions_at = monotonic() + PARTITIONS_INTERVAL_S

    async def _retain(self, events: StorageEvents) -> None:
        if monotonic() < self._retention_at:
            return
        events.note_size(cast("int", await self._ask(_SIZE)))
        before = await self._deadline()
        if before:
            for day in [day for day, _ in await self._days() if day < before]:
                await self._ask(_DROP_DAY, day)
            while await self._ask(_PURGE_REST, before, PURGE_ROWS) == PURGE_ROWS:
                pass
        while await self._ask(_COUNT_DROPPED):
            pass
        self._retention_at = monotonic() + RETENTION_INTERVAL_S

    async def _deadline(self) -> int:
        """Rows before that time (ms, UTC), the start of a day, exceed a limit; 0 when none do."""
        by_age = (now_ms() - self._max_age_ms) // DAY_MS * DAY_MS if self._max_age_ms else 0
        return max(by_age, days_beyond(await self._days(), self._max_rows) if self._max_rows else 0)

    async def _days(self) -> list[tuple[int, int]]:
        rows = await self._link.run(lambda connection: connection.fetch(self._link.url.sql(_DAYS)))
        return [(row["day"], row["rows"]) for row in rows]

    async def _roll_up(self) -> None:
        if monotonic() < self._rollups_at:
            return
        until = now_ms() - ROLLUP_GRACE_MS
        since = 0 if monotonic() >= self._all_rollups_at else until - ROLLUP_SEARCH_MS
        if await self._ask(_ROLL_UP, since, until, FEWEST_BUCKETS, FEWEST_FOR_A_LINE, ROLLUP_STEP_MS):
            return
        self._rollups_at = monotonic() + ROLLUP_INTERVAL_S
        if since == 0:
            self._all_rollups_at = monotonic() + ALL_ROLLUPS_INTERVAL_S

    async def _ask(self, sql: str, *arguments: object) -> object:
        statement = self._link.url.sql(sql)
        return await self._link.run(lambda connection: connection.fetchval(statement, *arguments))


def days_beyond(days: Sequence[tuple[int, int]], max_rows: int) -> int:
    """The start of the oldest day that is kept, when the days from it on alone have `max_rows` rows; else 0.

    `days` are pairs of a day (ms, UTC) and its rows, in order. So at least that many rows are kept, and at most a day's
    more.
    """
    rows = 0
    for day, count in reversed(days):
        rows += count
        if rows >= max_rows:
            return day
    return 0
