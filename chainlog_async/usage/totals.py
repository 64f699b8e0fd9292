"""All-time totals by provider and chain, the summary, and the names in the log."""

from __future__ import annotations

import msgspec

MAX_NAMES = 1_000
"""Most names of one kind that `get_names` returns."""


class ProviderUsage(msgspec.Struct, frozen=True, rename="camel"):
    """All-time totals of one provider."""

    provider_id: str
    total_requests: int
    total_tokens: int
    total_prompt_tokens: int
    total_completion_tokens: int
    last_request_timestamp: int
    """In ms since the epoch, UTC."""
    total_cost_usd: float = 0.0
    """The exact sum of what is known, in US dollars."""


class ChainUsage(msgspec.Struct, frozen=True, rename="camel"):
    """All-time totals of one chain."""

    chain_name: str
    total_requests: int
    total_tokens: int
    total_prompt_tokens: int
    total_completion_tokens: int
    last_request_timestamp: int
    """In ms since the epoch, UTC."""
    total_cost_usd: float = 0.0
    """The exact sum of what is known, in US dollars."""


class SummaryStats(msgspec.Struct, frozen=True, rename="camel"):
    """All-time summary of the log."""

    total_requests: int
    waterfall_requests: int
    """Requests that took more than one attempt."""
    avg_latency_ms: int
    """Mean latency in ms, rounded half up; 0 when nothing was logged."""


class Names(msgspec.Struct, frozen=True, rename="camel"):
    """The names that requests can be filtered by."""

    chains: tuple[str, ...]
    """The most used first, as `providers`."""
    providers: tuple[str, ...]
    models: tuple[str, ...]
    """In alphabetical order, as `callers`."""
    callers: tuple[str, ...]
    tag_keys: tuple[str, ...] = ()
    """The keys that usage can be grouped by, as in ``tag:team``, in alphabetical order."""
