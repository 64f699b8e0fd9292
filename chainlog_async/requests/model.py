"""A request as it is stored, and a page of requests."""

from __future__ import annotations

import msgspec


class LoggedAttempt(msgspec.Struct, frozen=True, rename="camel"):
    """One attempt of the chain."""

    provider_id: str
    model: str
    http_status: int | None = None
    """None when the provider sent no status, as after a refused connection or a timeout."""
    latency_ms: float | None = None
    error_message: str | None = None


class RequestLogRow(msgspec.Struct, frozen=True, rename="camel"):
    """A request as it is stored. Optional values are None when they were not logged."""

    id: int
    """Its id in this database; ids grow in the order in which requests were stored."""
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
    """The gateway's own id of the request."""
    caller: str | None
    ttft_ms: int | None
    """Time to first token, in ms."""
    cost_usd: float | None
    streamed: bool | None
    cached_tokens: int | None
    metadata: dict[str, object] | None
    attempt_trail: list[LoggedAttempt] | None
    """Every attempt in order; the last one answered, or failed for good."""


LoggedRequest = RequestLogRow
"""The former name of `RequestLogRow` in the results of `find_requests`."""


class RequestPage(msgspec.Struct, frozen=True, rename="camel"):
    """One page of the requests that match a filter, newest first."""

    requests: list[RequestLogRow]
    next_cursor: str | None
    """Cursor of the next page; None when this is the last one."""
    searched_back_to: int | None
    """Set when the search stopped early because few requests match: how far back it got, in ms since the epoch, UTC. It
    continues at the cursor."""


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
