"""One HTTP request of a call, and its response as it passes."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

from chainlog_async.common.outcome import CANCELLED_STATUS
from chainlog_async.entry.model import Attempt
from chainlog_async.provider_responses.observed_body import ObservedBody
from chainlog_async.provider_responses.response_reader import ResponseReader

from .body_decoder import Decoder, decoder_of
from .duck_types import HttpRequest, HttpResponse
from .providers import model_in_path, provider_of
from .safety import safely

REQUEST_ID_HEADERS = ("x-request-id", "request-id", "apim-request-id")
"""Headers in which providers tell their id of a request; the last is Azure's."""

CANCELLED = "cancelled before the answer was complete"
CLOSED_EARLY = "the response was closed before the answer was complete"
BROKEN_ENCODING = "the body cannot be decompressed"


class WatchedAttempt:
    """Begins when the request is sent, and ends with the last byte of the response, or with what prevented it."""

    def __init__(self, request: HttpRequest, on_end: Callable[[], None]) -> None:
        self._on_end = on_end
        self._begun = perf_counter()
        self._latency_ms = 0.0
        self._decode: Decoder | None = None
        self._missing: int | None = None
        self._is_passed_on = False
        self.provider_id = provider_of(request.url)
        self.model = model_in_path(request.url)
        self.request_id = request.headers.get("x-request-id", "") or None
        self.http_status: int | None = None
        self.error_message: str | None = None
        self.is_timeout = False
        self.cancelled: str | None = None
        """How the program broke it off, if it did."""
        self.is_open = True
        self.body = ObservedBody(None)

    @property
    def reader(self) -> ResponseReader:
        """What was read of the response."""
        return self.body.reader or ResponseReader()

    @property
    def first_token(self) -> float | None:
        """When the first content passed, on the monotonic clock; None when the client read the body in one go."""
        return self.body.first_token if self._is_passed_on else None

    @safely
    def answer(self, response: HttpResponse) -> None:
        """Notes a response whose body is still to pass."""
        self._note_head(response)
        self._is_passed_on = True

    @safely
    def answer_whole(self, response: HttpResponse) -> None:
        """Notes a response that the client has read to its end."""
        self._note_head(response)
        self._decode = bytes
        self.add(response.content)
        self.finish()

    @safely
    def add(self, chunk: bytes) -> None:
        """Inspects the next chunk of the body, as it came from the network."""
        if self._missing is not None:
            self._missing -= len(chunk)
        if self._decode is None or not self.is_open:
            return
        try:
            chunk = self._decode(chunk)
        except Exception:  # noqa: BLE001  # each decompressor has errors of its own; the client reports them by itself
            self._decode = None
            self.error_message = BROKEN_ENCODING
        else:
            self.body.add(chunk)

    @safely
    def finish(self) -> None:
        """The body has ended."""
        if self.is_open:
            reader = self.reader
            reader.finish()
            if self.http_status is not None and self.http_status >= 400:
                self.error_message = reader.error_name
            else:
                self.error_message = self.error_message or reader.failure
            self._end()

    @safely
    def close(self) -> None:
        """The program closed the response; that is how it ends too, when everything has come."""
        if not self.is_open:
            return
        status = self.http_status or 0
        if status >= 400 or self.reader.has_ended or self._missing == 0:
            self.finish()
        else:
            self.cancelled = CLOSED_EARLY
            self._end()

    @safely
    def fail(self, error: BaseException) -> None:
        """No response came, or its body broke off."""
        if not self.is_open:
            return
        if self.reader.has_ended:
            # SDKs read on after the last event, so that the connection can be used again.
            self.finish()
            return
        if isinstance(error, Exception):
            self.error_message = type(error).__name__
            self.is_timeout = "Timeout" in self.error_message
        else:
            self.cancelled = CANCELLED
        self._end()

    def as_attempt(self, model: str, provider_id: str | None) -> Attempt:
        """Returns it as a part of an entry, with the names that are known better than from the URL."""
        status = self.http_status
        if status is None and self.cancelled is not None:
            status = CANCELLED_STATUS
        return Attempt(
            provider_id=provider_id or self.provider_id,
            model=model,
            http_status=status,
            latency_ms=self._latency_ms,
            error_message=self.error_message,
        )

    def _note_head(self, response: HttpResponse) -> None:
        headers = response.headers
        self.http_status = response.status_code
        self.request_id = next((found for name in REQUEST_ID_HEADERS if (found := headers.get(name))), self.request_id)
        self._decode = decoder_of(headers.get("content-encoding", ""))
        self.body = ObservedBody(headers.get("content-type", ""), is_readable=self._decode is not None)
        length = headers.get("content-length", "")
        self._missing = int(length) if length.isdecimal() else None

    def _end(self) -> None:
        self.is_open = False
        self._latency_ms = 1_000 * (perf_counter() - self._begun)
        self._on_end()
