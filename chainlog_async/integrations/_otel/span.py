"""What is kept of a span: names, numbers and times, and no text that a model or a user wrote."""

from __future__ import annotations

from typing import Final

import msgspec

SDK_SCOPES: Final = frozenset({"com.anthropic.sdk.python"})
"""SDKs that make spans themselves, by their scope. They count tokens as the answer has them."""


class CallFacts(msgspec.Struct, kw_only=True, array_like=True, gc=False):
    """What a span says about the call of a model. None where it says nothing."""

    provider: str | None = None
    response_model: str | None = None
    request_model: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    cache_write_1h_tokens: int | None = None
    reasoning_tokens: int | None = None
    prompt_audio_tokens: int | None = None
    completion_audio_tokens: int | None = None
    cost_usd: float | None = None
    ttft_ms: float | None = None
    duration_ms: float | None = None
    """How long a stream took, of a span that was made at its end and lasts no time itself."""
    streamed: bool | None = None
    finish_reason: str | None = None
    service_tier: str | None = None
    response_id: str | None = None
    status: int | None = None
    """HTTP status, if the span names one."""
    error_type: str | None = None
    """Class of the error or its code; of a call that failed, never empty."""


class Span(msgspec.Struct, kw_only=True, array_like=True, gc=False):
    """One span, reduced. Ids are opaque."""

    trace_id: str
    span_id: str
    parent_id: str
    """Empty for the root of a trace."""
    start_ns: int
    """In ns since the epoch, UTC."""
    end_ns: int
    source: str
    """Which process sent it: the name and the instance of its service."""
    scope: str
    """The instrumentation that made it."""
    is_attempt: bool = False
    """Whether it is one attempt at a provider, of the call that is its parent."""
    call: CallFacts | None = None
    """None for a span that is no call of a model, and only tells what its descendants belong to."""
    caller: str | None = None
    session: str | None = None
    chain: str | None = None
    agent: str | None = None
    service: str | None = None
    resends: int | None = None
    """How often the request was sent again before."""

    @property
    def key(self) -> tuple[str, str]:
        """What identifies it."""
        return self.trace_id, self.span_id

    @property
    def begin_ns(self) -> int:
        """When the call began, in ns since the epoch, UTC."""
        if self.call is not None and self.call.duration_ms is not None and self.end_ns - self.start_ns < 1_000_000:
            return self.end_ns - round(self.call.duration_ms * 1_000_000)
        return self.start_ns


SAME_TIME_NS: Final = 2_000_000
"""How far one of two spans of a call may exceed the other, in ns."""


def is_within(one: Span, other: Span) -> bool:
    """Returns whether one of them lasted within the other."""
    inner, outer = sorted((one, other), key=lambda span: span.end_ns - span.begin_ns)
    return outer.begin_ns - SAME_TIME_NS <= inner.begin_ns and inner.end_ns <= outer.end_ns + SAME_TIME_NS
