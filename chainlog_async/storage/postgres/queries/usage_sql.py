"""The SQL of usage over time: sums and histograms by step and group, from rollups, buckets and what is not folded yet.

Parameters are the edges of the steps, the spans of the plan as arrays, the filters by name, and `max_groups`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

from chainlog_async.usage.dimensions import KEYS, GroupBy
from chainlog_async.usage.query import DurationsOf
from chainlog_async.usage.sums import RATE_SUMS, USAGE_SUMS

COLUMNS: Mapping[GroupBy, str] = {
    "chain": "chain_name",
    "provider": "provider_id",
    "model": "model",
    "caller": "caller",
}
_HISTOGRAMS: dict[DurationsOf, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "answered": (("latencies",), ("ttfts",)),
    "unanswered": (("failed_latencies",), ("failed_ttfts",)),
    "all": (("latencies", "failed_latencies"), ("ttfts", "failed_ttfts")),
}
"""The columns with the histograms of latency and time to first token."""

# What a step is made of: whole rollups, buckets, and rows that are not in either yet. Each line is in one of them only.
# OFFSET 0 has each span of buckets searched by itself, since nothing tells the planner how short these are.
_ROLLED = """
unnest(:widths::bigint[], :starts::bigint[], :points::integer[]) AS span (width, start, point)
JOIN usage_rollups USING (width, start)
"""
_BUCKETS = """
unnest(:since::bigint[], :until::bigint[], :bucket_points::integer[]) AS span (since, until, point)
CROSS JOIN LATERAL (SELECT * FROM usage_buckets WHERE start >= since AND start < until OFFSET 0) AS buckets
"""
_UNFOLDED = """
(
  SELECT width_bucket(start, :edges::bigint[]) - 1 AS point, *
  FROM unfolded_usage_between(:first_ms, :last_ms)
) AS unfolded
"""
_WITHIN = "start >= :first AND start < :last"


@cache
def usage_query(by: GroupBy | None, filtered: frozenset[GroupBy], picked: frozenset[GroupBy]) -> str:
    """Yields a group's place among the largest, its name, the step, and `USAGE_SUMS`."""
    return _query(by, filtered, picked, {name: f"sum({name})" for name in USAGE_SUMS}, USAGE_SUMS)


@cache
def latency_query(
    by: GroupBy | None, filtered: frozenset[GroupBy], picked: frozenset[GroupBy], durations_of: DurationsOf
) -> str:
    """Yields a group's place, its name, the step, `RATE_SUMS`, and the histograms of latency and time to first token.

    These are the values of all histograms in any order, separated by commas, or NULL.
    """
    of_latency, of_ttft = _HISTOGRAMS[durations_of]
    columns = {name: f"sum({name})" for name in RATE_SUMS}
    columns |= {"latencies": _values(of_latency), "ttfts": _values(of_ttft)}
    return _query(by, filtered, picked, columns, (*RATE_SUMS, *of_latency, *of_ttft))


def _query(
    by: GroupBy | None,
    filtered: frozenset[GroupBy],
    picked: frozenset[GroupBy],
    columns: Mapping[str, str],
    needed: Sequence[str],
) -> str:
    """`columns` are aggregates by name, of the columns `needed`: histograms cost more than all else.

    A group is added up first, and then the groups beyond the largest.
    """
    name = COLUMNS[by] if by else "''"
    groups = " JOIN usage_groups USING (group_id)" if filtered or picked or by else ""
    found = ", ".join(f"{aggregate} AS {column}" for column, aggregate in columns.items())
    again = ", ".join(
        f"string_agg({column}, ',')" if "agg" in aggregate else f"sum({column})"
        for column, aggregate in columns.items()
    )
    where = names_condition(filtered, picked)
    parts = (
        f"{_ROLLED}{groups} WHERE dimension = :dimension{where}",
        f"{_BUCKETS}{groups} WHERE TRUE{where}",
        f"{_UNFOLDED} WHERE {_WITHIN}{where}",
    )
    lines = " UNION ALL ".join(f"SELECT point, {name} AS name, {', '.join(needed)} FROM {part}" for part in parts)  # noqa: S608  # built from constants of this module
    return f"""
      WITH lines AS ({lines}),
        named AS MATERIALIZED (
          SELECT point, name, sum(requests) AS all_requests, {found} FROM lines GROUP BY point, name
        ),
        largest AS (
          SELECT name, row_number() OVER (ORDER BY sum(all_requests) DESC, name COLLATE "C") AS place
          FROM named GROUP BY name ORDER BY place LIMIT :max_groups
        )
      SELECT min(place), largest.name, point, {again} FROM named LEFT JOIN largest USING (name)
      GROUP BY point, largest.name
    """  # noqa: S608  # built from constants of this module


def _values(histograms: Sequence[str]) -> str:
    texts = " || ".join(histograms)
    return f"string_agg(array_to_string(NULLIF({texts}, '{{}}'), ','), ',')"


def names_condition(filtered: frozenset[GroupBy], picked: frozenset[GroupBy]) -> str:
    """The condition of the names that are asked for, by one name each and by sets of names."""
    single = "".join(f" AND {COLUMNS[key]} = :{key}" for key in KEYS if key in filtered)
    return single + "".join(
        f" AND (:{key}_{kind}::text[] IS NULL OR {COLUMNS[key]} {sign}(:{key}_{kind}))"
        for key in KEYS
        if key in picked
        for kind, sign in (("any", "= ANY"), ("none", "<> ALL"))
    )
