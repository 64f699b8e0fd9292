"""What LiteLLM reported about one attempt."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

AttemptPosition = tuple[int, int]
"""The position of an attempt in its request: fallbacks before it, then retries within its model group."""

UNKNOWN_PROVIDER = "litellm"
"""The provider of what LiteLLM answered itself, and of attempts whose provider it does not name."""

LEFT_STATUS = 499
"""The status of a request that its client left, and of an attempt that was broken off before the provider answered."""


class ReportedAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a provider, as LiteLLM reported it."""

    call_id: str
    trace_id: str
    position: AttemptPosition | None
    """None for a call without the Router."""
    may_pause: bool
    """Whether LiteLLM may sleep before the next attempt, because the request is retried."""
    is_partial: bool = False
    """Whether it was read from the exception alone; LiteLLM's own payload, if it comes, has more."""
    route: str = ""
    """The proxy's path that the client requested; "" for what no client of the proxy asked for."""
    is_inner: bool = False
    """Whether LiteLLM made this call to translate another one, which has the position, the group and another id."""
    owns_trace: bool = False
    """Whether its trace id alone says which attempts belong to its request."""
    chain_name: str
    provider_id: str
    model: str
    status: int
    """As LiteLLM reports it to the client, 100 to 599."""
    answered: bool = True
    """False when the status is LiteLLM's own, because the provider sent none."""
    provider_status: int | None = None
    """What the provider sent, if the client got another status."""
    called_no_provider: bool = False
    """Whether no provider was called: LiteLLM refused the request, or answered it from its cache."""
    is_cached: bool = False
    """Whether LiteLLM's cache answered."""
    started_s: float
    ended_s: float
    """Start and end, in s since the epoch, UTC."""
    handoff_s: float | None = None
    """When LiteLLM handed the request over to the provider; the same for every report of one attempt."""
    first_token_s: float | None = None
    error_message: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int | None = None
    classes: Mapping[str, int] | None = None
    """Cached, written, reasoning and audio tokens, as far as they are known, under the names of an entry."""
    finish_reason: str | None = None
    service_tier: str | None = None
    response_id: str | None = None
    session_id: str | None = None
    tags: list[str] | None = None
    cost_usd: float | None = None
    streamed: bool | None = None
    caller: str | None = None
    metadata: Mapping[str, object] | None = None

    @property
    def sent_status(self) -> int | None:
        """What the provider sent; None if it sent nothing."""
        if self.provider_status is not None:
            return self.provider_status
        return self.status if self.answered else None

    def as_begun(self, begun: BegunAttempt) -> ReportedAttempt:
        """Returns this attempt with the position and the provider that it had when it began."""
        metadata = {key: value for key, value in (self.metadata or {}).items() if key != "deployment_id"}
        return msgspec.structs.replace(
            self, position=begun.position, provider_id=begun.provider_id, model=begun.model, metadata=metadata
        )


class BegunAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt as LiteLLM began it; only that of a stream has more than its ids."""

    call_id: str
    trace_id: str
    position: AttemptPosition | None = None
    provider_id: str = UNKNOWN_PROVIDER
    model: str = "unknown"
