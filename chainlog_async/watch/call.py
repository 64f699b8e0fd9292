"""One call of a model, with all its attempts, and the entry that it becomes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from time import perf_counter

from chainlog_async.common.outcome import CANCELLED_STATUS
from chainlog_async.entry.model import MAX_ATTEMPTS, RequestLogEntry

from .attempt import CANCELLED, WatchedAttempt
from .duck_types import HttpRequest
from .options import CallDescription
from .safety import safely

NO_ANSWER_STATUS = 502
TIMEOUT_STATUS = 504


class WatchedCall:
    """A call that a program makes of its client; the client may send several requests for it, which are its attempts.

    It has ended when the client has returned or raised, and the last response has been read or closed. `on_end` is
    called then, once.
    """

    def __init__(
        self,
        description: CallDescription,
        on_end: Callable[[WatchedCall], None],
        *,
        model: str | None = None,
        is_stream_asked: bool = False,
    ) -> None:
        self._description = description
        self._on_end = on_end
        self._begun = perf_counter()
        self._model = model
        self._is_stream_asked = is_stream_asked
        self._count = 0
        # One more than a row holds, by which the log sees that it cuts the trail, and says so in the row.
        self._attempts: deque[WatchedAttempt] = deque(maxlen=MAX_ATTEMPTS + 1)
        self._is_cancelled = False
        self._has_returned = False
        self._has_ended = False

    def attempt(self, request: HttpRequest) -> WatchedAttempt:
        """Begins another attempt."""
        attempt = WatchedAttempt(request, self._end_if_over)
        self._count += 1
        self._attempts.append(attempt)
        return attempt

    @safely
    def returned(self) -> None:
        """The client has returned; a response may still be read."""
        self._has_returned = True
        self._end_if_over()

    @safely
    def failed(self, error: BaseException) -> None:
        """The client has raised."""
        self._is_cancelled = not isinstance(error, Exception)
        if self._attempts:
            self._attempts[-1].close()
        self.returned()

    def entry(self) -> RequestLogEntry:
        """Returns the call as an entry."""
        said, last = self._description, self._attempts[-1]
        reader = last.reader
        usage = reader.usage()
        cost = reader.cost()
        model = self._model or last.model or reader.model or "unknown"
        provider = said.get("provider_id") or last.provider_id
        status, message = self._outcome(last)
        first_token = last.first_token
        trail = [attempt.as_attempt(model, said.get("provider_id")) for attempt in self._attempts]
        is_told_apart = self._count > 1 or last.error_message is not None
        return RequestLogEntry(
            chain_name=said.get("chain_name") or "default",
            provider_id=provider,
            model=model,
            prompt_tokens=usage.prompt_tokens or 0,
            completion_tokens=usage.completion_tokens or 0,
            total_tokens=usage.total_tokens,
            latency_ms=1_000 * (perf_counter() - self._begun),
            http_status=status,
            attempts=self._count,
            error_message=message,
            request_id=last.request_id,
            caller=said.get("caller"),
            ttft_ms=None if first_token is None else 1_000 * (first_token - self._begun),
            cost_usd=cost,
            streamed=self._is_stream_asked if last.http_status is None else last.body.is_stream,
            cached_tokens=usage.cached_tokens,
            metadata=said.get("metadata"),
            attempt_trail=trail if is_told_apart else None,
            **reader.classes(),
            finish_reason=reader.finish_reason,
            service_tier=reader.service_tier,
            response_id=reader.response_id,
            session_id=said.get("session_id"),
            tags=said.get("tags"),
            cost_source=None if cost is None else "provider",
        )

    def _outcome(self, last: WatchedAttempt) -> tuple[int, str | None]:
        if self._is_cancelled:
            return CANCELLED_STATUS, CANCELLED
        if last.cancelled is not None:
            return CANCELLED_STATUS, last.cancelled
        if last.http_status is not None:
            return last.http_status, last.error_message
        return TIMEOUT_STATUS if last.is_timeout else NO_ANSWER_STATUS, last.error_message

    def _end_if_over(self) -> None:
        if self._has_returned and not self._has_ended and not any(attempt.is_open for attempt in self._attempts):
            self._has_ended = True
            # Without an attempt nothing was asked of a provider, such as when a key is missing.
            if self._attempts:
                self._on_end(self)
