"""The two sides of a call: its request and its response. Content is inspected, never stored."""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter

import msgspec

from chainlog_async.provider_responses.aws_event_stream import AwsEventReader
from chainlog_async.provider_responses.event_stream import EventReader
from chainlog_async.provider_responses.json_reader import JsonReader
from chainlog_async.provider_responses.loose_json import decode_loosely
from chainlog_async.provider_responses.response_reader import LineReader, ResponseReader

MAX_REQUEST_BYTES = 1_048_576
"""Longest request body that is parsed for the model, in bytes; otherwise the model comes from the response."""

REQUEST_ID_HEADER = b"x-request-id"

EVENT_STREAM = "text/event-stream"
AWS_EVENT_STREAM = "application/vnd.amazon.eventstream"
LINE_STREAMS = (
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
    "application/jsonlines",
    "application/x-jsonlines",
    "application/stream+json",
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
        fields = decode_loosely(_decode_request, bytes(body or b"{}"))
        if fields is not None:
            self.model = fields.model if isinstance(fields.model, str) else None
            self.stream = fields.stream is True


class ObservedResponse:
    """The response: its status, its first bytes and content, and what it reports about itself."""

    def __init__(self) -> None:
        self.status: int | None = None
        self.request_id: str | None = None
        self.is_complete = False
        self.reader: ResponseReader | None = None
        """Reads what the response reports; None for one that is compressed, or neither JSON nor a stream of it."""
        self._is_stream_type = False
        self._first_bytes: float | None = None
        self._first_content: float | None = None

    @property
    def is_stream(self) -> bool:
        """Whether the answer came in parts: by its media type, or because it is several documents of JSON."""
        return self._is_stream_type or (self.reader is not None and self.reader.is_stream)

    @property
    def first_token(self) -> float | None:
        """When the first content of a stream passed, on the monotonic clock; its first bytes if none was recognized."""
        if not self.is_stream:
            return None
        return self._first_bytes if self._first_content is None else self._first_content

    def note(self, message: Mapping[str, object]) -> None:
        """Inspects a message that the application sends."""
        if message["type"] == "http.response.start":
            self._note_start(message)
        elif message["type"] == "http.response.body":
            self._note_body(_body_of(message))
        self.is_complete = self.is_complete or is_last(message)

    def _note_start(self, message: Mapping[str, object]) -> None:
        status = message["status"]
        self.status = int(status) if isinstance(status, int) else None
        self.request_id = header(message, REQUEST_ID_HEADER)
        media_type = (header(message, b"content-type") or "").partition(";")[0].strip().lower()
        self._is_stream_type = media_type in (EVENT_STREAM, AWS_EVENT_STREAM, *LINE_STREAMS)
        if (header(message, b"content-encoding") or "identity").strip().lower() == "identity":
            self.reader = _reader_of(media_type)

    def _note_body(self, body: bytes) -> None:
        if not body:
            return
        if self.reader is not None:
            self.reader.add(body)
        if self._first_content is None:
            now = perf_counter()
            if self._first_bytes is None:
                self._first_bytes = now
            if self.reader is not None and self.reader.has_content:
                self._first_content = now


def is_last(message: Mapping[str, object]) -> bool:
    """Whether a message of the application ends its response."""
    if message["type"] in ("http.response.body", "http.response.zerocopysend"):
        return not message.get("more_body")
    # The whole file at once, as servers such as granian offer it.
    return message["type"] == "http.response.pathsend"


def _reader_of(media_type: str) -> ResponseReader | None:
    if media_type == EVENT_STREAM:
        return EventReader()
    if media_type in LINE_STREAMS:
        return LineReader()
    if media_type == AWS_EVENT_STREAM:
        return AwsEventReader()
    return JsonReader() if media_type.endswith("json") else None


def _body_of(message: Mapping[str, object]) -> bytes:
    body = message.get("body")
    return body if isinstance(body, bytes) else bytes(body) if isinstance(body, bytearray | memoryview) else b""
