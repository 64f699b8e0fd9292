"""Makes points of the sums that an engine found by step and group."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from .percentiles import DurationBin, Percentiles, bins, percentiles
from .points import LatencyPoint, UsagePoint
from .query import UsageQuery
from .sums import NANO, RateSums, UsageSums

Group: TypeAlias = tuple[int, str | None]
"""Index of the step, and the group's name in query results: None for other groups, "" when not grouped."""


class Durations(NamedTuple):
    """What is known of the durations of a group in one step."""

    latency: Percentiles = Percentiles()
    ttft: Percentiles = Percentiles()
    bins: tuple[DurationBin, ...] = ()
    """Of latency; empty when they are not asked for."""


_NO_USAGE, _NO_RATES = UsageSums(), RateSums()
_NO_DURATIONS = Durations()


def usage_points(
    query: UsageQuery, edges: Sequence[int], names: Sequence[str], sums: Mapping[Group, UsageSums]
) -> list[UsagePoint]:
    """Usage by step, and in the order of the names; `edges` are those of the query's window."""
    is_grouped = query.by is not None
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
        for step, name in _groups(query, edges, names, sums)
        for one in (sums.get((step, name), _NO_USAGE),)
    ]


def latency_points(
    query: UsageQuery,
    edges: Sequence[int],
    names: Sequence[str],
    sums: Mapping[Group, RateSums],
    durations: Mapping[Group, Durations],
) -> list[LatencyPoint]:
    """Latency by step, and in the order of the names; `edges` are those of the query's window."""
    is_grouped = query.by is not None
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
            latency_ms=several.latency,
            ttft_ms=several.ttft,
            latency_bins=several.bins if query.with_bins else None,
        )
        for step, name in _groups(query, edges, names, sums)
        for one in (sums.get((step, name), _NO_RATES),)
        for several in (durations.get((step, name), _NO_DURATIONS),)
    ]


def make_durations(latencies: list[int], ttfts: list[int], *, with_bins: bool) -> Durations:
    """What two histograms tell; see `percentiles.merge`."""
    return Durations(percentiles(latencies), percentiles(ttfts), bins(latencies) if with_bins else ())


def _groups(query: UsageQuery, edges: Sequence[int], names: Sequence[str], found: Collection[Group]) -> Iterator[Group]:
    shown: list[str | None] = [*names]
    if any(name is None for _, name in found):
        shown.append(None)
    for step in range(len(edges) - 1):
        yield from ((step, name) for name in shown if query.fill or (step, name) in found)


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None
