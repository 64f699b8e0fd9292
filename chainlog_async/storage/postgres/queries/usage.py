"""Usage and latency over time, of one moment of the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import msgspec

from chainlog_async.common.cancellation import run_in_thread
from chainlog_async.common.name_sets import asked_of, name_parameters
from chainlog_async.storage.postgres.reader_pool import ReaderPool, Row
from chainlog_async.usage.dimensions import KEYS, dimension_of
from chainlog_async.usage.percentiles import merge
from chainlog_async.usage.points import LatencyPoint, UsagePoint
from chainlog_async.usage.query import UsageQuery
from chainlog_async.usage.rollup_plan import PlannedRead, plan_rollups
from chainlog_async.usage.series import Durations, Group, latency_points, make_durations, usage_points
from chainlog_async.usage.sums import RATE_SUMS, RateSums, UsageSums

from .rolled_up import rolled_up_spans
from .unfolded import unfolded_bounds
from .usage_sql import latency_query, usage_query

_AnySums = TypeVar("_AnySums", UsageSums, RateSums)


class UsageReader:
    """Answers one query."""

    def __init__(self, readers: ReaderPool, query: UsageQuery) -> None:
        self._readers = readers
        self._query = query
        filters: dict[str, object] = {name: getattr(query.where, name) for name in KEYS}
        self._filtered = frozenset(name for name in KEYS if filters[name] is not None)
        sets = query.where.names
        self._picked = asked_of(sets)
        asked = [name for name in KEYS if name in query.where.asked or name == query.name_dimension]
        self._dimension = dimension_of(asked)
        self._parameters: dict[str, object] = {**filters, "dimension": self._dimension, "max_groups": query.max_groups}
        self._parameters |= name_parameters(sets)
        self._edges: list[int] = []

    async def usage(self) -> list[UsagePoint]:
        """See `UsageAggregator.get_usage`."""
        rows = await self._rows(usage_query(self._query.name_dimension, self._filtered, self._picked))
        return await run_in_thread(self._usage_points, rows)

    async def latency(self) -> list[LatencyPoint]:
        """See `UsageAggregator.get_latency`."""
        by, durations_of = self._query.name_dimension, self._query.durations_of
        rows = await self._rows(latency_query(by, self._filtered, self._picked, durations_of))
        return await run_in_thread(self._latency_points, rows)

    async def _rows(self, sql: str) -> list[Row]:
        edges = self._edges = await run_in_thread(self._query.window.edges)
        async with self._readers.snapshot() as snapshot:
            rolled_up = await rolled_up_spans(snapshot, edges, self._dimension)
            plan = await run_in_thread(plan_rollups, edges, rolled_up)
            unfolded = await unfolded_bounds(snapshot, edges[0], edges[-1])
            return await snapshot.fetch(sql, {**self._parameters, **_spans(plan, edges), **unfolded})

    def _usage_points(self, rows: Sequence[Row]) -> list[UsagePoint]:
        return usage_points(self._query, self._edges, names_of_places(self._query, rows), sums_of_rows(rows, UsageSums))

    def _latency_points(self, rows: Sequence[Row]) -> list[LatencyPoint]:
        places = len(RATE_SUMS) + 3
        durations: dict[Group, Durations] = {
            _group(row): make_durations(
                _histogram(row[places]), _histogram(row[places + 1]), with_bins=self._query.with_bins
            )
            for row in rows
        }
        return latency_points(
            self._query, self._edges, names_of_places(self._query, rows), sums_of_rows(rows, RateSums), durations
        )


def names_of_places(query: UsageQuery, rows: Sequence[Row]) -> list[str]:
    """The names of the largest groups, in order."""
    if query.by is None:
        return [""]
    places = {int(str(place)): str(name) for place, name, *_ in rows if place is not None}
    return [places[place] for place in sorted(places)]


def _spans(plan: Sequence[PlannedRead], edges: Sequence[int]) -> Mapping[str, object]:
    rolled = [
        (width, start, step) for step, width, since, until in plan if width for start in range(since, until, width)
    ]
    buckets = [(since, until, step) for step, width, since, until in plan if not width]
    return {
        "edges": list(edges),
        "first": edges[0],
        "last": edges[-1],
        **_columns(("widths", "starts", "points"), rolled),
        **_columns(("since", "until", "bucket_points"), buckets),
    }


def _columns(names: Sequence[str], rows: Sequence[tuple[int, ...]]) -> dict[str, list[int]]:
    return {name: [row[place] for row in rows] for place, name in enumerate(names)}


def _group(row: Row) -> Group:
    return int(str(row[2])), None if row[0] is None else str(row[1])


def sums_of_rows(rows: Sequence[Row], kind: type[_AnySums]) -> dict[Group, _AnySums]:
    """Sums by step and group."""
    end = len(kind.__struct_fields__) + 3
    return {_group(row): msgspec.convert(row[3:end], kind) for row in rows}


def _histogram(values: object) -> list[int]:
    return merge((f"[{values or ''}]",))
