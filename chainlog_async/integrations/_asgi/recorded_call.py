"""One call of a gateway, observed as it passes through, and its entry."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from time import perf_counter
from typing import TypeVar

from chainlog_async.common.error_names import name_error
from chainlog_async.common.outcome import CANCELLED_STATUS
from chainlog_async.entry.model import Attempt, RequestLogEntry
from chainlog_async.entry.numbers import as_number
from chainlog_async.entry.text import as_text
from chainlog_async.provider_responses.response_reader import ResponseReader

from .context import Description, RequestNotes, Tried
from .messages import ObservedRequest, ObservedResponse, is_last

_T = TypeVar("_T")

# Wide enough for the types of every framework: Starlette's mappings and Litestar's typed dictionaries.
Message = Mapping[str, object]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[..., Awaitable[None]]


class RecordedCall:
    """One call between client and application: passes on every message, and inspects it."""

    def __init__(
        self, scope: Message, receive: Receive, send: Send, on_end: Callable[[RecordedCall, BaseException | None], None]
    ) -> None:
        self.notes = RequestNotes()
        self._receive = receive
        self._send = send
        self._on_end = on_end
        self._begun = perf_counter()
        self._asked = ObservedRequest(scope)
        self._answered = ObservedResponse()
        self._ahead: Message | None = None
        self._waiting = 0
        self._is_gone = False
        self._has_ended = False

    async def receive(self) -> Message:
        """Returns the server's next message to the application."""
        if self._ahead is not None:
            message, self._ahead = self._ahead, None
            return message
        self._waiting += 1
        try:
            message = await self._receive()
        finally:
            self._waiting -= 1
        self._note_received(message)
        return message

    async def send(self, message: Message) -> None:
        """Passes a message of the application on to the client."""
        ends_here = is_last(message)
        if ends_here:
            await self._check_for_disconnect()
        self._answered.note(message)
        try:
            await self._send(message)
        except OSError:
            # ASGI 2.4: how a server reports that the client has disconnected.
            self._is_gone = True
            raise
        if ends_here:
            # Not when the application returns: it may continue with background work.
            self.end()

    def end(self, error: BaseException | None = None) -> None:
        """Ends the call, with the `error` that ended it, if any; only the first call has an effect."""
        if not self._has_ended:
            self._has_ended = True
            self._on_end(self, error)

    def entry(self, error: BaseException | None, *, chain_name: str, provider_id: str) -> RequestLogEntry:
        """Returns the call as an entry; the two names are used unless the handler gave others."""
        asked, answered = self._asked, self._answered
        latency_ms = 1_000 * (perf_counter() - self._begun)
        reader = answered.reader or ResponseReader()
        reader.finish()
        first_token, usage = answered.first_token, reader.usage()
        said: Description = {
            "cached_tokens": usage.cached_tokens,
            **reader.classes(),
            "finish_reason": reader.finish_reason,
            "service_tier": reader.service_tier,
            "response_id": reader.response_id,
            **self.notes.description,
        }
        prompt, completion = said.get("prompt_tokens"), said.get("completion_tokens")
        cost = said.get("cost_usd")
        charged = reader.cost() if cost is None else None
        last = self.notes.trail[-1] if self.notes.trail else None
        status, message = self._outcome(error, reader.failure)
        provider = _name(_first(said.get("provider_id"), last and last.provider_id, provider_id))
        model = _name(_first(said.get("model"), last and last.model, asked.model, reader.model, "unknown"))
        return RequestLogEntry(
            chain_name=_name(_first(said.get("chain_name"), chain_name)),
            provider_id=provider,
            model=model,
            prompt_tokens=usage.prompt_tokens or 0 if prompt is None else prompt,
            completion_tokens=usage.completion_tokens or 0 if completion is None else completion,
            total_tokens=usage.total_tokens if prompt is None and completion is None else None,
            latency_ms=latency_ms,
            http_status=status,
            # Without a provider the gateway answered by itself, which is no provider's success or failure.
            attempts=self.notes.attempts or int(_first(said.get("provider_id")) is not None),
            error_message=message,
            request_id=_first(said.get("request_id"), answered.request_id, asked.request_id),
            caller=said.get("caller"),
            ttft_ms=None if first_token is None else 1_000 * (first_token - self._begun),
            cost_usd=cost if charged is None else charged,
            streamed=answered.is_stream if answered.status is not None else asked.stream,
            cached_tokens=said.get("cached_tokens"),
            metadata=said.get("metadata"),
            attempt_trail=self._trail(Tried(provider, model), reader.failure if status < 400 else None),
            cache_write_tokens=said.get("cache_write_tokens"),
            cache_write_1h_tokens=said.get("cache_write_1h_tokens"),
            reasoning_tokens=said.get("reasoning_tokens"),
            prompt_audio_tokens=said.get("prompt_audio_tokens"),
            completion_audio_tokens=said.get("completion_audio_tokens"),
            finish_reason=said.get("finish_reason"),
            service_tier=said.get("service_tier"),
            response_id=said.get("response_id"),
            session_id=said.get("session_id"),
            tags=said.get("tags"),
            cost_source=None if charged is None else "provider",
        )

    def _trail(self, answered: Tried, failure: str | None) -> list[Attempt] | None:
        """Returns the attempts; the last of them failed when the answer reports a failure in spite of its status."""
        trail = list(self.notes.trail)
        if failure is not None:
            if not trail:
                answered.http_status = self._answered.status
                trail.append(answered)
            trail[-1].error_message = _first(trail[-1].error_message, failure)
        return [tried.as_attempt() for tried in trail] or None

    def _outcome(self, error: BaseException | None, failure: str | None) -> tuple[int, str | None]:
        """Returns the status that the client got, and why the request failed; `failure` is what a 200 reports."""
        said = self.notes.description
        message: str | None
        if self._is_gone:
            status, message = CANCELLED_STATUS, "the client hung up"
        elif isinstance(error, asyncio.CancelledError):
            status, message = CANCELLED_STATUS, "cancelled before the answer was complete"
        elif error is not None:
            status, message = _status(said.get("http_status"), 500), name_error(error)
        elif not self._answered.is_complete or self._answered.status is None:
            status, message = (
                _status(said.get("http_status"), 500),
                "the application ended before its answer was complete",
            )
        else:
            status, message = _status(said.get("http_status"), self._answered.status), ""
            if status < 400:
                message = failure or ""
            elif self.notes.trail:
                message = self.notes.trail[-1].error_message
        return status, _first(said.get("error_message", message))

    async def _check_for_disconnect(self) -> None:
        """Detects a disconnected client when the application does not listen; servers accept its response anyway."""
        if self._waiting or self._ahead is not None or not self._asked.is_complete:
            # An application that is receiving finds out by itself, and an unread body is left to the application.
            return
        # A server may raise here; the response goes on. Not an anyio cancel scope: cancelling one would take half of
        # the time that this middleware spends on a call.
        with suppress(Exception):
            async with asyncio.timeout(0):
                self._ahead = await self._receive()
                self._note_received(self._ahead)

    def _note_received(self, message: Message) -> None:
        if message["type"] == "http.disconnect":
            self._is_gone = self._is_gone or not self._answered.is_complete
        self._asked.note(message)


def _first(*values: _T | None) -> _T | None:
    """Returns the first value that is neither None nor an empty text; a value may be of any type."""
    return next((value for value in values if value is not None and not (isinstance(value, str) and not value)), None)


def _status(given: object, real: int) -> int:
    """Returns the status that the handler gave, or the real one when it gave none that there is."""
    if isinstance(given, str) and given.isdecimal():
        given = int(given[:9])
    number = as_number(given)
    return int(number) if number is not None and 100 <= number <= 599 else real


def _name(value: object) -> str:
    """Returns a name as a text. What cannot be stored of it, the log repairs, and says so in the row."""
    # The log decodes bytes.
    return value if isinstance(value, str | bytes | bytearray) else as_text(value)  # type: ignore[return-value]  # see above
