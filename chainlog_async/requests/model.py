"""One request as it is stored, and a page of them."""

from __future__ import annotations

import msgspec


class LoggedAttempt(msgspec.Struct, frozen=True, rename="camel"):
    """One try of the chain."""

    provider_id: str
    model: str
    http_status: int | None = None
    """None when the provider sent none: refused connection, timeout."""
    latency_ms: float | None = None
    error_message: str | None = None


class RequestLogRow(msgspec.Struct, frozen=True, rename="camel"):
    """One request with everything that is known of it."""

    id: int
    """Its number in this database: the order in which requests were stored."""
    timestamp: int
    """When it ended, in ms since the epoch, UTC."""
    chain_name: str
    provider_id: str
    model: str
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    latency_ms: int
    http_status: int
    attempts: int
    error_message: str | None
    request_id: str | None
    """The gateway's own id."""
    caller: str | None
    ttft_ms: int | None
    """Time to first token, in ms."""
    cost_usd: float | None
    streamed: bool | None
    cached_tokens: int | None
    metadata: dict[str, object] | None
    attempt_trail: list[LoggedAttempt] | None
    """Every try in order, the last being the one that answered."""


LoggedRequest = RequestLogRow
"""What `find_requests` called a row before there was one type for both."""


class RequestPage(msgspec.Struct, frozen=True, rename="camel"):
    """Some of the requests that a filter means, newest first."""

    requests: list[RequestLogRow]
    next_cursor: str | None
    """Where the next page begins; None when there is nothing more."""
    searched_back_to: int | None
    """Set when so few requests match that the search was interrupted, to be gone on with at the cursor: how far it
    came, in ms since the epoch, UTC."""


COLUMNS = (
    "id",
    "timestamp",
    "chain_name",
    "provider_id",
    "model",
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "latency_ms",
    "http_status",
    "attempts",
    "error_message",
    "request_id",
    "caller",
    "ttft_ms",
    "cost_usd",
    "streamed",
    "cached_tokens",
    "metadata",
    "attempt_trail",
)
