"""The two sides of a call: its request and its response. Content is inspected, never stored."""

from __future__ import annotations

import re
from collections.abc import Mapping
from time import perf_counter

import msgspec

from .token_usage import ResponseSample

MAX_REQUEST_BYTES = 1_048_576
"""Longest request body that is parsed for the model, in bytes; otherwise the model comes from the response."""

REQUEST_ID_HEADER = b"x-request-id"

# Text, reasoning or tool arguments in an event of a stream of OpenAI, Anthropic or others; a role alone is not content.
_CONTENT = re.compile(
    rb'"(?:content|text|delta|reasoning|reasoning_content|refusal|thinking|partial_json|arguments)"\s*:\s*"[^"]'
    rb'|"tool_calls"\s*:\s*\[\s*\{'
)


class _RequestFields(msgspec.Struct):
    model: object = None
    stream: object = None


_decode_request = msgspec.json.Decoder(_RequestFields).decode


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
        try:
            fields = _decode_request(body or b"{}")
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return
        self.model = fields.model if isinstance(fields.model, str) else None
        self.stream = fields.stream is True


class ObservedResponse:
    """The response: its status, its first bytes and content, and both ends of its body."""

    def __init__(self) -> None:
        self.status: int | None = None
        self.request_id: str | None = None
        self.is_stream = False
        self.is_complete = False
        self.kept = ResponseSample()
        self._is_legible = False
        self._first_bytes: float | None = None
        self._first_content: float | None = None

    @property
    def first_token(self) -> float | None:
        """When the first content of a stream passed, on the monotonic clock; its first bytes if none was recognized."""
        return self._first_bytes if self._first_content is None else self._first_content

    def note(self, message: Mapping[str, object]) -> None:
        """Inspects a message that the application sends."""
        if message["type"] == "http.response.start":
            self._note_start(message)
        elif message["type"] == "http.response.body":
            self._note_body(_body_of(message))
            self.is_complete = not message.get("more_body")

    def _note_start(self, message: Mapping[str, object]) -> None:
        status = message["status"]
        self.status = int(status) if isinstance(status, int) else None
        self.request_id = header(message, REQUEST_ID_HEADER)
        media_type = (header(message, b"content-type") or "").partition(";")[0].strip().lower()
        self.is_stream = media_type == "text/event-stream"
        is_compressed = (header(message, b"content-encoding") or "identity").lower() != "identity"
        self._is_legible = not is_compressed and (self.is_stream or media_type.endswith("json"))

    def _note_body(self, body: bytes) -> None:
        if not body:
            return
        if self._is_legible:
            self.kept.add(body)
        if self.is_stream and self._first_content is None:
            now = perf_counter()
            if self._first_bytes is None:
                self._first_bytes = now
            if self._is_legible and _CONTENT.search(body):
                self._first_content = now


def _body_of(message: Mapping[str, object]) -> bytes:
    body = message.get("body")
    return body if isinstance(body, bytes) else bytes(body) if isinstance(body, bytearray | memoryview) else b""
