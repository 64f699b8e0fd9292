"""Usage and latency over time, from buckets and rollups: no query reads the log itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TypeVar

import msgspec

from chainlog_async.common.cancellation import run_in_thread
from chainlog_async.common.name_sets import NameSet, asked_of, name_parameters
from chainlog_async.storage.sqlite.reader_pool import ReaderPool
from chainlog_async.usage.dimensions import KEYS, dimension_of, names_of_dimension
from chainlog_async.usage.percentiles import estimates, merge
from chainlog_async.usage.points import LatencyPoint, UsagePoint
from chainlog_async.usage.query import UsageQuery
from chainlog_async.usage.rollup_plan import PlannedRead, plan_rollups
from chainlog_async.usage.series import Durations, Group, latency_points, make_durations, usage_points
from chainlog_async.usage.sums import RateSums, UsageSums

from .rolled_up import ROLLED_UP
from .usage_sql import usage_queries


class _Sums(UsageSums, array_like=True):
    point: int = 0
    name: str | None = None


class _RateSums(RateSums, array_like=True):
    point: int = 0
    name: str | None = None


class _Durations(msgspec.Struct, array_like=True):
    point: int
    name: str | None
    latencies: str | None
    ttfts: str | None
    latency_p50: int | None = None
    latency_p90: int | None = None
    latency_p95: int | None = None
    latency_p99: int | None = None
    ttft_p50: int | None = None
    ttft_p90: int | None = None
    ttft_p95: int | None = None
    ttft_p99: int | None = None


_AnySums = TypeVar("_AnySums", _Sums, _RateSums)


class UsageReader:
    """Answers one query from one database."""

    def __init__(self, readers: ReaderPool, query: UsageQuery) -> None:
        self._readers = readers
        self._query = query
        filters: dict[str, object] = {name: getattr(query.where, name) for name in KEYS}
        filtered = frozenset(name for name in KEYS if filters[name] is not None)
        sets = query.where.names
        self._asked = [name for name in KEYS if name in query.where.asked or name == query.name_dimension]
        self._queries = usage_queries(
            query.name_dimension, filtered, query.durations_of, picked=asked_of(sets), with_bins=query.with_bins
        )
        self._parameters: dict[str, object] = {**filters, **{f"rolled_{name}": filters[name] or "" for name in KEYS}}
        self._parameters |= json_names(sets)
        self._has_several = bool(asked_of(sets) - {query.name_dimension})
        self._edges: list[int] = []

    async def usage(self) -> list[UsagePoint]:
        """See `UsageAggregator.get_usage`."""
        await self._prepare()
        sums = await self._sums(self._queries.usage, list[_Sums])
        return await run_in_thread(usage_points, self._query, self._edges, self._names, sums)

    async def latency(self) -> list[LatencyPoint]:
        """See `UsageAggregator.get_latency`."""
        await self._prepare()
        sums = await self._sums(self._queries.rates, list[_RateSums])
        lines = await self._readers.fetch(self._queries.rolled_up_durations, self._parameters)
        lines += await self._readers.fetch(self._queries.bucket_durations, self._parameters)
        return await run_in_thread(self._latency_points, sums, lines)

    async def _prepare(self) -> None:
        self._edges = await run_in_thread(self._query.window.edges)
        dimension = dimension_of(self._asked)
        where = {"since": self._edges[0], "until": self._edges[-1], "edges": _json(self._edges), "dimension": dimension}
        rolled_up = {(int(str(w)), int(str(start))) for w, start in await self._readers.fetch(ROLLED_UP, where)}
        plan = await run_in_thread(plan_rollups, self._edges, rolled_up)
        # With several names of another dimension, a group has a line for each of them.
        is_exact = names_of_dimension(self._asked) == self._asked and not self._has_several
        self._parameters |= {"dimension": dimension, "plan": _json(_split(plan, is_exact=is_exact))}
        coarse = _split(await run_in_thread(plan_rollups, (self._edges[0], self._edges[-1]), rolled_up), is_exact=False)
        if self._queries.combinations:
            rows = await self._readers.fetch(self._queries.combinations, self._parameters | {"plan": _json(coarse)})
            self._parameters["combinations"] = _json(rows)
        self._names = await self._largest_groups({"plan": _json(coarse)})
        self._parameters["groups"] = _json(self._names)

    async def _largest_groups(self, plan: Mapping[str, object]) -> list[str]:
        if self._query.by is None:
            return [""]
        parameters = {**self._parameters, **plan, "limit": self._query.max_groups}
        rows = await self._readers.fetch(self._queries.largest_groups, parameters)
        return [str(name) for (name,) in rows]

    async def _sums(self, query: str, kind: type[list[_AnySums]]) -> dict[Group, _AnySums]:
        rows = await self._readers.fetch(query, self._parameters)
        return await run_in_thread(lambda: {(one.point, one.name): one for one in msgspec.convert(rows, kind)})

    def _latency_points(self, sums: Mapping[Group, _RateSums], lines: list[tuple[object, ...]]) -> list[LatencyPoint]:
        durations = _durations(msgspec.convert(lines, list[_Durations]), with_bins=self._query.with_bins)
        return latency_points(self._query, self._edges, self._names, sums, durations)


def _split(plan: Sequence[PlannedRead], *, is_exact: bool) -> list[tuple[int, int, int, int, bool]]:
    """Splits the plan into single rollups and marks those that cover their step with one line per group.

    None does if the dimension has more columns than asked for (`is_exact`).
    """
    spans = [
        (step, width, start, start + width if width else until)
        for step, width, since, until in plan
        for start in (range(since, until, width) if width else (since,))
    ]
    of_step = Counter(step for step, *_ in spans)
    return [
        (step, width, since, until, is_exact and width > 0 and of_step[step] == 1)
        for step, width, since, until in spans
    ]


def _durations(lines: list[_Durations], *, with_bins: bool) -> dict[Group, Durations]:
    """Percentiles of latency and time to first token by group, from its single line or from several histograms."""
    histograms: dict[Group, list[_Durations]] = {}
    found: dict[Group, Durations] = {}
    for line in lines:
        group = (line.point, line.name)
        if line.latencies is None:
            found[group] = Durations(
                estimates(line.latency_p50, line.latency_p90, line.latency_p95, line.latency_p99),
                estimates(line.ttft_p50, line.ttft_p90, line.ttft_p95, line.ttft_p99),
            )
        else:
            histograms.setdefault(group, []).append(line)
    for group, several in histograms.items():
        found[group] = make_durations(
            merge(line.latencies or "[]" for line in several),
            merge(line.ttfts or "[]" for line in several),
            with_bins=with_bins,
        )
    return found


def json_names(sets: Sequence[NameSet]) -> dict[str, object]:
    """The parameters of sets of names, as JSON arrays."""
    return {name: None if names is None else _json(names) for name, names in name_parameters(sets).items()}


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
