"""The SQL that counts totals and usage from the rows, and reads what is kept of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chainlog_async.common.clock import DAY_MS, QUARTER_MS
from chainlog_async.usage.sums import USAGE_SUMS

from .session import Session

USAGE_COLUMNS = (
    "total_requests",
    "total_tokens",
    "total_prompt_tokens",
    "total_completion_tokens",
    "last_request_timestamp",
    "total_cost_nano",
)
SUMMARY_COLUMNS = ("total_requests", "waterfall_requests", "total_latency_ms")
OLDER_COLUMNS = ("requests", "total_tokens", "prompt_tokens", "completion_tokens", "cost_nano")
TRIES = ("tries", "successes", "rate_limited", "failures", "last_error_at")
HISTOGRAMS = ("latencies", "ttfts", "failed_latencies", "failed_ttfts")
NAMES = ("chain_name", "provider_id", "model", "caller")

COUNT_PRUNED = "SELECT COALESCE(sum(total_requests), 0)::bigint FROM pruned_by_provider"


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of the log, and of dropped days that are in no table `pruned_…` yet."""

    dropped: Sequence[str]
    """Names of their tables."""

    def select(self, columns: str, rest: str = "") -> str:
        """A query of these columns of all rows."""
        tables = ("request_logs", *(f'"{name}"' for name in self.dropped))
        return " UNION ALL ".join(f"SELECT {columns} FROM {table} {rest}" for table in tables)  # noqa: S608  # names of ours

    def by_name(self, name: str) -> str:
        """`USAGE_COLUMNS` by provider or chain, counted."""
        table = {"provider_id": "pruned_by_provider", "chain_name": "pruned_by_chain"}[name]
        columns = f"{name}, total_tokens, prompt_tokens, completion_tokens, timestamp, nanos(cost_usd) AS cost"
        return f"""
          SELECT
            name, sum(requests)::bigint, sum(tokens), sum(prompts), sum(completions), max(last), sum(cost)
          FROM (
            SELECT
              {name} AS name, count(*) AS requests, sum(total_tokens) AS tokens, sum(prompt_tokens) AS prompts,
              sum(completion_tokens) AS completions, max(timestamp) AS last, sum(cost) AS cost
            FROM ({self.select(columns)}) AS rows GROUP BY 1
            UNION ALL SELECT {name}, {", ".join(USAGE_COLUMNS)} FROM {table}
          ) AS parts GROUP BY 1
        """  # noqa: S608  # constants of this module

    def summary(self) -> str:
        """`SUMMARY_COLUMNS`, counted."""
        return f"""
          SELECT 'log', sum(requests)::bigint, sum(waterfalls)::bigint, sum(latency) FROM (
            SELECT
              count(*) AS requests, count(*) FILTER (WHERE attempts > 1) AS waterfalls,
              COALESCE(sum(latency_ms), 0) AS latency
            FROM ({self.select("attempts, latency_ms")}) AS rows
            UNION ALL SELECT {", ".join(SUMMARY_COLUMNS)} FROM pruned_summary
          ) AS parts
        """  # noqa: S608  # constants of this module

    def older(self) -> str:
        """`OLDER_COLUMNS` of what is older than a time, by provider, counted."""
        columns = "provider_id, total_tokens, prompt_tokens, completion_tokens, nanos(cost_usd) AS cost"
        return f"""
          SELECT
            provider_id, sum(requests)::bigint, sum(tokens), sum(prompts), sum(completions), sum(cost)
          FROM (
            SELECT
              provider_id, count(*) AS requests, sum(total_tokens) AS tokens, sum(prompt_tokens) AS prompts,
              sum(completion_tokens) AS completions, sum(cost) AS cost
            FROM ({self.select(columns, "WHERE timestamp < $1")}) AS rows GROUP BY 1
            UNION ALL
            SELECT
              provider_id, total_requests, total_tokens, total_prompt_tokens, total_completion_tokens, total_cost_nano
            FROM pruned_by_provider
            UNION ALL
            SELECT
              provider_id, -total_requests, -total_tokens, -total_prompt_tokens, -total_completion_tokens, 0
            FROM pruned_before_buckets
          ) AS parts GROUP BY 1 HAVING sum(requests) <> 0
        """  # noqa: S608  # constants of this module


