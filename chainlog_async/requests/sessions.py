"""Sessions as values: conversations of several requests."""

from __future__ import annotations

from typing import Final

import msgspec

from .filter import RequestFilter

MAX_SESSIONS: Final = 100
"""Most sessions on a page."""

MAX_COUNTED: Final = 10_000
"""How many requests of a session are counted at most, the newest: so its sums cost the same in a log of any size."""

MAX_MODELS: Final = 20
"""How many models of a session are named at most."""

NANO: Final = 1_000_000_000


class SessionFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Matches sessions by their newest request, and of each only what one caller sent.

    Raises `ValueError` like `RequestFilter`.
    """

    start: int | None = None
    """Earliest time of the newest request, in ms since the epoch, UTC."""
    end: int | None = None
    """First time of it that no longer matches, in ms since the epoch, UTC."""
    caller: str | None = None
    """Whose requests; None for everybody's."""

    def __post_init__(self) -> None:
        self.as_request_filter()

    def as_request_filter(self) -> RequestFilter:
        """The same for single requests."""
        return RequestFilter(start=self.start, end=self.end, caller=self.caller)


EVERY_SESSION: Final = SessionFilter()


class Session(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The sums over the requests of a session, of which at most `MAX_COUNTED` are counted, the newest."""

    session_id: str
    """Its id, as it was logged."""
    caller: str | None
    """Who sent the newest request."""
    requests: int
    """How many there are."""
    errors: int
    """Requests that failed; see `UsagePoint.errors`."""
    prompt_tokens: int
    """With those read from the provider's cache or written to it."""
    completion_tokens: int
    """With those of reasoning."""
    cached_tokens: int
    """Of the prompt, read from the provider's cache."""
    total_tokens: int
    """Prompt and completion together."""
    cost_usd: float
    """The exact sum of what is known, in US dollars."""
    cached_share: float | None
    """Share of the prompt tokens that were read from the cache, 0 to 1; None without prompt tokens."""
    latency_ms: float
    """The sum over all requests, in ms."""
    first_at: int
    """Time of the oldest request, in ms since the epoch, UTC."""
    last_at: int
    """Time of the newest request."""
    models: tuple[str, ...]
    """In alphabetical order, at most `MAX_MODELS`."""


class SessionPage(msgspec.Struct, frozen=True, rename="camel"):
    """One page of sessions, the one with the newest request first."""

    sessions: list[Session]
    """The one with the newest request first."""
    next_cursor: str | None
    """Cursor of the next page; None when this is the last one."""
    searched_back_to: int | None
    """Set when the search stopped early, because many requests are of the same sessions: how far back it got, in ms
    since the epoch, UTC. It continues at the cursor."""


class SessionSums(msgspec.Struct, array_like=True):
    """What an engine adds up of one session, in the order of its query's columns."""

    requests: int
    errors: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    total_tokens: int
    cost_nano: int
    latency_ms: float
    first_at: float
    last_at: float
    models: list[str]


def session_of(session_id: str, caller: str | None, sums: SessionSums) -> Session:
    """Makes a session of its sums."""
    return Session(
        session_id=session_id,
        caller=caller,
        requests=sums.requests,
        errors=sums.errors,
        prompt_tokens=sums.prompt_tokens,
        completion_tokens=sums.completion_tokens,
        cached_tokens=sums.cached_tokens,
        total_tokens=sums.total_tokens,
        cost_usd=sums.cost_nano / NANO,
        cached_share=sums.cached_tokens / sums.prompt_tokens if sums.prompt_tokens else None,
        latency_ms=sums.latency_ms,
        first_at=int(sums.first_at),
        last_at=int(sums.last_at),
        models=tuple(sorted(sums.models)[:MAX_MODELS]),
    )


def check_page(limit: int) -> None:
    """Raises `ValueError` when the limit is outside 1 to `MAX_SESSIONS`."""
    if not 1 <= limit <= MAX_SESSIONS:
        raise ValueError(f"limit is {limit}; give 1 to {MAX_SESSIONS}")
