"""What the decoders return."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from chainlog_async.common.clock import MAX_TIMESTAMP_MS, MIN_CLEAR_TIMESTAMP_MS

from .mapping import Attributes, Resource
from .span import Span

MAX_ID_CHARS = 64
_MIN_NS = MIN_CLEAR_TIMESTAMP_MS * 1_000_000
_MAX_NS = MAX_TIMESTAMP_MS * 1_000_000


class UndecodableError(ValueError):
    """A body that is no OTLP at all."""


class LogEvent(NamedTuple):
    """A log record that tells of a call."""

    name: str
    time_ns: int
    found: Attributes
    resource: Resource


@dataclass
class Decoded:
    """The spans of a request, and how many of them cannot be used."""

    spans: list[Span] = field(default_factory=list)
    rejected: int = 0
    reason: str = ""
    """Why the first was rejected."""

    def add(self, span: Span) -> None:
        """Adds a span, unless its ids or its times are no such things."""
        if not (0 < len(span.trace_id) <= MAX_ID_CHARS and 0 < len(span.span_id) <= MAX_ID_CHARS):
            self.reject("a span has no ids")
        elif not (span.start_ns >= _MIN_NS and span.end_ns <= _MAX_NS):
            self.reject(f"span {span.span_id} is from {span.start_ns} to {span.end_ns}; give ns since the epoch")
        else:
            self.spans.append(span)

    def reject(self, reason: str) -> None:
        """Counts a span that cannot be used."""
        self.rejected += 1
        self.reason = self.reason or reason
