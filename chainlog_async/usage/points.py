"""Usage and latency in one step of a window: what `UsageAggregator` returns over time."""

from __future__ import annotations

import msgspec

from chainlog_async.common.json_names import camel_case

from .percentiles import DurationBin, Percentiles


class UsagePoint(msgspec.Struct, frozen=True, kw_only=True, rename=camel_case):
    """Usage in one step of a window, in total or of one group."""

    start: int
    """Start of the step, in ms since the epoch, UTC, like `end`."""
    end: int
    name: str | None
    """The chain, provider, model or caller; None when not grouped, and for `other`."""
    other: bool = False
    """Whether this is the sum of the groups beyond `max_groups`."""
    requests: int = 0
    errors: int = 0
    """Requests that failed: with a status of 400 or more, or an error message; without those that were cancelled."""
    cancelled: int = 0
    """Requests whose client hung up (status 499)."""
    rate_limited: int = 0
    """Requests with status 429."""
    waterfalls: int = 0
    """Requests that took more than one attempt."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    """Of the prompt, read from the provider's cache."""
    cache_write_tokens: int = 0
    """Of the prompt, written to the provider's cache."""
    cache_write_1h_tokens: int = 0
    """Of those, kept for an hour."""
    reasoning_tokens: int = 0
    """Of the completion."""
    prompt_audio_tokens: int = 0
    completion_audio_tokens: int = 0
    total_tokens: int = 0
    cost_usd: float = 0.0
    """The exact sum of what is known, in US dollars."""
    unanswered_cost_usd: float = 0.0
    """The part of the cost that went to attempts which did not answer."""
    avg_latency_ms: float | None = None
    """Mean latency in ms of the answered requests; None when there was none."""
    avg_ttft_ms: float | None = None
    """Mean time to first token in ms, of the answered requests that have one; None when none has."""


class LatencyPoint(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Latency and error rates in one step of a window, in total or of one group."""

    start: int
    end: int
    name: str | None
    other: bool = False
    requests: int = 0
    error_rate: float = 0.0
    """Share of requests that failed (see `UsagePoint.errors`), 0 to 1."""
    cancelled_rate: float = 0.0
    """Share of requests whose client hung up (status 499), 0 to 1."""
    rate_limited_rate: float = 0.0
    """Share of requests with status 429, 0 to 1."""
    tokens_per_second: float | None = None
    """Completion tokens per second of latency of the answered requests; None without latency."""
    latency_ms: Percentiles = Percentiles()
    """Percentiles of latency of the requests that the query asks for, accurate to 5 % (`RELATIVE_ERROR`)."""
    ttft_ms: Percentiles = Percentiles()
    """Percentiles of time to first token, accurate to 5 %."""
    latency_bins: tuple[DurationBin, ...] | None = None
    """How many of the requests that `latency_ms` is about took how long, if the query asks for it (`with_bins`)."""
