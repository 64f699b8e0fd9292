"""The entry: one request of the gateway."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from chainlog_async.common.clock import now_ms

MAX_NAME_CHARS = 256
"""Maximum length of a name, an id, a reason, a tier or a tag, in characters."""

MAX_ATTEMPTS = 100
"""Maximum length of an attempt trail."""

MAX_COST_USD = 10_000
"""Maximum cost of a request, in US dollars; the sum of 900,000 such rows in nano-dollars fits into 64 bits."""

MAX_TAGS = 8
"""Maximum number of tags of a request."""

MAX_COUNT = 1_000_000_000_000
"""Maximum number of tokens, ms of latency or attempts; the sum of nine million such rows fits into 64 bits."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One attempt of the chain: which provider was called, and its outcome. Validated as part of its entry."""

    provider_id: str
    model: str
    http_status: int | None = None
    """Status that the provider sent, 100 to 599; None if it sent none, as on a refused connection or a timeout."""
    latency_ms: float | None = None
    """From the start of the attempt to its end, in ms."""
    error_message: str | None = None
    """Why it failed; secrets are redacted, and it is cut after `MAX_ERROR_CHARS` characters."""
    prompt_tokens: int | None = None
    """What the provider counted, as are the other tokens: by the same rules as in `RequestLogEntry`."""
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    cache_write_1h_tokens: int | None = None
    reasoning_tokens: int | None = None
    prompt_audio_tokens: int | None = None
    completion_audio_tokens: int | None = None
    cost_usd: float | None = None
    """What the provider charges for this attempt, in US dollars; a part of the cost of the request."""
    cost_source: str | None = None
    """Whose cost it is: ``provider`` if the provider told it; None is the gateway's."""


class RequestLogEntry(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One request that the gateway answered, or failed to answer.

    Building one never raises for a bad value: `RequestLogger.log_request` validates it, and counts it as ``invalid``.
    The order of the fields is their order in a line: new ones are only added at the end, so that a journal written by
    an older version can be replayed.
    """

    timestamp: int = msgspec.field(default_factory=now_ms)
    """When it ended, in ms since the epoch, UTC."""
    chain_name: str
    """The chain of providers that was used."""
    provider_id: str
    """The provider that answered, or was tried last."""
    model: str
    """The provider's name of the model."""
    prompt_tokens: int = 0
    """All tokens of the prompt, with those that the provider read from its cache or wrote to it."""
    completion_tokens: int = 0
    """All tokens of the answer, with those of reasoning."""
    total_tokens: int | None = None
    """Total tokens; None means the sum of the two counts."""
    latency_ms: float
    """From the request to its last byte, in ms; rounded half up when stored."""
    http_status: int
    """Status that the client got, 100 to 599."""
    attempts: int = 1
    """How many attempts were made; at least the length of `attempt_trail`, 0 if no provider was called."""
    error_message: str | None = None
    """Why it failed; secrets are redacted, and it is cut after `MAX_ERROR_CHARS` characters."""
    request_id: str | None = None
    """The gateway's own id of the request."""
    caller: str | None = None
    """Who sent it: the alias of a key, a team or a user; never the key itself."""
    ttft_ms: float | None = None
    """Time to first token, in ms; rounded half up when stored."""
    cost_usd: float | None = None
    """What it cost, in US dollars, 0 to `MAX_COST_USD`, with all its attempts; None when that is not known."""
    streamed: bool | None = None
    """Whether the answer was streamed."""
    cached_tokens: int | None = None
    """How many of the prompt tokens the provider read from its cache."""
    metadata: Mapping[str, object] | None = None
    """Anything else, as JSON of at most 4096 bytes; secrets in strings are redacted."""
    attempt_trail: Sequence[Attempt] | None = None
    """Every attempt in order; the last one answered, or failed finally."""
    cache_write_tokens: int | None = None
    """How many of the prompt tokens the provider wrote to its cache."""
    cache_write_1h_tokens: int | None = None
    """How many of the written tokens are kept for an hour, which costs more than the usual five minutes."""
    reasoning_tokens: int | None = None
    """How many of the completion tokens were spent on reasoning."""
    prompt_audio_tokens: int | None = None
    """How many of the prompt tokens were audio, which providers bill apart from text."""
    completion_audio_tokens: int | None = None
    """How many of the completion tokens were audio."""
    finish_reason: str | None = None
    """Why the answer ended, in the provider's own word: ``stop``, ``length``, ``tool_use``."""
    service_tier: str | None = None
    """The tier in which the provider served it, such as ``flex``, ``priority`` or ``batch``."""
    response_id: str | None = None
    """The provider's own id of the answer. Not unique: providers repeat them."""
    session_id: str | None = None
    """The conversation that the request is a part of."""
    tags: Sequence[str] | None = None
    """Up to `MAX_TAGS` tags ``key:value``, such as ``team:search``; secrets in them are redacted."""
    cost_source: str | None = None
    """Whose cost it is: ``provider`` if the provider told it; None is the gateway's."""


MAX_ERROR_CHARS = 4096
"""Maximum length of an error text, in characters; longer ones are cut and end in an ellipsis."""

ENTRY_FIELDS: tuple[str, ...] = RequestLogEntry.__struct_fields__

LATER_FIELDS: tuple[str, ...] = ENTRY_FIELDS[ENTRY_FIELDS.index("attempt_trail") + 1 :]
"""The fields that a line lacks when the entry has none of them."""

TOKEN_CLASSES: tuple[str, ...] = (
    "cached_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "reasoning_tokens",
    "prompt_audio_tokens",
    "completion_audio_tokens",
)
"""The optional fields that say which of the prompt's and the completion's tokens cost more or less than others."""
