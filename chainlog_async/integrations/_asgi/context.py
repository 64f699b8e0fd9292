"""What a handler reports about the request it serves, from any of its tasks and threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from time import perf_counter
from typing import TypedDict, Unpack, cast

from chainlog_async.common.error_names import name_error
from chainlog_async.entry.model import MAX_ATTEMPTS, Attempt


class Description(TypedDict, total=False):
    """The arguments of `describe_request`: fields of `RequestLogEntry`, all optional."""

    chain_name: str
    provider_id: str
    model: str
    caller: str | None
    cost_usd: float | None
    metadata: Mapping[str, object]
    request_id: str | None
    http_status: int
    error_message: str | None
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int | None
    cache_write_tokens: int | None
    cache_write_1h_tokens: int | None
    reasoning_tokens: int | None
    prompt_audio_tokens: int | None
    completion_audio_tokens: int | None
    finish_reason: str | None
    service_tier: str | None
    response_id: str | None
    session_id: str | None
    tags: Sequence[str]


class AttemptUsage(TypedDict, total=False):
    """What an attempt took and cost: fields of `Attempt`, all optional."""

    prompt_tokens: int | None
    completion_tokens: int | None
    cached_tokens: int | None
    cache_write_tokens: int | None
    cache_write_1h_tokens: int | None
    reasoning_tokens: int | None
    prompt_audio_tokens: int | None
    completion_audio_tokens: int | None
    cost_usd: float | None
    cost_source: str | None


class Tried:
    """One attempt of the chain; its fields may be set until the response ends."""

    __slots__ = ("error_message", "http_status", "latency_ms", "model", "provider_id", "usage")

    def __init__(self, provider_id: str, model: str) -> None:
        self.provider_id = provider_id
        self.model = model
        self.http_status: int | None = None
        self.latency_ms: float | None = None
        self.error_message: str | None = None
        self.usage = AttemptUsage()

    def as_attempt(self) -> Attempt:
        """Returns the attempt as part of an entry."""
        return Attempt(
            provider_id=self.provider_id,
            model=self.model,
            http_status=self.http_status,
            latency_ms=self.latency_ms,
            error_message=self.error_message,
            **self._usage(),
        )

    def _usage(self) -> AttemptUsage:
        """What the handler set, which may be anything, under the names that there are."""
        given: object = self.usage
        known = {name: given.get(name) for name in AttemptUsage.__annotations__} if isinstance(given, Mapping) else {}
        return cast("AttemptUsage", known)


class RequestNotes:
    """Everything that the handler reported about one request."""

    def __init__(self) -> None:
        self.description = Description()
        self.attempts = 0
        # One more than a row holds, by which the log sees that it cuts the trail, and says so in the row.
        self.trail: deque[Tried] = deque(maxlen=MAX_ATTEMPTS + 1)

    def describe(self, description: Description) -> None:
        """Adds a description; later values replace earlier ones, metadata are merged."""
        before, added = self.description.get("metadata"), description.get("metadata")
        self.description.update(description)
        if isinstance(before, Mapping) and isinstance(added, Mapping):
            # A mapping of somebody else's may fail when it is read; then the later one replaces the earlier.
            with suppress(Exception):
                self.description["metadata"] = {**before, **added}
        elif added is None and before is not None:
            self.description["metadata"] = before

    def add(self, tried: Tried) -> None:
        """Counts the attempt, and keeps the last ones, of which a row holds `MAX_ATTEMPTS`."""
        self.attempts += 1
        self.trail.append(tried)


# Holds a mutable object: tasks and threads get a copy of the context, but share the object.
current_notes: ContextVar[RequestNotes | None] = ContextVar("chainlog_request_notes", default=None)


def describe_request(**description: Unpack[Description]) -> None:
    """Describes what the middleware cannot see of the current request; later calls override earlier ones.

    Does nothing outside a recorded request. Raises `TypeError` for a name that `Description` does not have.
    """
    unknown = sorted(description.keys() - Description.__annotations__.keys())
    if unknown:
        raise TypeError(
            f"describe_request() has no argument {unknown[0]!r}; it takes {', '.join(Description.__annotations__)}"
        )
    notes = current_notes.get()
    if notes is not None:
        notes.describe(description)


def record_attempt(
    *,
    provider_id: str,
    model: str,
    http_status: int | None = None,
    latency_ms: float | None = None,
    error_message: str | None = None,
    **usage: Unpack[AttemptUsage],
) -> None:
    """Adds one attempt of the chain, see `Attempt`; the last one sets the request's provider and model.

    ``latency_ms`` is in ms; ``usage`` are the tokens and the cost of this attempt. Does nothing outside a recorded
    request. Raises `TypeError` for a name that `AttemptUsage` does not have.
    """
    unknown = sorted(usage.keys() - AttemptUsage.__annotations__.keys())
    if unknown:
        raise TypeError(f"record_attempt() has no argument {unknown[0]!r}")
    tried = Tried(provider_id, model)
    tried.http_status = http_status
    tried.latency_ms = latency_ms
    tried.error_message = error_message
    tried.usage = usage
    _add(tried)


@contextmanager
def attempt(provider_id: str, model: str) -> Iterator[Tried]:
    """Records the block as an attempt of the chain: measures its time, and notes the error that ends it.

    Yields the attempt; set its `http_status`, `error_message` and `usage`, a dict of the tokens and the cost that
    `Attempt` has, in the block or after it, until the response ends.
    Outside a recorded request it records nothing.
    """
    tried = Tried(provider_id, model)
    _add(tried)
    begun = perf_counter()
    try:
        yield tried
    except BaseException as error:
        if tried.error_message is None:
            tried.error_message = name_error(error)
        raise
    finally:
        tried.latency_ms = 1_000 * (perf_counter() - begun)


def _add(tried: Tried) -> None:
    notes = current_notes.get()
    if notes is not None:
        notes.add(tried)
