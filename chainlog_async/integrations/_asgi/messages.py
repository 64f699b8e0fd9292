"""The two sides of a call: its request and its response. Content is inspected, never stored."""

from __future__ import annotations

from collections.abc import Mapping

from chainlog_async.provider_responses.observed_body import ObservedBody
from chainlog_async.provider_responses.request_fields import MAX_REQUEST_BYTES, read_request
from chainlog_async.provider_responses.response_reader import ResponseReader

REQUEST_ID_HEADER = b"x-request-id"


def header(message: Mapping[str, object], name: bytes) -> str | None:
    """Returns a header of a scope or of a response start; `name` is in lower case. None if it is missing."""
    headers = message.get("headers")
    # ASGI allows any iterable, but an iterator could be consumed only once, and the server needs it.
    if not isinstance(headers, list | tuple):
        return None
    return next((value.decode("latin-1") for key, value in headers if key.lower() == name), None)


class ObservedRequest:
    """The request: its id, its model, and whether it asks for a stream."""

    def __init__(self, scope: Mapping[str, object]) -> None:
        self.request_id = header(scope, REQUEST_ID_HEADER)
        self.model: str | None = None
        self.stream = False
        self.is_complete = False
        self._body: bytearray | None = bytearray()

    def note(self, message: Mapping[str, object]) -> None:
        """Inspects a message that the application received."""
        if message["type"] != "http.request":
            return
        if self._body is not None:
            self._body += _body_of(message)
            if len(self._body) > MAX_REQUEST_BYTES:
                self._body = None
        if not message.get("more_body"):
            self.is_complete = True
            self._read()

    def _read(self) -> None:
        body, self._body = self._body, None
        fields = read_request(bytes(body or b"{}"))
        self.model = fields.named_model()
        self.stream = fields.stream is True


class ObservedResponse:
    """The response: its status, and its body as it passes."""

    def __init__(self) -> None:
        self.status: int | None = None
        self.request_id: str | None = None
        self.is_complete = False
        self.body = ObservedBody(None)

    @property
    def reader(self) -> ResponseReader | None:
        """Reads what the response reports; None for one that is compressed, or neither JSON nor a stream of it."""
        return self.body.reader

    @property
    def is_stream(self) -> bool:
        """Whether the answer came in parts."""
        return self.body.is_stream

    @property
    def first_token(self) -> float | None:
        """When the first content of a stream passed, on the monotonic clock."""
        return self.body.first_token

    def note(self, message: Mapping[str, object]) -> None:
        """Inspects a message that the application sends."""
        if message["type"] == "http.response.start":
            self._note_start(message)
        elif message["type"] == "http.response.body":
            self.body.add(_body_of(message))
        self.is_complete = self.is_complete or is_last(message)

    def _note_start(self, message: Mapping[str, object]) -> None:
        status = message["status"]
        self.status = int(status) if isinstance(status, int) else None
        self.request_id = header(message, REQUEST_ID_HEADER)
        is_plain = (header(message, b"content-encoding") or "identity").strip().lower() == "identity"
        self.body = ObservedBody(header(message, b"content-type"), is_readable=is_plain)


def is_last(message: Mapping[str, object]) -> bool:
    """Whether a message of the application ends its response."""
    if message["type"] in ("http.response.body", "http.response.zerocopysend"):
        return not message.get("more_body")
    # The whole file at once, as servers such as granian offer it.
    return message["type"] == "http.response.pathsend"


def _body_of(message: Mapping[str, object]) -> bytes:
    body = message.get("body")
    return body if isinstance(body, bytes) else bytes(body) if isinstance(body, bytearray | memoryview) else b""
