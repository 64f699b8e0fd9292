"""All-time totals for counters that are scraped: folded with everything else, so that one is read and not added up."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from chainlog_async.common.clock import DAY_MS
from chainlog_async.storage.postgres.reader_pool import ReaderPool, Row
from chainlog_async.usage.metric_series import Key, MetricSeries
from chainlog_async.usage.metric_totals import BOUNDS_MS, SUMS, MetricTotals, attempt_totals, usage_totals
from chainlog_async.usage.percentiles import UPPERS, merge

from .unfolded import unfolded_bounds

_HISTOGRAMS = {
    "latencies": "latencies",
    "ttfts": "ttfts",
    "unanswered": "failed_latencies",
}
_COLUMNS = ", ".join((*SUMS, *_HISTOGRAMS.values()))
_SUMMED = ", ".join(
    (
        *(f"sum({name})" for name in SUMS),
        *(f"string_agg(array_to_string(NULLIF({name}, '{{}}'), ','), ',')" for name in _HISTOGRAMS.values()),
    )
)
USAGE = f"""
SELECT chain_name, provider_id, model, min(first_start) / {DAY_MS} AS first_day, {_SUMMED}
FROM (
  SELECT chain_name, provider_id, model, first_start, {_COLUMNS} FROM usage_totals
  UNION ALL
  SELECT chain_name, provider_id, model, start, {_COLUMNS} FROM unfolded_usage_between(:first_ms, :last_ms)
) AS parts
GROUP BY 1, 2, 3 ORDER BY first_day, chain_name COLLATE "C", provider_id COLLATE "C", model COLLATE "C"
"""  # noqa: S608  # built from constants of this module
ATTEMPTS = f"""
SELECT
  provider_id, model, min(first_start) / {DAY_MS} AS first_day, sum(tries), sum(successes), sum(rate_limited),
  sum(failures)
FROM (
  SELECT provider_id, model, first_start, tries, successes, rate_limited, failures FROM attempt_totals
  UNION ALL
  SELECT provider_id, model, start, tries, successes, rate_limited, failures
  FROM unfolded_attempts_between(:first_ms, :last_ms)
) AS parts
GROUP BY 1, 2 ORDER BY first_day, provider_id COLLATE "C", model COLLATE "C"
"""  # noqa: S608  # built from constants of this module

# A value counts as within a bound if its bin ends at most 5 % above the bound: the bins are so wide that the last of
# these ends between 0.95 and 1.05 of the bound.
_BINS_WITHIN = tuple(sum(upper <= bound * 21 // 20 for upper in UPPERS) for bound in BOUNDS_MS)


class RunningTotals:
    """Remembers which combinations have series of their own; all numbers come from the database."""

    def __init__(self, readers: ReaderPool) -> None:
        self._readers = readers
        self.forget()

    def forget(self) -> None:
        """Starts over, because another database is in the place of the one before."""
        self._usage, self._attempts = MetricSeries(key_length=3), MetricSeries(key_length=2)

    async def read(self, max_groups: int) -> MetricTotals:
        """Returns the current totals of the first `max_groups` combinations seen, and of the others as `OTHER`."""
        async with self._readers.snapshot() as snapshot:
            unfolded = await unfolded_bounds(snapshot)
            usage_rows = await snapshot.fetch(USAGE, unfolded)
            attempt_rows = await snapshot.fetch(ATTEMPTS, unfolded)
        usage: dict[Key, list[float]] = {}
        attempts: dict[Key, list[float]] = {}
        self._usage.add(usage, [_with_counts(row) for row in usage_rows], max_groups)
        self._attempts.add(attempts, attempt_rows, max_groups)
        return MetricTotals(
            usage=tuple(usage_totals(key, sums) for key, sums in usage.items()),
            attempts=tuple(attempt_totals(key, sums) for key, sums in attempts.items()),
        )


def _with_counts(row: Row) -> Sequence[object]:
    """The row with counts up to each bound in the place of histograms, as `usage_totals` takes them."""
    *sums, latencies, ttfts, unanswered = row
    ttft_counts = merge((f"[{ttfts or ''}]",))
    return (*sums, *_cumulated(latencies), sum(ttft_counts), *_up_to_bounds(ttft_counts), *_cumulated(unanswered))


def _cumulated(histogram: object) -> list[int]:
    return _up_to_bounds(merge((f"[{histogram or ''}]",)))


def _up_to_bounds(counts: Sequence[int]) -> list[int]:
    ranks = [0, *accumulate(counts)]
    return [ranks[bins] for bins in _BINS_WITHIN]
