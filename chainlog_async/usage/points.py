"""Usage and latency in one step of a window."""

from __future__ import annotations

import msgspec

from .percentiles import Percentiles


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
