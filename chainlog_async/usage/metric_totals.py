"""All-time totals by chain, provider and model, as counters that are scraped."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import msgspec

from chainlog_async.common.histogram import Histogram

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
    total_tokens: int
    cost_usd: float
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


def usage_totals(key: Sequence[str], sums: Sequence[float], cost_usd: float) -> UsageTotals:
    """Built from chain, provider and model, and the sums of one row of usage in the order of the fields."""
    chain, provider, model = key
    requests, errors, cancelled, rate_limited, waterfalls, prompt, completion, cached, total, _, latency, ttft = sums[
        :12
    ]
    bins = len(BOUNDS_MS)
    latency_counts, ttft_requests = sums[12 : 12 + bins], sums[12 + bins]
    ttft_counts, unanswered_counts = sums[13 + bins : 13 + 2 * bins], sums[13 + 2 * bins :]
    return UsageTotals(
        chain=chain,
        provider=provider,
        model=model,
        requests=int(requests),
        errors=int(errors),
        cancelled=int(cancelled),
        rate_limited=int(rate_limited),
        waterfalls=int(waterfalls),
        prompt_tokens=int(prompt),
        completion_tokens=int(completion),
        cached_tokens=int(cached),
        total_tokens=int(total),
        cost_usd=cost_usd,
        latency_ms=_histogram(latency_counts, requests - errors - cancelled, latency),
        ttft_ms=_histogram(ttft_counts, ttft_requests, ttft),
        unanswered_latency_ms=_histogram(unanswered_counts, errors + cancelled, 0.0),
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
