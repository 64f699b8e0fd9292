"""One request of the gateway, as the gateway hands it in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from chainlog_async.common.clock import now_ms

MAX_NAME_CHARS = 256
"""Longest chain, provider, model or caller name, and longest request id, in characters."""

MAX_ATTEMPTS = 100
"""Longest attempt trail."""

MAX_COST_USD = 1_000_000_000
"""Largest cost of a request, in US dollars."""

MAX_COUNT = 1_000_000_000_000
"""Largest number of tokens, milliseconds of latency or attempts; nine million such rows still add up in 64 bits."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One try of the chain: which provider was asked, and what came of it. Judged with the entry it is part of."""

    provider_id: str
    model: str
    http_status: int | None = None
    """Status the provider sent, 100 to 599; None when it sent none: refused connection, timeout."""
    latency_ms: float | None = None
    """From the try to its end, in ms."""
    error_message: str | None = None
    """Why it failed; without secrets, and cut after `MAX_ERROR_CHARS` characters."""


class RequestLogEntry(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One request that the gateway answered, or failed to.

    Building one never raises for a value: `RequestLogger.log_request` judges it and counts it as ``invalid``.
    The order of the fields is the order in a line: new ones are only ever added at the end, so that a journal
    written by an older version can be replayed.
    """

    timestamp: int = msgspec.field(default_factory=now_ms)
    """When it ended, in ms since the epoch, UTC."""
    chain_name: str
    """The chain of providers that was asked."""
    provider_id: str
    """The provider that answered, or was tried last."""
    model: str
    """The provider's name of the model."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int | None = None
    """Tokens in all; None stands for the sum of the two kinds."""
    latency_ms: float
    """From the request to its last byte, in ms; rounded half up when stored."""
    http_status: int
    """Status the client got, 100 to 599."""
    attempts: int = 1
    """How many entries of the chain were tried; at least the length of `attempt_trail`, 0 if nobody was asked."""
    error_message: str | None = None
    """Why it failed; without secrets, and cut after `MAX_ERROR_CHARS` characters."""
    request_id: str | None = None
    """The gateway's own id of the request, to find it again."""
    caller: str | None = None
    """Who asked: a key's alias, a team or a user; never the key itself."""
    ttft_ms: float | None = None
    """Time to first token, in ms; rounded half up when stored."""
    cost_usd: float | None = None
    """What it cost, in US dollars, 0 to `MAX_COST_USD`."""
    streamed: bool | None = None
    """Whether the answer was streamed."""
    cached_tokens: int | None = None
    """How many of the prompt's tokens the provider read from its cache."""
    metadata: Mapping[str, object] | None = None
    """Anything else worth keeping, as JSON of at most 4096 bytes; strings are kept without secrets."""
    attempt_trail: Sequence[Attempt] | None = None
    """Every try of the chain in order, the last being the one that answered, or failed for good."""


MAX_ERROR_CHARS = 4096
"""Longest error text that is kept, in characters; what is longer is cut and ends in an ellipsis."""

ENTRY_FIELDS: tuple[str, ...] = RequestLogEntry.__struct_fields__
