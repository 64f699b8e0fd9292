"""The sums that buckets and rollups keep, in the order of their columns."""

from __future__ import annotations

import msgspec


class UsageSums(msgspec.Struct, array_like=True):
    """Sums over a set of requests."""

    requests: int = 0
    errors: int = 0
    """Requests that failed; see `outcome_of`."""
    cancelled: int = 0
    """Requests whose client hung up (499)."""
    rate_limited: int = 0
    """Requests with status 429."""
    waterfalls: int = 0
    """Requests that took more than one attempt."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    reasoning_tokens: int = 0
    prompt_audio_tokens: int = 0
    completion_audio_tokens: int = 0
    total_tokens: int = 0
    cost_nano: int = 0
    """In nano-dollars, so that sums are exact."""
    unanswered_cost_nano: int = 0
    """The part of the cost that went to attempts which did not answer."""
    latency_ms: float = 0.0
    """Sum of the latency of answered requests."""
    ttft_ms: float = 0.0
    """Sum of the time to first token, of the `ttft_requests` answered requests that have one."""
    ttft_requests: int = 0


USAGE_SUMS: tuple[str, ...] = UsageSums.__struct_fields__
"""The names of the columns."""

NANO = 1_000_000_000
"""Nano-dollars in a dollar."""


class RateSums(msgspec.Struct, array_like=True):
    """The sums that rates are computed of; see `UsageSums`."""

    requests: int = 0
    errors: int = 0
    cancelled: int = 0
    rate_limited: int = 0
    completion_tokens: int = 0
    latency_ms: float = 0.0


RATE_SUMS: tuple[str, ...] = RateSums.__struct_fields__
"""The names of the columns."""