KEPT_BY_PROVIDER = f"SELECT provider_id, {', '.join(USAGE_COLUMNS)} FROM provider_totals"  # noqa: S608  # constants
KEPT_BY_CHAIN = f"SELECT chain_name, {', '.join(USAGE_COLUMNS)} FROM chain_totals"  # noqa: S608  # constants
KEPT_SUMMARY = f"SELECT 'log', {', '.join(SUMMARY_COLUMNS)} FROM summary_totals"  # noqa: S608  # constants
KEPT_OLDER = f"""
SELECT provider_id, {", ".join(f"sum({column})" for column in OLDER_COLUMNS)}
FROM usage_parts WHERE start < $1 GROUP BY 1
"""  # noqa: S608  # constants

# All-time totals of combinations, and rows by day, which are kept of what is folded.
ALL_TIME_SUMS = tuple(name for name in USAGE_SUMS)
KEPT_ALL_TIME = f"SELECT group_id::text, {', '.join(ALL_TIME_SUMS)} FROM usage_totals"  # noqa: S608  # constants
COUNTED_ALL_TIME = f"""
SELECT group_of(chain_name, provider_id, model, '')::text, {", ".join(f"sum({name})" for name in ALL_TIME_SUMS)}
FROM usage_buckets JOIN usage_groups USING (group_id) GROUP BY 1
"""  # noqa: S608  # constants
KEPT_ALL_TRIES = f"SELECT provider_id || '/' || model, {', '.join(TRIES[:-1])} FROM attempt_totals"  # noqa: S608  # constants
COUNTED_ALL_TRIES = f"""
SELECT provider_id || '/' || model, {", ".join(f"sum({name})" for name in TRIES[:-1])}
FROM attempt_buckets GROUP BY provider_id, model
"""  # noqa: S608  # constants
KEPT_DAYS = "SELECT day, rows FROM log_days WHERE rows <> 0"
COUNTED_DAYS = f"""
SELECT day, sum(rows)::bigint FROM (
  SELECT timestamp / {DAY_MS} * {DAY_MS} AS day, count(*) AS rows FROM request_logs GROUP BY 1
  UNION ALL
  SELECT timestamp / {DAY_MS} * {DAY_MS}, -count(*) FROM unfolded_rows GROUP BY 1
) AS parts GROUP BY 1 HAVING sum(rows) <> 0
"""  # noqa: S608  # constants


def _differing(keys: Sequence[str], kept: str, counted: str, numbers: Sequence[str], aggregate: str = "sum") -> str:
    """Keys, kept numbers and counted numbers of the lines in which these differ."""
    columns = ", ".join((*keys, *numbers))

    def side(place: int) -> str:
        return ", ".join(
            f"COALESCE({'max' if name == 'last_error_at' else aggregate}({name}) FILTER (WHERE side = {place}), 0)"
            for name in numbers
        )

    return f"""
      SELECT {", ".join(keys)}, {side(1)}, {side(2)} FROM (
        SELECT 1 AS side, {columns} FROM {kept}
        UNION ALL SELECT 2, {columns} FROM {counted}
      ) AS sides GROUP BY {", ".join(keys)} HAVING ({side(1)}) IS DISTINCT FROM ({side(2)})
      ORDER BY {", ".join(keys)}
    """  # noqa: S608  # constants of this module


_BUCKET_KEYS = ("start", *NAMES)
_SPAN = "WHERE start >= $1 AND start < $2"
DIFFERING_USAGE = _differing(_BUCKET_KEYS, f"usage_parts {_SPAN}", "counted_usage($1, $2)", USAGE_SUMS)
_TAG_KEYS = ("start", "tag_key", "tag_value", *NAMES)
_TAG_COLUMNS = ", ".join((*_TAG_KEYS, *USAGE_SUMS))
DIFFERING_TAGS = _differing(
    _TAG_KEYS,
    f"""(
      SELECT {_TAG_COLUMNS} FROM tag_buckets JOIN usage_groups USING (group_id) {_SPAN}
      UNION ALL SELECT {_TAG_COLUMNS} FROM unfolded_tags {_SPAN}
    ) AS parts""",  # noqa: S608  # constants of this module
    "counted_tags($1, $2)",
    USAGE_SUMS,
)
DIFFERING_ATTEMPTS = _differing(
    ("start", "provider_id", "model"), f"attempt_parts {_SPAN}", "counted_attempts($1, $2)", TRIES
)


