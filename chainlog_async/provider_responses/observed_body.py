"""The body of a response as it passes: when its first content came, and what it reports."""

from __future__ import annotations

from time import perf_counter

from .aws_event_stream import AwsEventReader
from .event_stream import EventReader
from .json_reader import JsonReader
from .response_reader import LineReader, ResponseReader

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


class ObservedBody:
    """Inspects the chunks of a body and keeps none of them. Without a `reader` it only notes the times."""

    def __init__(self, content_type: str | None, *, is_readable: bool = True) -> None:
        """`content_type` is the header; a body that is not `is_readable`, such as a compressed one, is not read."""
        media_type = (content_type or "").partition(";")[0].strip().lower()
        self.reader: ResponseReader | None = _reader_of(media_type) if is_readable else None
        """Reads what the response reports; None for one that is neither JSON nor a stream of it."""
        self._is_stream_type = media_type in (EVENT_STREAM, AWS_EVENT_STREAM, *LINE_STREAMS)
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

    def add(self, chunk: bytes) -> None:
        """Inspects the next chunk."""
        if not chunk:
            return
        if self.reader is not None:
            self.reader.add(chunk)
        if self._first_content is None:
            now = perf_counter()
            if self._first_bytes is None:
                self._first_bytes = now
            if self.reader is not None and self.reader.has_content:
                self._first_content = now


def _reader_of(media_type: str) -> ResponseReader | None:
    if media_type == EVENT_STREAM:
        return EventReader()
    if media_type in LINE_STREAMS:
        return LineReader()
    if media_type == AWS_EVENT_STREAM:
        return AwsEventReader()
    return JsonReader() if media_type.endswith("json") else None
