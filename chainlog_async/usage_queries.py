"""The SQL of usage over time: sums and histograms by step and group, from what is rolled up and from buckets.

`:pieces` are JSON arrays of a step's index, the width of a rollup (0 for the buckets), from when, to when, and whether
that is all of the step, one line for each group.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache

from .durations import stored
from .rollups import KEYS, GroupBy, names_of_dimension

_COLUMNS = {"chain": "chain_name", "provider": "provider_id", "model": "model", "caller": "caller"}
_PIECES = """
WITH pieces (point, width, since, until, is_whole) AS MATERIALIZED (
  SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4 FROM json_each(:pieces)
)
"""
_SUMS = """
  requests, errors, rate_limited, waterfalls, prompt_tokens, completion_tokens, cached_tokens, total_tokens, cost_usd,
  latency_ms, ttft_ms, ttft_requests
"""
_PERCENTILES = """
  latency_p50, latency_p90, latency_p95, latency_p99, ttft_p50, ttft_p90, ttft_p95, ttft_p99
"""
_NAME = "CASE WHEN full_name IN (SELECT value FROM json_each(:groups)) THEN full_name END AS name"


@dataclass(frozen=True, slots=True)
class UsageQueries:
    """The queries for one way of grouping and filtering."""

    largest_groups: str
    usage: str
    rolled_up_durations: str
    bucket_durations: str


@cache
def usage_queries(by: GroupBy | None, filtered: frozenset[GroupBy]) -> UsageQueries:
    """With `=` for every name that is known, so that SQLite goes where it is; there are no more than 80 of them.

    Parameters are the filters under their names and, for what is rolled up, `:rolled_chain` and so on, which are ""
    where the dimension has no such name.
    """
    open_ones = set(names_of_dimension([name for name in KEYS if name in filtered or name == by])) - filtered
    known = set(KEYS) - open_ones
    rolled_up = f"rolled.width = pieces.width AND dimension = :dimension AND start = since{_equal(known, 'rolled_')}"
    in_buckets = f"pieces.width = 0 AND start >= since AND start < until{_equal(filtered, '')}"
    named = f"point, {_COLUMNS[by]} AS full_name" if by else "point, '' AS full_name"
    usage = f"""{_PIECES}, named AS (
      SELECT {named}, {_SUMS} FROM pieces CROSS JOIN usage_rollups AS rolled WHERE {rolled_up}
      UNION ALL
      SELECT {named}, {_SUMS} FROM pieces CROSS JOIN usage_buckets WHERE {in_buckets}
    )"""  # noqa: S608  # put together from constants of this file
    return UsageQueries(
        largest_groups=f"""{usage}
            SELECT full_name FROM named GROUP BY full_name ORDER BY SUM(requests) DESC, full_name LIMIT :limit
        """,  # noqa: S608  # the same
        usage=f"""{usage}
            SELECT
              point, {_NAME},
              SUM(requests), SUM(errors), SUM(rate_limited), SUM(waterfalls), SUM(prompt_tokens),
              SUM(completion_tokens), SUM(cached_tokens), SUM(total_tokens), SUM(cost_usd), SUM(latency_ms),
              SUM(ttft_ms), SUM(ttft_requests)
            FROM named GROUP BY point, name
        """,  # noqa: S608  # the same
        # Where one line is all of a group in a step, its percentiles are the answer, and its histograms stay where
        # they are.
        rolled_up_durations=f"""{_PIECES}, chosen AS (
              SELECT {named}, is_whole, latencies, ttfts, {_PERCENTILES}
              FROM pieces CROSS JOIN duration_rollups AS rolled WHERE {rolled_up}
            ), named AS (SELECT *, {_NAME} FROM chosen)
            SELECT
              point, name, IIF(is_whole AND name IS NOT NULL, NULL, latencies),
              IIF(is_whole AND name IS NOT NULL, NULL, ttfts), {_PERCENTILES}
            FROM named
        """,  # noqa: S608  # the same
        bucket_durations=f"""{_PIECES}, named AS (
              SELECT {named}, upper_ms, requests AS latencies, 0 AS ttfts
              FROM pieces CROSS JOIN usage_buckets WHERE {in_buckets}
              UNION ALL
              SELECT {named}, upper_ms, 0, requests FROM pieces CROSS JOIN ttft_buckets WHERE {in_buckets}
            ), bins AS (
              SELECT point, {_NAME}, upper_ms, SUM(latencies) AS latencies, SUM(ttfts) AS ttfts
              FROM named GROUP BY point, name, upper_ms
            )
            SELECT
              point, name, {stored("latencies")}, {stored("ttfts")}
            FROM bins CROSS JOIN duration_bins USING (upper_ms) GROUP BY point, name
        """,  # noqa: S608  # the same
    )


def _equal(keys: Collection[str], prefix: str) -> str:
    return "".join(f" AND {_COLUMNS[key]} = :{prefix}{key}" for key in KEYS if key in keys)
