"""Compares rollups with their buckets, a day at a time; wrong ones are forgotten, so a writer rolls them up again."""

from __future__ import annotations

import aiosqlite

from chainlog_async.common.clock import DAY_MS, HOUR_MS, QUARTER_MS
from chainlog_async.storage.sqlite.maintenance.pages import fetch_int
from chainlog_async.storage.sqlite.queries.histogram_sql import COUNT_OF_VALUE
from chainlog_async.usage.sums import USAGE_SUMS

from .buckets import TimeSpan
from .differences import Difference, compare_lines, time_text

_HISTOGRAMS = ("latencies", "ttfts", "failed_latencies", "failed_ttfts")
_COLUMNS = (*USAGE_SUMS, *_HISTOGRAMS)
_COUNTED = f"SUM((SELECT SUM({COUNT_OF_VALUE}) FROM json_each({{0}}))) AS {{0}}"  # noqa: S608  # put together from constants
_SUMS = ", ".join(f"SUM({number}) AS {number}" for number in USAGE_SUMS)
_DAY = "start >= :since AND start < :until"
_SPANS = f"rolled_up WHERE taken_by IS NULL AND {_DAY}"

ROLLED_UP_DAYS = f"""
SELECT DISTINCT start / {DAY_MS} * {DAY_MS} FROM rolled_up WHERE taken_by IS NULL ORDER BY 1
"""  # noqa: S608  # put together from constants

ROLLUP_SUMS = f"""
WITH spans (width, start, dimensions) AS MATERIALIZED (SELECT width, start, dimensions FROM {_SPANS}), widths AS (
  SELECT width, dimension, bit FROM (SELECT DISTINCT width FROM spans), rollup_dimensions
), ttfts AS (
  SELECT start, SUM(requests - failed) AS ttfts, SUM(failed) AS failed_ttfts
  FROM ttft_buckets WHERE {_DAY} GROUP BY start
), quarters AS MATERIALIZED (
  SELECT *, requests - errors - cancelled AS latencies, errors + cancelled AS failed_latencies
  FROM (SELECT start, {_SUMS} FROM usage_buckets WHERE {_DAY} GROUP BY start)
  LEFT JOIN ttfts USING (start)
), counted AS (
  SELECT spans.width, spans.start, spans.dimensions, {", ".join(f"SUM({column}) AS {column}" for column in _COLUMNS)}
  FROM spans LEFT JOIN quarters ON quarters.start >= spans.start AND quarters.start < spans.start + spans.width
  GROUP BY 1, 2
), usage AS (
  SELECT width, dimension, start, {_SUMS}
  FROM widths CROSS JOIN usage_rollups USING (width, dimension) WHERE {_DAY} GROUP BY width, dimension, start
), durations AS (
  SELECT
    width, dimension, start, {", ".join(_COUNTED.format(name) for name in _HISTOGRAMS)}
  FROM widths CROSS JOIN duration_rollups USING (width, dimension) WHERE {_DAY} GROUP BY width, dimension, start
)
SELECT
  counted.width, counted.start, widths.dimension, {", ".join(f"usage.{number}" for number in USAGE_SUMS)},
  {", ".join(f"durations.{name}" for name in _HISTOGRAMS)},
  {", ".join(f"counted.{column}" for column in _COLUMNS)}
FROM counted JOIN widths ON widths.width = counted.width AND counted.dimensions & bit
LEFT JOIN usage
  ON usage.width = counted.width AND usage.dimension = widths.dimension AND usage.start = counted.start
LEFT JOIN durations
  ON durations.width = counted.width AND durations.dimension = widths.dimension AND durations.start = counted.start
"""  # noqa: S608  # put together from constants

_TRIES = ("tries", "successes", "rate_limited", "failures", "last_error_at")
_OF_TRIES = "SUM(tries), SUM(successes), SUM(rate_limited), SUM(failures), MAX(last_error_at)"

ATTEMPT_SUMS = f"""
SELECT kept.*, counted.*
FROM rolled_up CROSS JOIN rollup_dimensions ON dimension = 'provider+model' AND dimensions & bit
CROSS JOIN (SELECT {_OF_TRIES} FROM attempt_rollups WHERE {_DAY}) AS kept
CROSS JOIN (SELECT {_OF_TRIES} FROM attempt_buckets WHERE {_DAY}) AS counted
WHERE width = {DAY_MS} AND rolled_up.start = :since AND taken_by IS NULL
"""  # noqa: S608  # put together from constants

TAG_SUMS = f"""
WITH hours (start) AS MATERIALIZED (
  SELECT start FROM rolled_up
  WHERE width = {HOUR_MS} AND taken_by IS NULL AND {_DAY}
    AND dimensions & (SELECT bit FROM rollup_dimensions WHERE dimension = 'all')
)
SELECT start, tag_key, {", ".join(f"SUM(kept_{name})" for name in USAGE_SUMS)}, {_SUMS} FROM (
  SELECT start, tag_key, {", ".join(f"{name} AS kept_{name}, NULL AS {name}" for name in USAGE_SUMS)}
  FROM hours CROSS JOIN tag_rollups USING (start)
  UNION ALL
  SELECT start, tag_key, {", ".join(f"NULL, {name}" for name in USAGE_SUMS)}
  FROM hours CROSS JOIN tag_buckets USING (start)
)
GROUP BY start, tag_key
"""  # noqa: S608  # put together from constants

FORGET_ROLLUPS = "DELETE FROM rolled_up WHERE start < :until AND start + width > :since"


async def rolled_up_days(connection: aiosqlite.Connection) -> list[TimeSpan]:
    """Returns the days (UTC) of which something is rolled up. Raises `sqlite3.Error`."""
    rows = await connection.execute_fetchall(ROLLED_UP_DAYS)
    return [TimeSpan(int(start), int(start) + DAY_MS) for (start,) in rows]


async def compare_rollups(connection: aiosqlite.Connection, day: TimeSpan) -> tuple[list[Difference], list[TimeSpan]]:
    """Returns the wrong rollup sums of a day, and the spans that have them. Raises `sqlite3.Error`."""
    differences: list[Difference] = []
    spans: list[TimeSpan] = []
    parameters = {"since": day.since, "until": day.until}
    for width, start, dimension, *sums in await connection.execute_fetchall(ROLLUP_SUMS, parameters):
        name = f"{time_text(start)}, {_width_text(width)}, by {dimension}"
        if found := list(compare_lines("rollups", name, _COLUMNS, sums)):
            differences += found
            spans.append(TimeSpan(start, start + width))
    for tries in await connection.execute_fetchall(ATTEMPT_SUMS, parameters):
        if found := list(
            compare_lines("rollups", f"{time_text(day.since)}, attempts of the day", _TRIES, tuple(tries))
        ):
            differences += found
            spans.append(day)
    for start, key, *sums in await connection.execute_fetchall(TAG_SUMS, parameters):
        if found := list(compare_lines("rollups", f"{time_text(start)}, 1 h, by tag {key}", USAGE_SUMS, sums)):
            differences += found
            spans.append(TimeSpan(start, start + HOUR_MS))
    return differences, spans


async def forget_rollups(connection: aiosqlite.Connection, span: TimeSpan) -> int:
    """Makes the next writer roll up again what overlaps with the span; returns how many rollups that are.

    Raises `sqlite3.Error`.
    """
    await connection.execute_fetchall(FORGET_ROLLUPS, {"since": span.since, "until": span.until})
    return await fetch_int(connection, "SELECT changes()")


def _width_text(width: int) -> str:
    return "15 min" if width == QUARTER_MS else f"{width // HOUR_MS} h"
