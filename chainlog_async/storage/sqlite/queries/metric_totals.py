"""All-time totals for counters that are scraped: exact, never decreasing, and cheap each time.

The sums of closed buckets are remembered, and only the last hour is read again. Rows that arrive later than that (an
import, a journal replayed days later) are detected by their ids, and everything is summed up again, from daily rollups
where they exist. All numbers come from the database, so several workers on one file report the same, and a restart
continues where it ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import TypeAlias

import anyio

from chainlog_async.common.clock import DAY_MS, END_OF_TIME, HOUR_MS, QUARTER_MS, now_ms
from chainlog_async.storage.sqlite.reader_pool import ReaderPool
from chainlog_async.usage.metric_series import Key, MetricSeries
from chainlog_async.usage.metric_totals import BOUNDS_MS, SUMS, MetricTotals, attempt_totals, usage_totals

from .histogram_sql import BIN_OF_VALUE, COUNT_OF_VALUE

LATE_MS = HOUR_MS
"""A row stored this long after its timestamp, in ms, causes everything to be summed up again."""

MAX_NEW_ROWS = 1_000_000
"""With more new rows than this, summing up everything is cheaper than searching for late ones."""

DAYS_AT_ONCE = 30
"""How many rolled-up days one query reads; days without rollups are read one at a time."""

MAX_RECOUNT_SHARE = 0.1
"""Largest share of the time spent summing up while late rows keep arriving; they are counted later then."""

Span: TypeAlias = tuple[int, int]
"""Start and end, in ms since the epoch, UTC."""

LAST_ASSIGNED_ID = "SELECT COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'request_logs'), 0)"
# By id alone: the index on the timestamp would be scanned from its start.
NEW_ROWS = "SELECT COUNT(*), MIN(timestamp) FROM request_logs NOT INDEXED WHERE id > ? AND id <= ?"
# Every day that has buckets, and whether it is rolled up.
DAYS = f"""
WITH RECURSIVE days (start) AS (
  SELECT MIN(start) / {DAY_MS} * {DAY_MS} FROM usage_buckets WHERE start < :until
  UNION ALL
  SELECT (SELECT MIN(start) FROM usage_buckets WHERE start >= days.start + {DAY_MS}) / {DAY_MS} * {DAY_MS}
  FROM days WHERE start < :until
)
SELECT start, EXISTS (
  SELECT 1 FROM rolled_up WHERE width = {DAY_MS} AND rolled_up.start = days.start AND taken_by IS NULL
    AND dimensions & (SELECT bit FROM rollup_dimensions WHERE dimension = 'each')
)
FROM days WHERE start < :until
"""  # noqa: S608  # built from constants of this module

# A value counts as within a bound if its bin ends at most 5 % above the bound: the bins of migration 0007 are so wide
# that the last of these ends between 0.95 and 1.05 of the bound.
_CUTS = tuple(bound * 21 // 20 for bound in BOUNDS_MS)
_RANGE = "start >= :since AND start < :until"


def _summed(source: str, columns: Mapping[str, str]) -> str:
    """A query for sums by chain, provider and model. `source` is a table with the condition on its rows."""
    # Grouped by start first, which is the order of the tables' keys and avoids sorting millions of wide rows.
    parts = ", ".join(f"SUM({what}) AS {name}" for name, what in columns.items())
    sums = ", ".join(f"SUM({name}) AS {name}" for name in columns)
    return f"""
      SELECT chain_name, provider_id, model, MIN(start) / {DAY_MS} AS first_day, {sums} FROM (
        SELECT start, chain_name, provider_id, model, {parts} FROM {source}
        GROUP BY start, chain_name, provider_id, model
      ) GROUP BY 1, 2, 3
    """  # noqa: S608  # built from constants of this module


def _usage_query(usage: str, latencies: tuple[str, str], ttfts: tuple[str, str], unanswered: tuple[str, str]) -> str:
    """One query for usage and histograms, so that sums and counts match; durations are given as source and count."""

    def cumulated(kind: str, count: str) -> dict[str, str]:
        return {f"{kind}{place}": f"{count} * (upper_ms <= {cut})" for place, cut in enumerate(_CUTS)}

    ttft_columns = {"ttfts": ttfts[1], **cumulated("ttft", ttfts[1])}
    latency_columns = cumulated("latency", latencies[1])
    unanswered_columns = cumulated("unanswered", unanswered[1])
    shown = ", ".join((*SUMS, *latency_columns, *ttft_columns, *unanswered_columns))
    return f"""
    WITH usage AS ({_summed(usage, {name: name for name in SUMS})}),
      by_latency AS ({_summed(latencies[0], latency_columns)}),
      by_ttft AS ({_summed(ttfts[0], ttft_columns)}),
      by_unanswered AS ({_summed(unanswered[0], unanswered_columns)})
    SELECT chain_name, provider_id, model, usage.first_day, {shown}
    FROM usage LEFT JOIN by_latency USING (chain_name, provider_id, model)
      LEFT JOIN by_ttft USING (chain_name, provider_id, model)
      LEFT JOIN by_unanswered USING (chain_name, provider_id, model)
    ORDER BY usage.first_day, 1, 2, 3
    """  # noqa: S608  # built from constants of this module


_BUCKETS = f"usage_buckets WHERE {_RANGE}"
_DAYS_OF = f"WHERE width = {DAY_MS} AND dimension = 'each' AND {_RANGE}"


def _bins_of(histogram: str) -> str:
    return f"""(
      SELECT start, chain_name, provider_id, model, upper_ms, {COUNT_OF_VALUE} AS count
      FROM duration_rollups CROSS JOIN json_each(duration_rollups.{histogram})
        CROSS JOIN duration_bins ON number = {BIN_OF_VALUE}
      {_DAYS_OF}
    )"""  # noqa: S608  # built from constants of this module


USAGE_OF_BUCKETS = _usage_query(
    _BUCKETS,
    (_BUCKETS, "(requests - errors - cancelled)"),
    (f"ttft_buckets WHERE {_RANGE}", "(requests - failed)"),
    (_BUCKETS, "(errors + cancelled)"),
)
USAGE_OF_DAYS = _usage_query(
    f"usage_rollups {_DAYS_OF}",
    (_bins_of("latencies"), "count"),
    (_bins_of("ttfts"), "count"),
    (_bins_of("failed_latencies"), "count"),
)
ATTEMPTS = f"""
SELECT provider_id, model, MIN(start) / {DAY_MS} AS first_day,
  SUM(tries), SUM(successes), SUM(rate_limited), SUM(failures)
