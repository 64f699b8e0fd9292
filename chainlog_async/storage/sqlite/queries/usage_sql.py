"""The SQL of usage over time: sums and histograms by step and group, from rollups and buckets.

`:plan` is a JSON array of arrays: index of the step, width of the rollup (0 for buckets), start, end, and whether it
covers the step with one line per group.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from chainlog_async.common.clock import QUARTER_MS
from chainlog_async.usage.dimensions import KEYS, GroupBy, names_of_dimension
from chainlog_async.usage.query import DurationsOf
from chainlog_async.usage.sums import RATE_SUMS, USAGE_SUMS

from .histogram_sql import stored

COLUMNS: Mapping[GroupBy, str] = {
    "chain": "chain_name",
    "provider": "provider_id",
    "model": "model",
    "caller": "caller",
}
_ALL_NAMES = ", ".join(COLUMNS.values())
_PLAN = """
WITH plan (point, width, since, until, is_whole) AS MATERIALIZED (
  SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4 FROM json_each(:plan)
)
"""
_PERCENTILES = """
  latency_p50, latency_p90, latency_p95, latency_p99, ttft_p50, ttft_p90, ttft_p95, ttft_p99
"""
_HISTOGRAMS: dict[DurationsOf, tuple[tuple[str, str], ...]] = {
    "answered": (("latencies", "ttfts"),),
    "unanswered": (("failed_latencies", "failed_ttfts"),),
    "all": (("latencies", "ttfts"), ("failed_latencies", "failed_ttfts")),
}
"""The columns of `duration_rollups` with the histograms of latency and time to first token."""
_BINS: dict[DurationsOf, tuple[str, str]] = {
    "answered": ("requests - errors - cancelled", "requests - failed"),
    "unanswered": ("errors + cancelled", "failed"),
    "all": ("requests", "requests"),
}
"""How many requests are in a bin of `usage_buckets`, and of `ttft_buckets`."""
_NAME = "CASE WHEN full_name IN (SELECT value FROM json_each(:groups)) THEN full_name END AS name"


_COMBINATIONS = """
, combinations (chain_name, provider_id, model, caller) AS MATERIALIZED (
  SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each(:combinations)
)
"""
_SPAN = "{table}.width = plan.width AND dimension = :dimension AND start = since"
_QUARTERS = "plan.width = 0 AND start >= since AND start < until"


@dataclass(frozen=True, slots=True)
class UsageQueries:
    """The queries for one way of grouping and filtering."""

    combinations: str | None
    """Yields the value of `:combinations`, all existing combinations of the four names; None if that is not needed."""
    largest_groups: str
    usage: str
    rates: str
    """Only the sums that rates need, which takes a third less time than all of them."""
    rolled_up_durations: str
    bucket_durations: str


@dataclass(frozen=True, slots=True)
class _Lines:
    """What follows FROM, with a placeholder for the name of the table."""

    rolled_up: tuple[str, ...]
    buckets: tuple[str, ...]


@cache
def usage_queries(
    by: GroupBy | None,
    filtered: frozenset[GroupBy],
    durations_of: DurationsOf = "answered",
    *,
    picked: frozenset[GroupBy] = frozenset(),
    with_bins: bool = False,
) -> UsageQueries:
    """The queries, with `=` for every known name so that SQLite searches the key; there are a few hundred variants.

    Parameters are the filters by name and, for rollups, `:rolled_chain` and so on, which are "" if the dimension does
    not have that name.
    """
    asked = [name for name in KEYS if name in filtered or name in picked or name == by]
    lines, given, combinations = _found_in_order(asked, filtered, picked), _PLAN, None
    # If an unknown name precedes a known one in the key, all lines of a time would be read for a few.
    if any(KEYS.index(known) > KEYS.index(name) for name in _open_names(asked, filtered) for known in filtered):
        is_exact = names_of_dimension(asked) == asked
        combinations = f"{_PLAN}{_all_names(lines, with_buckets=not is_exact)}"
        lines, given = _looked_up(lines, with_buckets=not is_exact), _PLAN + _COMBINATIONS
    named = f"point, {COLUMNS[by]} AS full_name" if by else "point, '' AS full_name"
    # The percentiles that are stored are those of answered requests; bins are in the histograms only.
    is_whole = "is_whole" if durations_of == "answered" and not with_bins else "0 AS is_whole"
    durations = " UNION ALL ".join(
        _union(
            lines.rolled_up,
            "duration_rollups",
            f"{named}, {is_whole}, {latencies} AS latencies, {ttfts} AS ttfts, {_PERCENTILES}",
        )
        for latencies, ttfts in _HISTOGRAMS[durations_of]
    )
    latency_count, ttft_count = _BINS[durations_of]
    latency_bins = _union(
        lines.buckets, "usage_buckets", f"{named}, upper_ms, {latency_count} AS latencies, 0 AS ttfts"
    )
    ttft_bins = _union(lines.buckets, "ttft_buckets", f"{named}, upper_ms, 0, {ttft_count}")
    return UsageQueries(
        combinations=combinations,
        largest_groups=f"""{given}, named AS ({_usage(lines, f"{named}, requests")})
            SELECT full_name FROM named GROUP BY full_name ORDER BY SUM(requests) DESC, full_name LIMIT :limit
        """,  # noqa: S608  # built from constants of this module
        usage=f"{given}{_summed(lines, named, USAGE_SUMS)}",
        rates=f"{given}{_summed(lines, named, RATE_SUMS)}",
        # If a single line covers a group in a step, its percentiles are the answer and its histograms are not read.
        rolled_up_durations=f"""{given}, chosen AS (
              {durations}
            ), named AS (SELECT *, {_NAME} FROM chosen)
            SELECT
              point, name, IIF(is_whole AND name IS NOT NULL, NULL, latencies),
              IIF(is_whole AND name IS NOT NULL, NULL, ttfts), {_PERCENTILES}
            FROM named
        """,  # noqa: S608  # built from constants of this module
        bucket_durations=f"""{given}, named AS ({latency_bins} UNION ALL {ttft_bins}), bins AS (
              SELECT point, {_NAME}, upper_ms, SUM(latencies) AS latencies, SUM(ttfts) AS ttfts
              FROM named GROUP BY point, name, upper_ms
            )
            SELECT
              point, name, {stored("latencies")}, {stored("ttfts")}
            FROM bins CROSS JOIN duration_bins USING (upper_ms) GROUP BY point, name
        """,  # noqa: S608  # built from constants of this module
    )


def _open_names(asked: list[GroupBy], filtered: frozenset[GroupBy]) -> set[GroupBy]:
    return set(names_of_dimension(asked)) - filtered


def _found_in_order(asked: list[GroupBy], filtered: frozenset[GroupBy], picked: frozenset[GroupBy]) -> _Lines:
    known = set(KEYS) - _open_names(asked, filtered)
    among = among_names(picked)
    return _Lines(
        rolled_up=(f"plan CROSS JOIN {{table}} WHERE {_SPAN}{_equal(known, 'rolled_')}{among}",),
        buckets=(f"plan CROSS JOIN {{table}} WHERE {_QUARTERS}{_equal(filtered, '')}{among}",),
    )


def among_names(picked: frozenset[GroupBy]) -> str:
    """The condition of the names that are asked for by sets of them."""
    return "".join(f" AND {condition}" for key in KEYS if key in picked for condition in _among(key))


def _among(key: GroupBy) -> tuple[str, str]:
    name = COLUMNS[key]
    return (
        f"(:{key}_any IS NULL OR {name} IN (SELECT value FROM json_each(:{key}_any)))",  # noqa: S608  # constants
        f"(:{key}_none IS NULL OR {name} NOT IN (SELECT value FROM json_each(:{key}_none)))",  # noqa: S608  # the same
    )


def _looked_up(lines: _Lines, *, with_buckets: bool) -> _Lines:
    """Lines that are found by their whole key. Not for buckets of more than one quarter at once."""
    looked_up = f"plan CROSS JOIN combinations CROSS JOIN {{table}} USING ({_ALL_NAMES})"
    (buckets,) = lines.buckets
    by_quarter = (
        f"{looked_up} WHERE plan.width = 0 AND until = since + {QUARTER_MS} AND start = since",
        f"{buckets} AND until > since + {QUARTER_MS}",
    )
    return _Lines(
        rolled_up=(f"{looked_up} WHERE {_SPAN}",),
        buckets=by_quarter if with_buckets else lines.buckets,
    )


def _all_names(lines: _Lines, *, with_buckets: bool) -> str:
    # What is rolled up by fewer names has "" for the others, and says nothing of the buckets.
    names = _usage(lines, _ALL_NAMES) if with_buckets else _union(lines.rolled_up, "usage_rollups", _ALL_NAMES)
    return f"SELECT DISTINCT * FROM ({names})"  # noqa: S608  # built from constants of this module


def _summed(lines: _Lines, named: str, columns: Sequence[str]) -> str:
    sums = ", ".join(f"SUM({column})" for column in columns)
    return f"""
      , named AS ({_usage(lines, ", ".join((named, *columns)))})
      SELECT {sums}, point, {_NAME} FROM named GROUP BY point, name
    """  # noqa: S608  # built from constants of this module


def _usage(lines: _Lines, columns: str) -> str:
    rolled_up = _union(lines.rolled_up, "usage_rollups", columns)
    return f"{rolled_up} UNION ALL {_union(lines.buckets, 'usage_buckets', columns)}"


def _union(sources: Sequence[str], table: str, columns: str) -> str:
    return " UNION ALL ".join(f"SELECT {columns} FROM {source.format(table=table)}" for source in sources)  # noqa: S608  # built from constants of this module


def _equal(keys: Collection[str], prefix: str) -> str:
    return "".join(f" AND {COLUMNS[key]} = :{prefix}{key}" for key in KEYS if key in keys)
