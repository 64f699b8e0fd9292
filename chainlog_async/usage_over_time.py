"""Usage and durations over time, from buckets and what is rolled up of them: no query looks at the log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias, get_args

import msgspec

from .durations import Percentiles, estimate
from .finishing import in_thread
from .pieces import ROLLED_UP, Dimension, cut
from .readers import ReaderPool
from .window import Window

GroupBy: TypeAlias = Literal["chain", "provider", "model", "caller"]

MAX_GROUPS = 100
"""Most groups of one answer."""


class UsageFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which requests count; None lets all through, and "" as caller those of nobody in particular."""

    chain: str | None = None
    provider: str | None = None
    model: str | None = None
    caller: str | None = None


EVERYTHING = UsageFilter()

_DIMENSIONS: tuple[GroupBy, ...] = get_args(GroupBy)


class UsagePoint(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What was used in one step of a window, in all or by one group."""

    start: int
    """In ms since the epoch, UTC; `end` too."""
    end: int
    name: str | None
    """The chain, provider, model or caller; None when nothing is grouped, and for `other`."""
    other: bool = False
    """Whether these are the groups beyond `max_groups`, added up."""
    requests: int = 0
    errors: int = 0
    """Those with a status of 400 or more."""
    rate_limited: int = 0
    """Those with status 429."""
    waterfalls: int = 0
    """Those that took more than one attempt."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    total_tokens: int = 0
    cost_usd: float = 0.0
    avg_latency_ms: float | None = None
    """Mean latency; None when there was no request."""
    avg_ttft_ms: float | None = None
    """Mean time to first token of the requests that have one; None when none has."""


class LatencyPoint(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How fast and how well requests were answered in one step of a window, in all or by one group."""

    start: int
    end: int
    name: str | None
    other: bool = False
    requests: int = 0
    error_rate: float = 0.0
    """Share of requests with a status of 400 or more, 0 to 1."""
    rate_limited_rate: float = 0.0
    """Share of requests with status 429, 0 to 1."""
    tokens_per_second: float | None = None
    """Completion tokens by second of latency; None without latency."""
    latency_ms: Percentiles = Percentiles()
    """At most 5 % from the true ones (`durations.RELATIVE_ERROR`)."""
    ttft_ms: Percentiles = Percentiles()
    """The same of the time to first token."""


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


_NOTHING = _Sums()
_NO_DURATIONS = (None,) * 8

_Group: TypeAlias = tuple[int, str | None]
"""The index of the step, and the name as the queries give it: NULL for other groups, "" where nothing is grouped."""

# Which rows count and the name they count under, over a table `chosen`: said once for both questions.
_NAMED = """
  SELECT *, CASE :by WHEN 'chain' THEN chain_name WHEN 'provider' THEN provider_id WHEN 'model' THEN model
    WHEN 'caller' THEN caller ELSE '' END AS full_name
  FROM chosen
  WHERE (:chain IS NULL OR chain_name = :chain) AND (:provider IS NULL OR provider_id = :provider)
    AND (:model IS NULL OR model = :model) AND (:caller IS NULL OR caller = :caller)
"""
_PIECES = """
WITH pieces (point, width, since, until) AS MATERIALIZED (
  SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each(:pieces)
)
"""
_SUMS = """
  requests, errors, rate_limited, waterfalls, prompt_tokens, completion_tokens, cached_tokens, total_tokens, cost_usd,
  latency_ms, ttft_ms, ttft_requests
"""
_CHOSEN_USAGE = f"""{_PIECES}, chosen AS (
  SELECT point, chain_name, provider_id, model, caller, {_SUMS}
  FROM pieces CROSS JOIN usage_rollups AS rolled
  WHERE pieces.width > 0 AND rolled.width = pieces.width AND dimension = :dimension AND start >= since AND start < until
  UNION ALL
  SELECT point, chain_name, provider_id, model, caller, {_SUMS}
  FROM pieces CROSS JOIN usage_buckets
  WHERE pieces.width = 0 AND start >= since AND start < until
), named AS ({_NAMED})
"""  # noqa: S608  # put together from constants of this file
LARGEST_GROUPS = f"""{_CHOSEN_USAGE}
SELECT full_name FROM named GROUP BY full_name ORDER BY SUM(requests) DESC, full_name LIMIT :limit
"""  # noqa: S608  # the same
USAGE = f"""{_CHOSEN_USAGE}
SELECT
  point, CASE WHEN full_name IN (SELECT value FROM json_each(:groups)) THEN full_name END AS name,
  SUM(requests), SUM(errors), SUM(rate_limited), SUM(waterfalls), SUM(prompt_tokens), SUM(completion_tokens),
  SUM(cached_tokens), SUM(total_tokens), SUM(cost_usd), SUM(latency_ms), SUM(ttft_ms), SUM(ttft_requests)
FROM named GROUP BY point, name
"""  # noqa: S608  # the same
# A percentile's bin is the first at which the requests so far are at least that share of all.
DURATIONS = f"""{_PIECES}, chosen AS (
  SELECT point, chain_name, provider_id, model, caller, upper_ms, latencies, ttfts
  FROM pieces CROSS JOIN duration_rollups AS rolled
  WHERE pieces.width > 0 AND rolled.width = pieces.width AND dimension = :dimension AND start >= since AND start < until
  UNION ALL
  SELECT point, chain_name, provider_id, model, caller, upper_ms, requests, 0
  FROM pieces CROSS JOIN usage_buckets
  WHERE pieces.width = 0 AND start >= since AND start < until
  UNION ALL
  SELECT point, chain_name, provider_id, model, caller, upper_ms, 0, requests
  FROM pieces CROSS JOIN ttft_buckets
  WHERE pieces.width = 0 AND start >= since AND start < until
), named AS ({_NAMED}), bins AS (
  SELECT
    point, CASE WHEN full_name IN (SELECT value FROM json_each(:groups)) THEN full_name END AS name, upper_ms,
    SUM(latencies) AS latencies, SUM(ttfts) AS ttfts
  FROM named GROUP BY point, name, upper_ms
), ranked AS (
  SELECT
    point, name, upper_ms,
    100 * SUM(latencies) OVER up_to_here AS latency_rank, SUM(latencies) OVER everywhere AS latencies,
    100 * SUM(ttfts) OVER up_to_here AS ttft_rank, SUM(ttfts) OVER everywhere AS ttfts
  FROM bins
  WINDOW up_to_here AS (PARTITION BY point, name ORDER BY upper_ms), everywhere AS (PARTITION BY point, name)
)
SELECT
  point, name,
  MIN(CASE WHEN latencies > 0 AND latency_rank >= 50 * latencies THEN upper_ms END),
  MIN(CASE WHEN latencies > 0 AND latency_rank >= 90 * latencies THEN upper_ms END),
  MIN(CASE WHEN latencies > 0 AND latency_rank >= 95 * latencies THEN upper_ms END),
  MIN(CASE WHEN latencies > 0 AND latency_rank >= 99 * latencies THEN upper_ms END),
  MIN(CASE WHEN ttfts > 0 AND ttft_rank >= 50 * ttfts THEN upper_ms END),
  MIN(CASE WHEN ttfts > 0 AND ttft_rank >= 90 * ttfts THEN upper_ms END),
  MIN(CASE WHEN ttfts > 0 AND ttft_rank >= 95 * ttfts THEN upper_ms END),
  MIN(CASE WHEN ttfts > 0 AND ttft_rank >= 99 * ttfts THEN upper_ms END)
FROM ranked GROUP BY point, name
"""  # noqa: S608  # the same


class UsageQuestion:
    """One window, filter and grouping, asked of one database; its steps are in `edges`."""

    def __init__(
        self, readers: ReaderPool, window: Window, by: GroupBy | None, where: UsageFilter, max_groups: int
    ) -> None:
        if not 1 <= max_groups <= MAX_GROUPS:
            raise ValueError(f"max_groups is {max_groups}; give 1 to {MAX_GROUPS}")
        self._readers = readers
        self._window = window
        self._by = by
        self._max_groups = max_groups
        self._parameters: dict[str, object] = {**msgspec.structs.asdict(where), "by": by}
        self.edges: list[int] = []

    async def usage(self, *, fill: bool) -> list[UsagePoint]:
        """By step and then by name; with `fill`, steps without a request are there as well."""
        await self._prepare()
        sums = await self._sums()
        return [self._usage_point(group, sums.get(group, _NOTHING)) for group in self._groups(sums, fill=fill)]

    async def latency(self, *, fill: bool) -> list[LatencyPoint]:
        """The same."""
        await self._prepare()
        sums = await self._sums()
        durations = {
            (int(str(point)), _name(name)): [estimate(_whole(upper)) for upper in uppers]
            for point, name, *uppers in await self._readers.fetch(DURATIONS, self._parameters)
        }
        return [
            self._latency_point(group, sums.get(group, _NOTHING), durations.get(group, _NO_DURATIONS))
            for group in self._groups(sums, fill=fill)
        ]

    async def _prepare(self) -> None:
        self.edges = await in_thread(self._window.edges)
        asked = [name for name in _DIMENSIONS if self._parameters[name] is not None or name == self._by]
        dimension: Dimension = "all" if not asked else asked[0] if len(asked) == 1 else "each"
        where = {"since": self.edges[0], "until": self.edges[-1], "edges": _json(self.edges)}
        rolled_up = {(int(str(w)), int(str(start))) for w, start in await self._readers.fetch(ROLLED_UP, where)}
        pieces = await in_thread(cut, self.edges, dimension, rolled_up)
        self._parameters |= {"dimension": dimension, "pieces": _json(pieces)}
        self._names = await self._largest_groups()
        self._parameters["groups"] = _json(self._names)

    async def _largest_groups(self) -> list[str]:
        if self._by is None:
            return [""]
        rows = await self._readers.fetch(LARGEST_GROUPS, {**self._parameters, "limit": self._max_groups})
        return [str(name) for (name,) in rows]

    async def _sums(self) -> dict[_Group, _Sums]:
        rows = [msgspec.convert(row, _Sums, strict=False) for row in await self._readers.fetch(USAGE, self._parameters)]
        return {(one.point, one.name): one for one in rows}

    def _groups(self, sums: dict[_Group, _Sums], *, fill: bool) -> Sequence[_Group]:
        names: list[str | None] = [*self._names]
        if any(name is None for _, name in sums):
            names.append(None)
        steps = range(len(self.edges) - 1)
        return [(step, name) for step in steps for name in names if fill or (step, name) in sums]

    def _usage_point(self, group: _Group, sums: _Sums) -> UsagePoint:
        step, name = group
        return UsagePoint(
            start=self.edges[step],
            end=self.edges[step + 1],
            name=None if self._by is None else name,
            other=name is None,
            requests=sums.requests,
            errors=sums.errors,
            rate_limited=sums.rate_limited,
            waterfalls=sums.waterfalls,
            prompt_tokens=sums.prompt_tokens,
            completion_tokens=sums.completion_tokens,
            cached_tokens=sums.cached_tokens,
            total_tokens=sums.total_tokens,
            cost_usd=sums.cost_usd,
            avg_latency_ms=_ratio(sums.latency_ms, sums.requests),
            avg_ttft_ms=_ratio(sums.ttft_ms, sums.ttft_requests),
        )

    def _latency_point(self, group: _Group, sums: _Sums, durations: Sequence[float | None]) -> LatencyPoint:
        step, name = group
        return LatencyPoint(
            start=self.edges[step],
            end=self.edges[step + 1],
            name=None if self._by is None else name,
            other=name is None,
            requests=sums.requests,
            error_rate=_ratio(sums.errors, sums.requests) or 0.0,
            rate_limited_rate=_ratio(sums.rate_limited, sums.requests) or 0.0,
            tokens_per_second=_ratio(1_000 * sums.completion_tokens, sums.latency_ms),
            latency_ms=Percentiles(*durations[:4]),
            ttft_ms=Percentiles(*durations[4:]),
        )


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _name(value: object) -> str | None:
    return None if value is None else str(value)


def _whole(value: object) -> int | None:
    return None if value is None else int(str(value))


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None
