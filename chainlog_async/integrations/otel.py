"""Requests from the spans of any program that is instrumented with OpenTelemetry: `SpanIntake`."""

from __future__ import annotations

from chainlog_async.chainlog import ChainLog
from chainlog_async.entry.model import RequestLogEntry

from ._otel import json_decoding
from ._otel.claude_code import entry_of_event
from ._otel.decoded import Decoded, UndecodableError
from ._otel.joining import HOLD_S, SpanJoin
from ._otel.span import Span
from .held_intake import HeldIntake

__all__ = ["Decoded", "SpanIntake", "UndecodableError", "log_entries_of", "traces_of"]


class SpanIntake(HeldIntake[Span]):
    """Takes spans in, and holds each call until its parent should have come."""

    def __init__(self, chainlog: ChainLog) -> None:
        super().__init__(chainlog, SpanJoin(hold_s=HOLD_S), Span, noun="spans", rotate_s=HOLD_S, end_ms=_end_ms)

    def take(self, body: bytes, *, is_protobuf: bool) -> Decoded:
        """Decodes spans and holds them; they survive a kill once this has returned. Call it in a thread.

        Raises `UndecodableError`, `MissingExtraError`, and `QueueFullError` when the log has no room.
        """
        decoded = traces_of(body, is_protobuf=is_protobuf)
        self.hold(decoded.spans)
        return decoded


def _end_ms(span: Span) -> int | None:
    return None if span.call is None else span.end_ns // 1_000_000


def traces_of(body: bytes, *, is_protobuf: bool) -> Decoded:
    """Decodes a request of spans. Raises `UndecodableError`, and `MissingExtraError` for protobuf without the extra."""
    if not body:
        return Decoded()
    if is_protobuf:
        from ._otel import protobuf_decoding

        return protobuf_decoding.decode_traces(body)
    return json_decoding.decode_traces(body)


def log_entries_of(body: bytes, *, is_protobuf: bool) -> list[RequestLogEntry]:
    """Returns the requests that log records tell of. Raises `UndecodableError`, and `MissingExtraError`."""
    if not body:
        return []
    if is_protobuf:
        from ._otel import protobuf_decoding

        return [entry_of_event(event) for event in protobuf_decoding.decode_logs(body)]
    return [entry_of_event(event) for event in json_decoding.decode_logs(body)]
