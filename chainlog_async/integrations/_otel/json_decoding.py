"""OTLP in JSON: traces and logs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Generic, TypeVar

import msgspec

from chainlog_async.entry.json_input import json_value
from chainlog_async.errors import InvalidEntryError

from . import attributes as names
from .decoded import Decoded, LogEvent, UndecodableError
from .mapping import Attributes, Event, Resource, Value, reduced, resource_of
from .span import Span

_T = TypeVar("_T")

_ERROR_CODES: Final = (2, "STATUS_CODE_ERROR", "2")


class _Array(msgspec.Struct, gc=False):
    values: list[_AnyValue] | None = None


class _AnyValue(msgspec.Struct, rename="camel", gc=False):
    string_value: str | None = None
    int_value: int | str | None = None
    double_value: float | str | None = None
    bool_value: bool | None = None
    array_value: _Array | None = None


class _KeyValue(msgspec.Struct, gc=False):
    key: str = ""
    value: _AnyValue | None = None


class _Attributes(msgspec.Struct, gc=False):
    attributes: list[_KeyValue] | None = None


class _Scope(msgspec.Struct, gc=False):
    name: str | None = None


class _Event(msgspec.Struct, rename="camel", gc=False):
    name: str = ""
    time_unix_nano: int | str = 0
    attributes: list[_KeyValue] | None = None


class _Status(msgspec.Struct, gc=False):
    message: str | None = None
    code: int | str | None = None


class _Span(msgspec.Struct, rename="camel", gc=False):
    trace_id: str
    span_id: str
    start_time_unix_nano: int | str
    end_time_unix_nano: int | str
    parent_span_id: str | None = None
    name: str | None = None
    attributes: list[_KeyValue] | None = None
    events: list[_Event] | None = None
    status: _Status | None = None


class _ScopeSpans(msgspec.Struct, Generic[_T], gc=False):
    scope: _Scope | None = None
    spans: list[_T] | None = None


class _ResourceSpans(msgspec.Struct, Generic[_T], gc=False, rename="camel"):
    resource: _Attributes | None = None
    scope_spans: list[_ScopeSpans[_T]] | None = None


class _Traces(msgspec.Struct, Generic[_T], gc=False, rename="camel"):
    resource_spans: list[_ResourceSpans[_T]] | None = None


class _LogRecord(msgspec.Struct, rename="camel", gc=False):
    time_unix_nano: int | str = 0
    observed_time_unix_nano: int | str = 0
    event_name: str | None = None
    body: _AnyValue | None = None
    attributes: list[_KeyValue] | None = None


class _ScopeLogs(msgspec.Struct, rename="camel", gc=False):
    log_records: list[_LogRecord] | None = None


class _ResourceLogs(msgspec.Struct, rename="camel", gc=False):
    resource: _Attributes | None = None
    scope_logs: list[_ScopeLogs] | None = None


class _Logs(msgspec.Struct, rename="camel", gc=False):
    resource_logs: list[_ResourceLogs] | None = None


_traces = msgspec.json.Decoder(_Traces[_Span])
_traces_apart = msgspec.json.Decoder(_Traces[msgspec.Raw])
_span = msgspec.json.Decoder(_Span)
_logs = msgspec.json.Decoder(_Logs)


def decode_traces(body: bytes) -> Decoded:
    """Decodes a request of spans. A span that cannot be read costs itself. Raises `UndecodableError`."""
    decoded = Decoded()
    try:
        for resource, scope, spans in _by_scope(_traces.decode(body)):
            for span in spans:
                _add(decoded, span, resource, scope)
        return decoded
    except (msgspec.DecodeError, RecursionError):
        # One of them is at fault.
        return _decoded_apart(_plain(body))


def _decoded_apart(body: bytes) -> Decoded:
    decoded = Decoded()
    try:
        parts = list(_by_scope(_traces_apart.decode(body)))
    except (msgspec.DecodeError, RecursionError) as error:
        raise UndecodableError(f"the body is no OTLP/JSON: {error}") from None
    for resource, scope, spans in parts:
        for raw in spans:
            try:
                span = _span.decode(raw)
            except (msgspec.DecodeError, RecursionError) as error:
                decoded.reject(str(error))
            else:
                _add(decoded, span, resource, scope)
    return decoded


def _plain(body: bytes) -> bytes:
    """Returns JSON without what is no JSON, such as NaN, if it can be read at all."""
    try:
        msgspec.json.decode(body, type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError):
        try:
            return msgspec.json.encode(json_value(body))
        except (InvalidEntryError, msgspec.MsgspecError, UnicodeError):
            return body
    return body


def _by_scope(traces: _Traces[_T]) -> Iterator[tuple[Resource, str, list[_T]]]:
    for part in traces.resource_spans or ():
        resource = resource_of(_allowed(part.resource.attributes if part.resource else None, names.OF_RESOURCE))
        for scoped in part.scope_spans or ():
            yield resource, (scoped.scope.name if scoped.scope else None) or "", scoped.spans or []


def _add(decoded: Decoded, span: _Span, resource: Resource, scope: str) -> None:
    try:
        decoded.add(_reduced(span, resource, scope))
    except (ValueError, OverflowError) as error:
        decoded.reject(str(error))


def _reduced(span: _Span, resource: Resource, scope: str) -> Span:
    status = span.status
    return reduced(
        ids=(span.trace_id, span.span_id, span.parent_span_id or ""),
        name=span.name or "",
        times_ns=(int(span.start_time_unix_nano), int(span.end_time_unix_nano)),
        found=_allowed(span.attributes, names.OF_SPAN),
        events=[_event(event) for event in span.events or () if event.name in names.OF_EVENTS],
        message=(status.message if status else None) or "",
        failed=status is not None and status.code in _ERROR_CODES,
        resource=resource,
        scope=scope,
    )


def _event(event: _Event) -> Event:
    return event.name, int(event.time_unix_nano), _allowed(event.attributes, names.OF_EXCEPTION)


def _allowed(attributes: list[_KeyValue] | None, allowed: frozenset[str]) -> Attributes:
    if not attributes:
        return {}
    return {item.key: _value(item.value) for item in attributes if item.key in allowed and item.value is not None}


def _value(value: _AnyValue) -> Value:
    if value.string_value is not None:
        return value.string_value
    if value.int_value is not None:
        return _whole(value.int_value)
    if value.double_value is not None:
        return value.double_value
    if value.bool_value is not None:
        return value.bool_value
    if value.array_value is not None and value.array_value.values:
        return _value(value.array_value.values[0])
    return None


def _whole(value: int | str) -> Value:
    try:
        return int(value)
    except ValueError:
        return None


def decode_logs(body: bytes) -> list[LogEvent]:
    """Decodes the events of Claude Code in a request of log records. Raises `UndecodableError`."""
    try:
        logs = _logs.decode(body)
        return [event for part in logs.resource_logs or () for event in _events(part)]
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise UndecodableError(f"the body is no OTLP/JSON: {error}") from None


def _events(part: _ResourceLogs) -> Iterator[LogEvent]:
    resource = resource_of(_allowed(part.resource.attributes if part.resource else None, names.OF_RESOURCE))
    for scoped in part.scope_logs or ():
        for record in scoped.log_records or ():
            body = record.body.string_value if record.body else None
            name = record.event_name or body or ""
            if name in names.LOG_EVENTS:
                time_ns = int(record.time_unix_nano) or int(record.observed_time_unix_nano)
                yield LogEvent(name, time_ns, _allowed(record.attributes, names.OF_LOG_EVENT), resource)
