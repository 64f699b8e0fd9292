"""A request as it is stored, and a page of requests."""

from __future__ import annotations

import msgspec

from chainlog_async.common.json_names import camel_case


class LoggedAttempt(msgspec.Struct, frozen=True, rename=camel_case):
    """One attempt of the chain."""

    provider_id: str
    model: str
    http_status: int | None = None
    """None when the provider sent no status, as after a refused connection or a timeout."""
    latency_ms: float | None = None
    error_message: str | None = None
    prompt_tokens: int | None = None
    """Tokens as the provider counted them; see `RequestLogRow`."""
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    cache_write_1h_tokens: int | None = None
    reasoning_tokens: int | None = None
    prompt_audio_tokens: int | None = None
    completion_audio_tokens: int | None = None
    cost_usd: float | None = None
    """A part of the cost of the request."""
    cost_source: str | None = None
    """Whose cost it is, as `RequestLogRow.cost_source`."""


class RequestLogRow(msgspec.Struct, frozen=True, rename=camel_case):
    """A request as it is stored. Optional values are None when they were not logged."""

    id: int
    """Its id in this database; ids grow in the order in which requests were stored."""
    timestamp: int
    """When it ended, in ms since the epoch, UTC."""
    chain_name: str
    provider_id: str
    model: str
    prompt_tokens: int
    """With those read from the provider's cache or written to it."""
    completion_tokens: int
    """With those of reasoning."""
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
    cache_write_tokens: int | None = None
    """Of the prompt, as `cached_tokens`: written to the provider's cache."""
    cache_write_1h_tokens: int | None = None
    """Of the written tokens: kept for an hour."""
    reasoning_tokens: int | None = None
    """Of the completion."""
    prompt_audio_tokens: int | None = None
    completion_audio_tokens: int | None = None
    finish_reason: str | None = None
    """Why the answer ended, in the provider's own word."""
    service_tier: str | None = None
    response_id: str | None = None
    """The provider's own id of the answer; it may repeat."""
    session_id: str | None = None
    """The conversation that the request is a part of."""
    tags: list[str] | None = None
    """Each ``key:value``."""
    cost_source: str | None = None
    """Whose cost it is: ``provider``, ``gateway``, or ``table`` for one that was computed from the table of prices."""


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


COLUMNS: tuple[str, ...] = RequestLogRow.__struct_fields__
"""The columns of a row, in every engine and in every export."""

FIRST_COLUMNS: tuple[str, ...] = COLUMNS[: COLUMNS.index("attempt_trail") + 1]
"""The columns that exports of every release have."""

JSON_COLUMNS: tuple[str, ...] = ("metadata", "attempt_trail", "tags")
"""The columns that are JSON in the database, in CSV and in Parquet."""
