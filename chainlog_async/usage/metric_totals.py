"""What counters that are scraped tell: everything since ever, by chain, provider and model."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import msgspec

from chainlog_async.common.histogram import Histogram

BOUNDS_MS = (100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 120_000, 300_000)
"""Of the histograms of latency and time to first token."""


class UsageTotals(msgspec.Struct, frozen=True, kw_only=True):
    """All that was ever logged for one chain, provider and model."""

    chain: str
    provider: str
    model: str
    requests: int
    errors: int
    """With a status of 400 or more."""
    rate_limited: int
    """With the status 429."""
    waterfalls: int
    """Requests that took more than one attempt."""
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    total_tokens: int
    cost_usd: float
    latency_ms: Histogram
    """Its bounds are exact to 5 %, as the bins are that it is made of."""
    ttft_ms: Histogram
    """Time to first token, of requests that told it."""


class AttemptTotals(msgspec.Struct, frozen=True, kw_only=True):
    """Every try that was ever made with one provider and model, whoever answered in the end."""

    provider: str
    model: str
    tries: int
    successes: int
    rate_limited: int
    """Answered with 429."""
    failures: int
    """Answered with another error, or not at all; a client that went away (499) is nobody's failure."""


class MetricTotals(msgspec.Struct, frozen=True, kw_only=True):
    """Everything since ever."""

    usage: tuple[UsageTotals, ...]
    attempts: tuple[AttemptTotals, ...]


def usage_totals(key: Sequence[str], sums: Sequence[float], cost_usd: float) -> UsageTotals:
    """From the key and the numbers of `running_totals.USAGE_OF_BUCKETS`."""
    chain, provider, model = key
    requests, errors, rate_limited, waterfalls, prompt, completion, cached, total, _, latency, ttft = sums[:11]
    latency_counts = sums[11 : 11 + len(BOUNDS_MS)]
    ttft_requests, *ttft_counts = sums[11 + len(BOUNDS_MS) :]
    return UsageTotals(
        chain=chain,
        provider=provider,
        model=model,
        requests=int(requests),
        errors=int(errors),
        rate_limited=int(rate_limited),
        waterfalls=int(waterfalls),
        prompt_tokens=int(prompt),
        completion_tokens=int(completion),
        cached_tokens=int(cached),
        total_tokens=int(total),
        cost_usd=cost_usd,
        latency_ms=_histogram(latency_counts, requests, latency),
        ttft_ms=_histogram(ttft_counts, ttft_requests, ttft),
    )


def attempt_totals(key: Sequence[str], sums: Sequence[float]) -> AttemptTotals:
    """From the key and the numbers of `running_totals.ATTEMPTS`."""
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
