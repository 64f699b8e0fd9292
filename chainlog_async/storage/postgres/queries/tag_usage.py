"""Usage by tag, and of one tag: from buckets of an hour, rollups of them by tag alone, and what is not folded yet."""

from __future__ import annotations

from functools import cache

from chainlog_async.common.cancellation import run_in_thread
from chainlog_async.common.clock import HOUR_MS
from chainlog_async.common.name_sets import asked_of, name_parameters
from chainlog_async.storage.postgres.reader_pool import ReaderPool
from chainlog_async.usage.dimensions import KEYS, GroupBy
from chainlog_async.usage.points import UsagePoint
from chainlog_async.usage.query import UsageQuery
from chainlog_async.usage.series import usage_points
from chainlog_async.usage.sums import USAGE_SUMS, UsageSums
from chainlog_async.usage.tags import MAX_TAG_VALUES, refuse_uncounted

from .unfolded import unfolded_bounds
from .usage import names_of_places, sums_of_rows
from .usage_sql import COLUMNS, names_condition

_SUMS = ", ".join(USAGE_SUMS)
IS_COUNTED = """
SELECT value_count >= :most AND NOT EXISTS (SELECT 1 FROM tag_values WHERE tag_key = :key AND tag_value = :value)
FROM tag_keys WHERE tag_key = :key
"""
TAG_KEYS = """
SELECT tag_key FROM (
  SELECT tag_key FROM tag_keys UNION SELECT tag_key FROM unfolded_tags_between(:first_ms, :last_ms)
) AS keys
ORDER BY tag_key COLLATE "C" LIMIT :limit
"""

_HOURS = f"""
hours AS MATERIALIZED (
  SELECT point, hour, EXISTS (
    SELECT 1 FROM rolled_up WHERE width = {HOUR_MS} AND rolled_up.start = hour AND dimensions & 1 = 1
  ) AS is_rolled_up
  FROM unnest(:since::bigint[], :until::bigint[], :points::integer[]) AS step (since, until, point)
  CROSS JOIN (SELECT min(start) AS first, max(start) AS last FROM tag_buckets) AS known
  CROSS JOIN LATERAL generate_series(
    greatest((since + {HOUR_MS - 1}) / {HOUR_MS} * {HOUR_MS}, first), least(until - 1, last), {HOUR_MS}
  ) AS hour
)
"""  # noqa: S608  # built from constants of this module
_UNFOLDED = """
(
  SELECT width_bucket(start, :edges::bigint[]) - 1 AS point, *
  FROM unfolded_tags_between(:first_ms, :last_ms)
) AS unfolded
"""


class TagUsageReader:
    """Answers one query."""

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
        one_value = query.tag_value is not None
        sets = query.where.names
        sql = tag_query(
            query.name_dimension, filtered, asked_of(sets), by_value=query.by is not None, one_value=one_value
        )
        steps: dict[str, object] = {
            "edges": edges,
            "since": edges[:-1],
            "until": edges[1:],
            "points": list(range(len(edges) - 1)),
            "first": edges[0],
            "last": edges[-1],
        }
        async with self._readers.snapshot() as snapshot:
            if one_value:
                known = await snapshot.fetch(IS_COUNTED, tag | {"most": MAX_TAG_VALUES})
                refuse_uncounted(query.where.tag, is_uncounted=bool(known and known[0][0]))
            steps |= await unfolded_bounds(snapshot, edges[0], edges[-1])
            rows = await snapshot.fetch(
                sql, {**filters, **name_parameters(sets), **tag, **steps, "max_groups": query.max_groups}
            )
        return await run_in_thread(
            lambda: usage_points(query, edges, names_of_places(query, rows), sums_of_rows(rows, UsageSums))
        )


@cache
def tag_query(
    by: GroupBy | None, filtered: frozenset[GroupBy], picked: frozenset[GroupBy], *, by_value: bool, one_value: bool
) -> str:
    """Yields a group's place among the largest, its name, the step, and `USAGE_SUMS`.

    Rollups know no names. `by_value` groups by the values of the tag, unless by a name.
    """
    name = COLUMNS[by] if by else "tag_value" if by_value else "''"
    names = names_condition(filtered, picked)
    tag = "tag_key = :key" + (" AND tag_value = :value" if one_value else "")
    has_names = by is not None or bool(filtered | picked)
    groups = " JOIN usage_groups USING (group_id)" if has_names else ""

    def of_hours(table: str) -> str:
        return f"""hours CROSS JOIN LATERAL (
          SELECT * FROM {table} WHERE start = hour AND {tag} OFFSET 0
        ) AS lines"""  # noqa: S608  # built from constants of this module

    parts = [
        f"{of_hours('tag_buckets')}{groups} WHERE {'TRUE' if has_names else 'NOT is_rolled_up'}{names}",
        f"{_UNFOLDED} WHERE start >= :first AND start < :last AND {tag}{names}",
    ]
    if not has_names:
        parts.append(f"{of_hours('tag_rollups')} WHERE is_rolled_up")
    lines = " UNION ALL ".join(f"SELECT point, {name} AS name, {_SUMS} FROM {part}" for part in parts)  # noqa: S608  # built from constants of this module
    summed = ", ".join(f"sum({column}) AS {column}" for column in USAGE_SUMS)
    return f"""
      WITH {_HOURS}, named AS MATERIALIZED (
          SELECT point, name, {summed} FROM ({lines}) AS lines GROUP BY point, name
        ),
        largest AS (
          SELECT name, row_number() OVER (ORDER BY sum(requests) DESC, name COLLATE "C") AS place
          FROM named GROUP BY name ORDER BY place LIMIT :max_groups
        )
      SELECT min(place), largest.name, point, {summed} FROM named LEFT JOIN largest USING (name)
      GROUP BY point, largest.name
    """  # noqa: S608  # built from constants of this module