def _bins(source: str) -> str:
    each = " UNION ALL ".join(f"SELECT '{name}' AS histogram, v FROM unnest({name}) AS v" for name in HISTOGRAMS)  # noqa: S608  # constants
    return f"""(
      SELECT {", ".join(_BUCKET_KEYS)}, histogram, v & 511 AS bin, v >> 9 AS requests
      FROM {source} CROSS JOIN LATERAL ({each}) AS bins
    ) AS bins"""  # noqa: S608  # constants of this module


DIFFERING_HISTOGRAMS = _differing(
    (*_BUCKET_KEYS, "histogram", "bin"),
    _bins(f"(SELECT * FROM usage_parts {_SPAN}) AS parts"),  # noqa: S608  # constants
    _bins("counted_usage($1, $2)"),
    ("requests",),
)

ROLLUP_COLUMNS = (*USAGE_SUMS, *HISTOGRAMS)
_COUNTS = ", ".join(
    (
        *(f"sum({name})" for name in USAGE_SUMS),
        *(f"sum((SELECT sum(v >> 9) FROM unnest({name}) AS v))" for name in HISTOGRAMS),  # noqa: S608  # constants
    )
)
# Width, start and dimension of what is rolled up of a day, its sums, and those of the buckets.
ROLLUPS = f"""
SELECT r.width, r.start, d.dimension, kept.*, counted.*
FROM rolled_up AS r JOIN rollup_dimensions AS d ON r.dimensions & d.bit <> 0
CROSS JOIN LATERAL (
  SELECT {_COUNTS} FROM usage_rollups AS u
  WHERE u.width = r.width AND u.dimension = d.dimension AND u.start = r.start
) AS kept
CROSS JOIN LATERAL (
  SELECT {_COUNTS} FROM usage_buckets AS b WHERE b.start >= r.start AND b.start < r.start + r.width
) AS counted
WHERE r.start >= $1 AND r.start < $2 ORDER BY 1, 2, 3
"""  # noqa: S608  # constants of this module
_TRIES = ", ".join(f"{'max' if name == 'last_error_at' else 'sum'}({name})" for name in TRIES)
ROLLED_UP_TRIES = f"""
SELECT kept.*, counted.* FROM rolled_up AS r
JOIN rollup_dimensions AS d ON d.dimension = 'provider+model' AND r.dimensions & d.bit <> 0
CROSS JOIN LATERAL (SELECT {_TRIES} FROM attempt_rollups WHERE start = r.start) AS kept
CROSS JOIN LATERAL (
  SELECT {_TRIES} FROM attempt_buckets WHERE start >= r.start AND start < r.start + {DAY_MS}
) AS counted
WHERE r.width = {DAY_MS} AND r.start = $1
"""  # noqa: S608  # constants of this module

NEXT_TIME = """
SELECT min(time) FROM (
  SELECT min(timestamp) AS time FROM request_logs WHERE timestamp >= $1
  UNION ALL SELECT min(start) FROM usage_buckets WHERE start >= $1
  UNION ALL SELECT min(start) FROM attempt_buckets WHERE start >= $1
) AS times
"""
LAST_TIME = "SELECT greatest((SELECT max(timestamp) FROM request_logs), (SELECT max(start) FROM usage_buckets))"
_NEWEST_PRUNED = """
SELECT max(p.last_request_timestamp)
FROM pruned_by_provider AS p LEFT JOIN pruned_before_buckets AS earlier USING (provider_id)
WHERE p.total_requests > COALESCE(earlier.total_requests, 0)
"""


async def first_whole_bucket(session: Session, dropped: Sequence[tuple[str, int]]) -> int:
    """The start of the first bucket from which no row was pruned (ms, UTC); 0 where nothing was.

    `dropped` are tables and days that are in no table `pruned_…` yet. Raises the driver's errors.
    """
    ((newest,),) = await session.fetch(_NEWEST_PRUNED)
    after = [] if newest is None else [(int(str(newest)) // QUARTER_MS + 1) * QUARTER_MS]
    return max((*after, *(day + DAY_MS for _, day in dropped)), default=0)
