"""Usage and durations over time, from buckets and what is rolled up of them: no query looks at the log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TypeAlias, TypeVar

import msgspec

from chainlog_async.common.cancellation import run_in_thread
from chainlog_async.storage.sqlite.reader_pool import ReaderPool
from chainlog_async.usage.dimensions import KEYS, GroupBy, dimension_of, names_of_dimension
from chainlog_async.usage.percentiles import Percentiles, estimates, merge, percentiles
from chainlog_async.usage.points import MAX_GROUPS, LatencyPoint, UsageFilter, UsagePoint
from chainlog_async.usage.time_window import Window

from .rollup_plan import ROLLED_UP, Piece, cut
from .usage_sql import usage_queries


class _Sums(msgspec.Struct, array_like=True):
    point: int = 0
    name: str | None = None
    requests: int = 0
    errors: int = 0
    rate_limited: int = 0
    waterfalls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    total_tokens: int = 0
    cost_usd: float = 0.0
    latency_ms: float = 0.0
    ttft_ms: float = 0.0
    ttft_requests: int = 0


class _SumsForRates(msgspec.Struct, array_like=True):
    point: int = 0
    name: str | None = None
    requests: int = 0
    errors: int = 0
    rate_limited: int = 0
    completion_tokens: int = 0
    latency_ms: float = 0.0


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
"""The index of the step, and the name as the queries give it: NULL for other groups, "" where nothing is grouped."""


class UsageQuestion:
    """One window, filter and grouping, asked of one database; its steps are in `edges`."""

    def __init__(
        self, readers: ReaderPool, window: Window, by: GroupBy | None, where: UsageFilter, max_groups: int
    ) -> None:
        if not 1 <= max_groups <= MAX_GROUPS:
            raise ValueError(f"max_groups is {max_groups}; give 1 to {MAX_GROUPS}")
        if by is not None and by not in KEYS:
            raise ValueError(f"by is {by!r}; give one of {', '.join(KEYS)}, or None")
        self._readers = readers
        self._window = window
        self._by = by
        self._max_groups = max_groups
        filters = msgspec.structs.asdict(where)
        filtered = frozenset(name for name in KEYS if filters[name] is not None)
        self._asked = [name for name in KEYS if name in filtered or name == by]
        self._queries = usage_queries(by, filtered)
        self._parameters: dict[str, object] = {**filters, **{f"rolled_{name}": filters[name] or "" for name in KEYS}}
        self.edges: list[int] = []

    async def usage(self, *, fill: bool) -> list[UsagePoint]:
        """By step and then by name; with `fill`, steps without a request are there as well."""
        await self._prepare()
        sums = await self._sums(self._queries.usage, list[_Sums])
        return await run_in_thread(self._usage_points, sums, fill)

    async def latency(self, *, fill: bool) -> list[LatencyPoint]:
        """The same."""
        await self._prepare()
        sums = await self._sums(self._queries.rates, list[_SumsForRates])
        lines = await self._readers.fetch(self._queries.rolled_up_durations, self._parameters)
        lines += await self._readers.fetch(self._queries.bucket_durations, self._parameters)
        return await run_in_thread(self._latency_points, sums, lines, fill)

    async def _prepare(self) -> None:
        self.edges = await run_in_thread(self._window.edges)
        dimension = dimension_of(self._asked)
        where = {"since": self.edges[0], "until": self.edges[-1], "edges": _json(self.edges), "dimension": dimension}
        rolled_up = {(int(str(w)), int(str(start))) for w, start in await self._readers.fetch(ROLLED_UP, where)}
        pieces = await run_in_thread(cut, self.edges, rolled_up)
        is_exact = names_of_dimension(self._asked) == self._asked
        self._parameters |= {"dimension": dimension, "pieces": _json(_marked(pieces, is_exact=is_exact))}
        coarse = _marked(await run_in_thread(cut, (self.edges[0], self.edges[-1]), rolled_up), is_exact=False)
        if self._queries.combinations:
            rows = await self._readers.fetch(self._queries.combinations, self._parameters | {"pieces": _json(coarse)})
            self._parameters["combinations"] = _json(rows)
        self._names = await self._largest_groups({"pieces": _json(coarse)})
        self._parameters["groups"] = _json(self._names)

    async def _largest_groups(self, pieces: Mapping[str, object]) -> list[str]:
        if self._by is None:
            return [""]
        parameters = {**self._parameters, **pieces, "limit": self._max_groups}
        rows = await self._readers.fetch(self._queries.largest_groups, parameters)
        return [str(name) for (name,) in rows]

    async def _sums(self, query: str, kind: type[list[_AnySums]]) -> dict[_Group, _AnySums]:
        rows = await self._readers.fetch(query, self._parameters)
        return await run_in_thread(lambda: {(one.point, one.name): one for one in msgspec.convert(rows, kind)})

    def _groups(self, sums: Mapping[_Group, _AnySums], fill: bool) -> list[_Group]:
        names: list[str | None] = [*self._names]
        if any(name is None for _, name in sums):
            names.append(None)
        steps = range(len(self.edges) - 1)
        return [(step, name) for step in steps for name in names if fill or (step, name) in sums]

    def _usage_points(self, sums: Mapping[_Group, _Sums], fill: bool) -> list[UsagePoint]:
        edges, is_grouped = self.edges, self._by is not None
        return [
            UsagePoint(
                start=edges[step],
                end=edges[step + 1],
                name=name if is_grouped else None,
                other=name is None,
                requests=one.requests,
                errors=one.errors,
                rate_limited=one.rate_limited,
                waterfalls=one.waterfalls,
                prompt_tokens=one.prompt_tokens,
                completion_tokens=one.completion_tokens,
                cached_tokens=one.cached_tokens,
                total_tokens=one.total_tokens,
                cost_usd=one.cost_usd,
                avg_latency_ms=_ratio(one.latency_ms, one.requests),
                avg_ttft_ms=_ratio(one.ttft_ms, one.ttft_requests),
            )
            for step, name in self._groups(sums, fill)
            for one in (sums.get((step, name), _NO_USAGE),)
        ]

    def _latency_points(
        self, sums: Mapping[_Group, _SumsForRates], lines: list[tuple[object, ...]], fill: bool
    ) -> list[LatencyPoint]:
        edges, is_grouped = self.edges, self._by is not None
        durations = _durations(msgspec.convert(lines, list[_Durations]))
        return [
            LatencyPoint(
                start=edges[step],
                end=edges[step + 1],
                name=name if is_grouped else None,
                other=name is None,
                requests=one.requests,
                error_rate=_ratio(one.errors, one.requests) or 0.0,
                rate_limited_rate=_ratio(one.rate_limited, one.requests) or 0.0,
                tokens_per_second=_ratio(1_000 * one.completion_tokens, one.latency_ms),
                latency_ms=latency,
                ttft_ms=ttft,
            )
            for step, name in self._groups(sums, fill)
            for one in (sums.get((step, name), _NO_RATES),)
            for latency, ttft in (durations.get((step, name), _NO_DURATIONS),)
        ]


def _marked(pieces: Sequence[Piece], *, is_exact: bool) -> list[tuple[int, int, int, int, bool]]:
    """Each rollup on its own, with whether it is all of its step, a line of it for each group.

    It is not where the dimension has other columns.
    """
    spans = [
        (step, width, start, start + width if width else until)
        for step, width, since, until in pieces
        for start in (range(since, until, width) if width else (since,))
    ]
    of_step = Counter(step for step, *_ in spans)
    return [
        (step, width, since, until, is_exact and width > 0 and of_step[step] == 1)
        for step, width, since, until in spans
    ]


def _durations(lines: list[_Durations]) -> dict[_Group, tuple[Percentiles, Percentiles]]:
    """Of each group, for latency and time to first token: from its one line, or from the histograms of several."""
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
