"""The SQL of all-time totals, of the summary, and of the names to filter by."""

from __future__ import annotations

from chainlog_async.common.clock import DAY_MS, HOUR_MS

_PROVIDERS = (
    "SELECT provider_id, total_requests, total_tokens, total_prompt_tokens, total_completion_tokens, "
    "last_request_timestamp, total_cost_nano / 1e9 FROM usage_by_provider"
)
_CHAINS = (
    "SELECT chain_name, total_requests, total_tokens, total_prompt_tokens, total_completion_tokens, "
    "last_request_timestamp, total_cost_nano / 1e9 FROM usage_by_chain"
)
ALL_PROVIDERS = _PROVIDERS + " ORDER BY last_request_timestamp DESC, provider_id"
ONE_PROVIDER = _PROVIDERS + " WHERE provider_id = ?"
ALL_CHAINS = _CHAINS + " ORDER BY last_request_timestamp DESC, chain_name"
ONE_CHAIN = _CHAINS + " WHERE chain_name = ?"
SUMMARY = "SELECT total_requests, waterfall_requests, total_latency_ms FROM usage_summary WHERE id = 1"

CHAIN_NAMES = "SELECT chain_name FROM usage_by_chain ORDER BY total_requests DESC, chain_name LIMIT :limit"
PROVIDER_NAMES = "SELECT provider_id FROM usage_by_provider ORDER BY total_requests DESC, provider_id LIMIT :limit"


# Every day with buckets: as a whole where it is rolled up by this name, by the hour where hours of it are. What is
# valid is decided in the statement that reads it, because rollups may be dropped between two.
_SPANS = f"""
WITH RECURSIVE valid (width, start) AS NOT MATERIALIZED (
  SELECT width, start FROM rolled_up
  WHERE taken_by IS NULL AND dimensions & (SELECT bit FROM rollup_dimensions WHERE dimension = :dimension)
),
days (start) AS (
  SELECT MIN(start) / {DAY_MS} * {DAY_MS} FROM usage_buckets
  UNION ALL
  SELECT (SELECT MIN(start) FROM usage_buckets WHERE start >= days.start + {DAY_MS}) / {DAY_MS} * {DAY_MS}
  FROM days WHERE start IS NOT NULL
),
states (start, is_rolled_up, has_hours) AS MATERIALIZED (
  SELECT
    start,
    EXISTS (SELECT 1 FROM valid WHERE width = {DAY_MS} AND valid.start = days.start),
    EXISTS (
      SELECT 1 FROM valid WHERE width = {HOUR_MS} AND valid.start >= days.start AND valid.start < days.start + {DAY_MS}
    )
  FROM days WHERE start IS NOT NULL
),
hours (number) AS (VALUES (0) UNION ALL SELECT number + 1 FROM hours WHERE number < 23),
spans (width, start, is_rolled_up) AS MATERIALIZED (
  SELECT {DAY_MS}, start, is_rolled_up FROM states WHERE is_rolled_up OR NOT has_hours
  UNION ALL
  SELECT {HOUR_MS}, hour, EXISTS (SELECT 1 FROM valid WHERE width = {HOUR_MS} AND valid.start = hour)
  FROM (
    SELECT start + number * {HOUR_MS} AS hour FROM states CROSS JOIN hours WHERE NOT is_rolled_up AND has_hours
  )
)
"""  # noqa: S608  # built from constants of this module


def _names_of(column: str, named: str) -> str:
    """From days and hours that are rolled up by this name, and from the buckets of all other time.

    Few buckets, and those of names that are nearly all different, are never rolled up: see migrations/0008. Of names
    without number the search ends at the limit, before it has read and sorted all of them.
    """
    return f"""{_SPANS}
      SELECT name FROM (
        SELECT DISTINCT name FROM (
          SELECT kept.{column} AS name FROM spans CROSS JOIN usage_buckets AS kept
          WHERE NOT is_rolled_up AND kept.start >= spans.start AND kept.start < spans.start + spans.width
            AND kept.{named}
          UNION ALL
          SELECT rolled.{column} FROM spans CROSS JOIN usage_rollups AS rolled
          WHERE is_rolled_up AND rolled.width = spans.width AND dimension = :dimension AND rolled.start = spans.start
            AND rolled.{named}
        ) LIMIT :limit
      ) ORDER BY name
    """  # noqa: S608  # built from constants of this module


MODEL_NAMES, CALLER_NAMES = _names_of("model", "model IS NOT NULL"), _names_of("caller", "caller <> ''")
