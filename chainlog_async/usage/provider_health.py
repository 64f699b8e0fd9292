"""How often each model of each provider answered, refused or failed."""

from __future__ import annotations

import msgspec


class ProviderHealth(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The attempts at one model of one provider in a window."""

    provider_id: str
    model: str
    attempts: int
    successes: int
    rate_limited: int
    """Attempts that were refused with status 429."""
    failures: int
    """Attempts that failed otherwise."""
    cancelled: int
    """Attempts whose client disconnected (499), which are neither successes nor failures."""
    refusal_rate: float
    """Share of attempts that were refused with 429, 0 to 1."""
    failure_rate: float
    """Share of attempts that failed otherwise, 0 to 1."""
    last_error: str | None
    """Error message of the last attempt that was refused or failed, its first 500 characters."""
    last_error_status: int | None
    """Its status; None when the provider sent none, or nothing failed."""
    last_error_at: int | None
    """When that attempt failed, in ms since the epoch, UTC."""
