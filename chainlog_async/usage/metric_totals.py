"""All-time totals by chain, provider and model, as counters that are scraped."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import msgspec

from chainlog_async.common.histogram import Histogram

from .sums import NANO, USAGE_SUMS

BOUNDS_MS = (100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 120_000, 300_000)
"""Upper bounds of the histograms of latency and time to first token, in ms."""


class UsageTotals(msgspec.Struct, frozen=True, kw_only=True):
    """All-time usage of one combination of chain, provider and model."""

    chain: str
    provider: str
    model: str
    requests: int
    errors: int
    """Requests that failed, without those that were cancelled."""
    cancelled: int
    """Requests whose client hung up (status 499)."""
    rate_limited: int
    """Requests with status 429."""
    waterfalls: int
    """Requests that took more than one attempt."""
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    total_tokens: int
    cost_usd: float
    unanswered_cost_usd: float
    """The part of the cost that went to attempts which did not answer."""
    latency_ms: Histogram
    """Latency of the answered requests. Its bounds are accurate to 5 %, like the bins that it is computed from."""
    ttft_ms: Histogram
    """Time to first token, of the answered requests that have one."""
    unanswered_latency_ms: Histogram
    """Latency of the requests that failed or were cancelled; their sum is not kept and always 0."""


class AttemptTotals(msgspec.Struct, frozen=True, kw_only=True):
    """All-time attempts at one provider and model, whichever provider answered in the end."""

    provider: str
    model: str
    tries: int
    successes: int
    rate_limited: int
    """Attempts answered with 429."""
    failures: int
    """Attempts answered with another error or not at all; a client that disconnected (499) does not count."""


class MetricTotals(msgspec.Struct, frozen=True, kw_only=True):
    """All-time totals of usage and attempts."""

    usage: tuple[UsageTotals, ...]
    attempts: tuple[AttemptTotals, ...]


SUMS: tuple[str, ...] = USAGE_SUMS[:-1]
"""The sums that `usage_totals` begins with."""


def usage_totals(key: Sequence[str], sums: Sequence[float]) -> UsageTotals:
    """Built from chain, provider and model, and a row of numbers: `SUMS`, then the counts of three histograms."""
    chain, provider, model = key
    named = dict(zip(SUMS, sums, strict=False))
    first, bins = len(SUMS), len(BOUNDS_MS)
    latency_counts, ttft_requests = sums[first : first + bins], sums[first + bins]
    ttft_counts, unanswered_counts = sums[first + bins + 1 : first + 1 + 2 * bins], sums[first + 1 + 2 * bins :]
    unanswered = named["errors"] + named["cancelled"]
    return UsageTotals(
        chain=chain,
        provider=provider,
        model=model,
        requests=int(named["requests"]),
        errors=int(named["errors"]),
        cancelled=int(named["cancelled"]),
        rate_limited=int(named["rate_limited"]),
        waterfalls=int(named["waterfalls"]),
        prompt_tokens=int(named["prompt_tokens"]),
        completion_tokens=int(named["completion_tokens"]),
        cached_tokens=int(named["cached_tokens"]),
        cache_write_tokens=int(named["cache_write_tokens"]),
        reasoning_tokens=int(named["reasoning_tokens"]),
        total_tokens=int(named["total_tokens"]),
        cost_usd=named["cost_nano"] / NANO,
        unanswered_cost_usd=named["unanswered_cost_nano"] / NANO,
        latency_ms=_histogram(latency_counts, named["requests"] - unanswered, named["latency_ms"]),
        ttft_ms=_histogram(ttft_counts, ttft_requests, named["ttft_ms"]),
        unanswered_latency_ms=_histogram(unanswered_counts, unanswered, 0.0),
    )


def attempt_totals(key: Sequence[str], sums: Sequence[float]) -> AttemptTotals:
    """Built from provider and model, and the sums of one row of attempts in the order of the fields."""
    provider, model = key
    tries, successes, rate_limited, failures = map(int, sums)
    return AttemptTotals(
        provider=provider,
        model=model,
        tries=tries,
        successes=successes,
        rate_limited=rate_limited,
        failures=failures,
    )


def _histogram(cumulated: Sequence[float], count: float, total: float) -> Histogram:
    counts = tuple(int(high - low) for low, high in pairwise((0, *cumulated, count)))
    return Histogram(BOUNDS_MS, counts, total)
