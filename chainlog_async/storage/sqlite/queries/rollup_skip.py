"""Skips time in which no request can match according to rollups, so that a search need not read its rows."""

from __future__ import annotations

from chainlog_async.common.clock import DAY_MS, HOUR_MS
from chainlog_async.requests.filter import RequestFilter
from chainlog_async.storage.sqlite.reader_pool import ReaderPool
from chainlog_async.usage.dimensions import KEYS, dimension_of

# From the newest span with buckets to the oldest; a span that is not rolled up may contain a match.
NEWEST_SPAN = """
WITH RECURSIVE spans (start) AS (
  SELECT MAX(start) / :width * :width FROM usage_buckets WHERE start < :before AND start >= :since
  UNION ALL
  SELECT (SELECT MAX(start) FROM usage_buckets WHERE start < spans.start AND start >= :since) / :width * :width
  FROM spans WHERE start IS NOT NULL
)
SELECT start FROM spans
WHERE start IS NOT NULL AND (
  NOT EXISTS (
    SELECT 1 FROM rolled_up WHERE width = :width AND rolled_up.start = spans.start AND taken_by IS NULL
      AND dimensions & (SELECT bit FROM rollup_dimensions WHERE dimension = :dimension)
  )
  OR EXISTS (
    SELECT 1 FROM usage_rollups AS rolled
    WHERE width = :width AND dimension = :dimension AND rolled.start = spans.start
      AND (:chain IS NULL OR chain_name = :chain)
      AND (:provider IS NULL OR provider_id = :provider)
      AND (:model IS NULL OR model = :model)
      AND (:caller IS NULL OR caller = :caller)
      AND (:lowest_status IS NULL OR :highest_status < 400 OR errors + cancelled > 0)
      AND (:is_failed IS NULL OR errors > 0)
      AND (:is_answered IS NULL OR :is_answered OR errors + cancelled > 0)
      AND (:lowest_status IS NOT 429 OR :highest_status IS NOT 429 OR rate_limited > 0)
      AND (:min_latency_ms IS NULL OR EXISTS (
        SELECT 1 FROM duration_rollups AS durations
        WHERE durations.width = :width AND durations.dimension = :dimension AND durations.start = spans.start
          AND durations.chain_name = rolled.chain_name AND durations.provider_id = rolled.provider_id
          AND durations.model = rolled.model AND durations.caller = rolled.caller
          AND slowest_bin >= (
            SELECT number FROM duration_bins
            WHERE upper_ms >= CAST(:min_latency_ms AS INTEGER) ORDER BY upper_ms LIMIT 1
          )
      ))
  )
)
LIMIT 1
"""


def can_skip(where: RequestFilter) -> bool:
    """Whether rollups say anything about this filter."""
    names = (where.chain, where.provider, where.model, where.caller, where.status, where.min_latency_ms)
    return any(value is not None for value in names)


async def newest_candidate(
    readers: ReaderPool, where: RequestFilter, parameters: dict[str, object], before: float
) -> float | None:
    """The latest time, at most `before` (ms since the epoch, UTC), before which a match is possible; None if none is.

    `parameters` are those of the page's query.
    """
    dimension = dimension_of([name for name in KEYS if getattr(where, name) is not None])
    while before > 0:
        day = await _newest_span(readers, parameters | {"dimension": dimension}, DAY_MS, before, 0)
        if day is None:
            return None
        hour = await _newest_span(
            readers, parameters | {"dimension": dimension}, HOUR_MS, min(before, day + DAY_MS), day
        )
        if hour is not None:
            return min(before, hour + HOUR_MS)
        before = day
    return before


async def _newest_span(
    readers: ReaderPool, parameters: dict[str, object], width: int, before: float, since: int
) -> int | None:
    rows = await readers.fetch(NEWEST_SPAN, parameters | {"width": width, "before": before, "since": since})
    return int(str(rows[0][0])) if rows else None
