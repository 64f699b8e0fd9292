"""Usage and latency over time, from buckets and rollups: no query reads the log itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TypeAlias, TypeVar

import msgspec

from chainlog_async.common.cancellation import run_in_thread
from chainlog_async.storage.sqlite.reader_pool import ReaderPool
from chainlog_async.usage.dimensions import KEYS, dimension_of, names_of_dimension
from chainlog_async.usage.percentiles import Percentiles, estimates, merge, percentiles
from chainlog_async.usage.points import LatencyPoint, UsagePoint
from chainlog_async.usage.query import UsageQuery
from chainlog_async.usage.rollup_plan import PlannedRead, plan_rollups
from chainlog_async.usage.sums import NANO, UsageSums

from .rolled_up import ROLLED_UP
from .usage_sql import usage_queries


class _Sums(UsageSums, array_like=True):
    point: int = 0
    name: str | None = None


class _SumsForRates(msgspec.Struct, array_like=True):
    requests: int = 0
    errors: int = 0
    cancelled: int = 0
    rate_limited: int = 0
    completion_tokens: int = 0
    latency_ms: float = 0.0
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


_NO_USAGE, _NO_RATES = _Sums(), _SumsForRates()
_NO_DURATIONS = (Percentiles(), Percentiles())

_AnySums = TypeVar("_AnySums", _Sums, _SumsForRates)
_Group: TypeAlias = tuple[int, str | None]
"""Index of the step, and the group's name in query results: NULL for other groups, "" when not grouped."""


class UsageReader:
    """Answers one query from one database."""

    def __init__(self, readers: ReaderPool, query: UsageQuery) -> None:
        self._readers = readers
        self._query = query
        filters = msgspec.structs.asdict(query.where)
        filtered = frozenset(name for name in KEYS if filters[name] is not None)
        self._asked = [name for name in KEYS if name in filtered or name == query.by]
        self._queries = usage_queries(query.by, filtered, query.durations_of)
        self._parameters: dict[str, object] = {**filters, **{f"rolled_{name}": filters[name] or "" for name in KEYS}}
        self._edges: list[int] = []

    async def usage(self) -> list[UsagePoint]:
        """See `UsageAggregator.get_usage`."""
        await self._prepare()
        sums = await self._sums(self._queries.usage, list[_Sums])
        return await run_in_thread(self._usage_points, sums)

    async def latency(self) -> list[LatencyPoint]:
        """See `UsageAggregator.get_latency`."""
        await self._prepare()
        sums = await self._sums(self._queries.rates, list[_SumsForRates])
        lines = await self._readers.fetch(self._queries.rolled_up_durations, self._parameters)
        lines += await self._readers.fetch(self._queries.bucket_durations, self._parameters)
        return await run_in_thread(self._latency_points, sums, lines)

    async def _prepare(self) -> None:
        self._edges = await run_in_thread(self._query.window.edges)
        dimension = dimension_of(self._asked)
        where = {"since": self._edges[0], "until": self._edges[-1], "edges": _json(self._edges), "dimension": dimension}
        rolled_up = {(int(str(w)), int(str(start))) for w, start in await self._readers.fetch(ROLLED_UP, where)}
        plan = await run_in_thread(plan_rollups, self._edges, rolled_up)
        is_exact = names_of_dimension(self._asked) == self._asked
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

    async def _sums(self, query: str, kind: type[list[_AnySums]]) -> dict[_Group, _AnySums]:
        rows = await self._readers.fetch(query, self._parameters)
        return await run_in_thread(lambda: {(one.point, one.name): one for one in msgspec.convert(rows, kind)})

    def _groups(self, sums: Mapping[_Group, _AnySums]) -> list[_Group]:
        names: list[str | None] = [*self._names]
        if any(name is None for _, name in sums):
            names.append(None)
        steps = range(len(self._edges) - 1)
        return [(step, name) for step in steps for name in names if self._query.fill or (step, name) in sums]

    def _usage_points(self, sums: Mapping[_Group, _Sums]) -> list[UsagePoint]:
        edges, is_grouped = self._edges, self._query.by is not None
        return [
            UsagePoint(
                start=edges[step],
                end=edges[step + 1],
                name=name if is_grouped else None,
                other=name is None,
                requests=one.requests,
                errors=one.errors,
                cancelled=one.cancelled,
                rate_limited=one.rate_limited,
                waterfalls=one.waterfalls,
                prompt_tokens=one.prompt_tokens,
                completion_tokens=one.completion_tokens,
                cached_tokens=one.cached_tokens,
                cache_write_tokens=one.cache_write_tokens,
                cache_write_1h_tokens=one.cache_write_1h_tokens,
                reasoning_tokens=one.reasoning_tokens,
                prompt_audio_tokens=one.prompt_audio_tokens,
                completion_audio_tokens=one.completion_audio_tokens,
                total_tokens=one.total_tokens,
                cost_usd=one.cost_nano / NANO,
                unanswered_cost_usd=one.unanswered_cost_nano / NANO,
                avg_latency_ms=_ratio(one.latency_ms, one.requests - one.errors - one.cancelled),
                avg_ttft_ms=_ratio(one.ttft_ms, one.ttft_requests),
            )
            for step, name in self._groups(sums)
            for one in (sums.get((step, name), _NO_USAGE),)
        ]

    def _latency_points(
        self, sums: Mapping[_Group, _SumsForRates], lines: list[tuple[object, ...]]
    ) -> list[LatencyPoint]:
        edges, is_grouped = self._edges, self._query.by is not None
        durations = _durations(msgspec.convert(lines, list[_Durations]))
        return [
            LatencyPoint(
                start=edges[step],
                end=edges[step + 1],
                name=name if is_grouped else None,
                other=name is None,
                requests=one.requests,
                error_rate=_ratio(one.errors, one.requests) or 0.0,
                cancelled_rate=_ratio(one.cancelled, one.requests) or 0.0,
                rate_limited_rate=_ratio(one.rate_limited, one.requests) or 0.0,
                tokens_per_second=_ratio(1_000 * one.completion_tokens, one.latency_ms),
                latency_ms=latency,
                ttft_ms=ttft,
            )
            for step, name in self._groups(sums)
            for one in (sums.get((step, name), _NO_RATES),)
            for latency, ttft in (durations.get((step, name), _NO_DURATIONS),)
        ]


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


def _durations(lines: list[_Durations]) -> dict[_Group, tuple[Percentiles, Percentiles]]:
    """Percentiles of latency and time to first token by group, from its single line or from several histograms."""
    histograms: dict[_Group, list[_Durations]] = {}
    found: dict[_Group, tuple[Percentiles, Percentiles]] = {}
    for line in lines:
        group = (line.point, line.name)
        if line.latencies is None:
            found[group] = (
                estimates(line.latency_p50, line.latency_p90, line.latency_p95, line.latency_p99),
                estimates(line.ttft_p50, line.ttft_p90, line.ttft_p95, line.ttft_p99),
            )
        else:
            histograms.setdefault(group, []).append(line)
    for group, several in histograms.items():
        found[group] = (
            percentiles(merge(line.latencies or "[]" for line in several)),
            percentiles(merge(line.ttfts or "[]" for line in several)),
        )
    return found


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None
