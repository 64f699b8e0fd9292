"""The SQL of usage over time: sums and histograms by step and group, from what is rolled up and from buckets.

`:pieces` are JSON arrays of a step's index, the width of its rollups (0 for the buckets), from when, to when, and
whether that is all of the step, one line for each group.
"""

from __future__ import annotations

# The name under which a row counts.
_FULL_NAME = """
  CASE :by WHEN 'chain' THEN chain_name WHEN 'provider' THEN provider_id WHEN 'model' THEN model
    WHEN 'caller' THEN caller ELSE '' END AS full_name
"""
# Said in each part of a union: SQLite would put all columns of all rows together first, and filter then.
_WHERE = """
  (:chain IS NULL OR chain_name = :chain) AND (:provider IS NULL OR provider_id = :provider)
  AND (:model IS NULL OR model = :model) AND (:caller IS NULL OR caller = :caller)
"""
_PIECES = """
WITH pieces (point, width, since, until, is_whole) AS MATERIALIZED (
  SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4 FROM json_each(:pieces)
)
"""
_SUMS = """
  requests, errors, rate_limited, waterfalls, prompt_tokens, completion_tokens, cached_tokens, total_tokens, cost_usd,
  latency_ms, ttft_ms, ttft_requests
"""
_ROLLED_UP = f"""
  pieces.width > 0 AND rolled.width = pieces.width AND dimension = :dimension AND start >= since AND start < until
  AND {_WHERE}
"""
_IN_BUCKETS = f"pieces.width = 0 AND start >= since AND start < until AND {_WHERE}"
_NAMED = f"point, {_FULL_NAME}"
_NAME = "CASE WHEN full_name IN (SELECT value FROM json_each(:groups)) THEN full_name END AS name"
_CHOSEN_USAGE = f"""{_PIECES}, named AS (
  SELECT {_NAMED}, {_SUMS} FROM pieces CROSS JOIN usage_rollups AS rolled WHERE {_ROLLED_UP}
  UNION ALL
  SELECT {_NAMED}, {_SUMS} FROM pieces CROSS JOIN usage_buckets WHERE {_IN_BUCKETS}
)
"""  # noqa: S608  # put together from constants of this file
LARGEST_GROUPS = f"""{_CHOSEN_USAGE}
SELECT full_name FROM named GROUP BY full_name ORDER BY SUM(requests) DESC, full_name LIMIT :limit
"""  # noqa: S608  # the same
USAGE = f"""{_CHOSEN_USAGE}
SELECT
  point, {_NAME},
  SUM(requests), SUM(errors), SUM(rate_limited), SUM(waterfalls), SUM(prompt_tokens), SUM(completion_tokens),
  SUM(cached_tokens), SUM(total_tokens), SUM(cost_usd), SUM(latency_ms), SUM(ttft_ms), SUM(ttft_requests)
FROM named GROUP BY point, name
"""  # noqa: S608  # the same

_PERCENTILES = """
  latency_p50, latency_p90, latency_p95, latency_p99, ttft_p50, ttft_p90, ttft_p95, ttft_p99
"""
# Where one line is all of a group in a step, its percentiles are the answer, and its histograms stay where they are.
ROLLED_UP_DURATIONS = f"""{_PIECES}, chosen AS (
  SELECT {_NAMED}, is_whole, latencies, ttfts, {_PERCENTILES}
  FROM pieces CROSS JOIN duration_rollups AS rolled WHERE {_ROLLED_UP}
), named AS (SELECT *, {_NAME} FROM chosen)
SELECT
  point, name, IIF(is_whole AND name IS NOT NULL, NULL, latencies), IIF(is_whole AND name IS NOT NULL, NULL, ttfts),
  {_PERCENTILES}
FROM named
"""  # noqa: S608  # the same
BUCKET_DURATIONS = f"""{_PIECES}, named AS (
  SELECT {_NAMED}, upper_ms, requests AS latencies, 0 AS ttfts FROM pieces CROSS JOIN usage_buckets WHERE {_IN_BUCKETS}
  UNION ALL
  SELECT {_NAMED}, upper_ms, 0, requests FROM pieces CROSS JOIN ttft_buckets WHERE {_IN_BUCKETS}
), bins AS (
  SELECT point, {_NAME}, upper_ms, SUM(latencies) AS latencies, SUM(ttfts) AS ttfts
  FROM named GROUP BY point, name, upper_ms
)
SELECT
  point, name, json_group_array(512 * latencies + number) FILTER (WHERE latencies > 0),
  json_group_array(512 * ttfts + number) FILTER (WHERE ttfts > 0)
FROM bins CROSS JOIN duration_bins USING (upper_ms) GROUP BY point, name
"""  # noqa: S608  # the same
