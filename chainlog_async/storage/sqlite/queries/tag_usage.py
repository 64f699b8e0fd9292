"""Usage by tag, and of one tag: from buckets of an hour, and rollups of them by tag alone."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import msgspec

from chainlog_async.common.cancellation import run_in_thread
from chainlog_async.common.clock import HOUR_MS
from chainlog_async.common.name_sets import asked_of
from chainlog_async.storage.sqlite.reader_pool import ReaderPool, type_of_row
from chainlog_async.usage.dimensions import KEYS, GroupBy
from chainlog_async.usage.points import UsagePoint
from chainlog_async.usage.query import UsageQuery
from chainlog_async.usage.series import Group, usage_points
from chainlog_async.usage.sums import USAGE_SUMS, UsageSums
from chainlog_async.usage.tags import MAX_TAG_VALUES, refuse_uncounted

from .usage import json_names
from .usage_sql import COLUMNS, among_names

_SUMS = ", ".join(USAGE_SUMS)
IS_COUNTED = """
SELECT value_count >= :most AND NOT EXISTS (SELECT 1 FROM tag_values WHERE tag_key = :key AND tag_value = :value)
FROM tag_keys WHERE tag_key = :key
"""
TAG_KEYS = "SELECT tag_key FROM tag_keys ORDER BY tag_key"

# From one hour that has buckets to the next, by the first column of the key.
_HOURS = f"""
WITH RECURSIVE steps (point, since, until) AS MATERIALIZED (
  SELECT key, value ->> 0, value ->> 1 FROM json_each(:steps)
),
hours (point, until, start) AS (
  SELECT point, until, (SELECT MIN(start) FROM tag_buckets WHERE start >= since AND start < until) FROM steps
  UNION ALL
  SELECT point, until, (
    SELECT MIN(tag_buckets.start) FROM tag_buckets WHERE tag_buckets.start > hours.start AND tag_buckets.start < until
  ) FROM hours WHERE start IS NOT NULL
),
known (point, start, is_rolled_up) AS MATERIALIZED (
  SELECT point, start, EXISTS (
    SELECT 1 FROM rolled_up
    WHERE width = {HOUR_MS} AND rolled_up.start = hours.start AND taken_by IS NULL
      AND dimensions & (SELECT bit FROM rollup_dimensions WHERE dimension = 'all')
  ) FROM hours WHERE start IS NOT NULL
)
"""  # noqa: S608  # built from constants of this module
_OF_THE_TAG = "{table}.start = known.start AND tag_key = :key"


class TagUsageReader:
    """Answers one query from one database."""

    def __init__(self, readers: ReaderPool, query: UsageQuery) -> None:
        self._readers = readers
        self._query = query

    async def usage(self) -> list[UsagePoint]:
        """See `UsageAggregator.get_usage`."""
        query = self._query
        edges = await run_in_thread(query.edges)
        filters: dict[str, object] = {name: getattr(query.where, name) for name in KEYS}
        filtered = frozenset(name for name in KEYS if filters[name] is not None)
        tag = {"key": query.tag_key, "value": query.tag_value}
        if query.tag_value is not None:
            rows = await self._readers.fetch(IS_COUNTED, tag | {"most": MAX_TAG_VALUES})
            refuse_uncounted(query.where.tag, is_uncounted=bool(rows and rows[0][0]))
        steps = list(pairwise(edges))
        rows = await self._readers.fetch(
            tag_query(
                query.name_dimension,
                filtered,
                asked_of(query.where.names),
                by_value=query.by is not None,
                one_value=query.tag_value is not None,
            ),
            {
                **filters,
                **json_names(query.where.names),
                **tag,
                "steps": msgspec.json.encode(steps).decode(),
                "max_groups": query.max_groups,
            },
        )
        return await run_in_thread(_points, query, edges, rows)


@cache
def tag_query(
    by: GroupBy | None, filtered: frozenset[GroupBy], picked: frozenset[GroupBy], *, by_value: bool, one_value: bool
) -> str:
    """Yields a group's place among the largest, its name, the step, and `USAGE_SUMS`.

    Rollups know no names. `by_value` groups by the values of the tag, unless by a name.
    """
    name = COLUMNS[by] if by else "tag_value" if by_value else "''"
    names = "".join(f" AND {COLUMNS[key]} = :{key}" for key in KEYS if key in filtered) + among_names(picked)
    value = " AND tag_value = :value" if one_value else ""
    has_names = by is not None or bool(filtered | picked)
    buckets = f"{_OF_THE_TAG.format(table='tag_buckets')}{value}{names}{'' if has_names else ' AND NOT is_rolled_up'}"
    lines = [f"SELECT point, {name} AS name, {_SUMS} FROM known CROSS JOIN tag_buckets WHERE {buckets}"]  # noqa: S608  # built from constants of this module
    if not has_names:
        rollups = f"{_OF_THE_TAG.format(table='tag_rollups')}{value} AND is_rolled_up"
        lines.append(f"SELECT point, {name}, {_SUMS} FROM known CROSS JOIN tag_rollups WHERE {rollups}")  # noqa: S608  # built from constants of this module
    summed = ", ".join(f"SUM({column}) AS {column}" for column in USAGE_SUMS)
    return f"""{_HOURS}, named AS MATERIALIZED (
        SELECT point, name, {summed} FROM ({" UNION ALL ".join(lines)}) GROUP BY point, name
      ),
      largest AS (
        SELECT name, ROW_NUMBER() OVER (ORDER BY SUM(requests) DESC, name) AS place FROM named GROUP BY name
        ORDER BY place LIMIT :max_groups
      )
      SELECT place, IIF(place IS NULL, NULL, name), point, {summed} FROM named LEFT JOIN largest USING (name)
      GROUP BY point, place
    """  # noqa: S608  # built from constants of this module


def _points(query: UsageQuery, edges: list[int], rows: list[type_of_row]) -> list[UsagePoint]:
    sums: dict[Group, UsageSums] = {}
    places: dict[int, str] = {}
    for place, name, point, *numbers in rows:
        group = None if place is None else str(name)
        sums[int(str(point)), group] = msgspec.convert(numbers, UsageSums)
        if place is not None:
            places[int(str(place))] = str(name)
    names = [""] if query.by is None else [places[place] for place in sorted(places)]
    return usage_points(query, edges, names, sums)