FROM attempt_buckets WHERE start >= :since AND start < :until GROUP BY 1, 2 ORDER BY first_day, 1, 2
"""  # noqa: S608  # built from constants of this module


@dataclass(slots=True)
class _Known:
    """What is remembered about one file."""

    open_from: int | None = None
    """Start of the open buckets, which are read each time, in ms since the epoch, UTC; None at first."""
    seen_id: int = 0
    """Rows up to this id are accounted for."""
    is_stale: bool = False
    """Whether a row has arrived for a closed bucket."""
    add_up_at: float = 0
    """When everything may be summed up again, in seconds on the monotonic clock."""
    usage: MetricSeries = field(default_factory=lambda: MetricSeries(key_length=3))
    attempts: MetricSeries = field(default_factory=lambda: MetricSeries(key_length=2))


class RunningTotals:
    """Keeps the totals of one file between two scrapes."""

    def __init__(self, readers: ReaderPool) -> None:
        self._readers = readers
        self._lock = anyio.Lock()
        self._known = _Known()

    def forget(self) -> None:
        """Starts over, because another file is at the path."""
        self._known = _Known()

    async def read(self, max_groups: int) -> MetricTotals:
        """Returns the current totals of the first `max_groups` combinations seen, and of the others as `OTHER`.

        Raises `DatabaseError` when the database cannot be read.
        """
        async with self._lock:
            # Kept in a local: `forget` may replace it in the meantime.
            known = self._known
            open_from = await self._close_buckets(known, max_groups)
            usage, attempts = dict(known.usage.closed), dict(known.attempts.closed)
            known.usage.add(usage, await self._fetch(USAGE_OF_BUCKETS, (open_from, END_OF_TIME)), max_groups)
            known.attempts.add(attempts, await self._fetch(ATTEMPTS, (open_from, END_OF_TIME)), max_groups)
        return MetricTotals(
            usage=tuple(usage_totals(key, sums) for key, sums in usage.items()),
            attempts=tuple(attempt_totals(key, sums) for key, sums in attempts.items()),
        )

    async def _close_buckets(self, known: _Known, most: int) -> int:
        """Adds buckets that are over to the closed ones. Returns the start of the open ones, in ms UTC."""
        # Read first: a row that arrives in the meantime is then examined twice rather than never.
        ((newest_id,),) = await self._readers.fetch(LAST_ASSIGNED_ID)
        newest = int(str(newest_id))
        begin = known.open_from
        end = max((now_ms() - LATE_MS) // QUARTER_MS * QUARTER_MS, begin or 0)
        if begin is not None and await self._has_late_rows(known.seen_id, newest, begin):
            known.is_stale = True
        if begin is None or (known.is_stale and monotonic() >= known.add_up_at):
            began_at = monotonic()
            usage, attempts = await self._add_up(known, end, most)
            # Nothing is awaited from here on, or a cancellation could count a bucket twice or never.
            known.usage.closed, known.attempts.closed = usage, attempts
            known.is_stale = False
            took_s = monotonic() - began_at
            known.add_up_at = monotonic() + (took_s / MAX_RECOUNT_SHARE if took_s > 1 else 0)
        elif begin != end:
            usage_rows = await self._fetch(USAGE_OF_BUCKETS, (begin, end))
            attempt_rows = await self._fetch(ATTEMPTS, (begin, end))
            known.usage.add(known.usage.closed, usage_rows, most)
            known.attempts.add(known.attempts.closed, attempt_rows, most)
        known.open_from, known.seen_id = end, newest
        return end

    async def _has_late_rows(self, seen_id: int, newest: int, open_from: int) -> bool:
        """Whether a row has arrived since the last call that belongs to a closed bucket."""
        new = newest - seen_id
        if not 0 <= new <= MAX_NEW_ROWS:
            return True
        ((count, oldest),) = await self._readers.fetch(NEW_ROWS, (seen_id, newest))
        # A row that is missing was pruned, so it was old.
        return count != new or (oldest is not None and float(str(oldest)) < open_from)

    async def _add_up(
        self, known: _Known, end: int, most: int
    ) -> tuple[dict[Key, list[float]], dict[Key, list[float]]]:
        """Sums up everything before `end`."""
        usage: dict[Key, list[float]] = {}
        attempts: dict[Key, list[float]] = {}
        days = [(int(str(start)), bool(rolled)) for start, rolled in await self._readers.fetch(DAYS, {"until": end})]
        for query, span in _portions(days, end):
            known.usage.add(usage, await self._fetch(query, span), most)
            known.attempts.add(attempts, await self._fetch(ATTEMPTS, span), most)
        return usage, attempts

    async def _fetch(self, query: str, span: Span) -> list[tuple[object, ...]]:
        return await self._readers.fetch(query, {"since": span[0], "until": span[1]})


def _portions(days: Sequence[tuple[int, bool]], end: int) -> Iterator[tuple[str, Span]]:
    """The queries to run one after the other: each for several rolled-up days, or for one day without rollups."""
    rolled: list[int] = []
    for start, is_rolled_up in days:
        is_whole = is_rolled_up and start + DAY_MS <= end
        if rolled and (not is_whole or len(rolled) == DAYS_AT_ONCE):
            yield USAGE_OF_DAYS, (rolled[0], rolled[-1] + DAY_MS)
            rolled = []
        if is_whole:
            rolled.append(start)
        else:
            yield USAGE_OF_BUCKETS, (start, min(start + DAY_MS, end))
    if rolled:
        yield USAGE_OF_DAYS, (rolled[0], rolled[-1] + DAY_MS)
