"""OTLP in protobuf: traces and logs. Importing this raises `MissingExtraError` without the extra ``otel``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from chainlog_async.common.extras import install_command
from chainlog_async.errors import MissingExtraError

from . import attributes as names
from .decoded import Decoded, LogEvent, UndecodableError
from .mapping import Attributes, Event, reduced, resource_of

try:
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
    from opentelemetry.proto.common.v1.common_pb2 import KeyValue
    from opentelemetry.proto.logs.v1.logs_pb2 import ResourceLogs

    from .protobuf_attributes import any_value, wanted_attributes
    from .protobuf_schema import Event as ProtobufEvent
    from .protobuf_schema import new_request
except ModuleNotFoundError as error:
    raise MissingExtraError(
        f"OTLP in protobuf needs opentelemetry-proto; {install_command('otel')}; or let the sender use JSON: "
        "OTEL_EXPORTER_OTLP_PROTOCOL=http/json"
    ) from error

_ERROR = 2
"""``STATUS_CODE_ERROR``."""


def decode_traces(body: bytes) -> Decoded:
    """Decodes a request of spans. Raises `UndecodableError`."""
    request = new_request()
    decoded = Decoded()
    try:
        request.ParseFromString(body)
        for part in request.resource_spans:
            resource = resource_of(wanted_attributes(part.resource.attributes, names.OF_RESOURCE))
            for scoped in part.scope_spans:
                scope = scoped.scope.name
                for span in scoped.spans:
                    status = span.status
                    decoded.add(
                        reduced(
                            ids=(span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex()),
                            name=span.name,
                            times_ns=(span.start_time_unix_nano, span.end_time_unix_nano),
                            found=wanted_attributes(span.attributes, names.OF_SPAN),
                            events=[_event(event) for event in span.events if event.name in names.OF_EVENTS],
                            message=status.message,
                            failed=status.code == _ERROR,
                            resource=resource,
                            scope=scope,
                        )
                    )
    except DecodeError as error:
        raise UndecodableError(f"the body is no OTLP in protobuf: {error}") from None
    return decoded


def _event(event: ProtobufEvent) -> Event:
    return event.name, event.time_unix_nano, wanted_attributes(event.attributes, names.OF_EXCEPTION)


def _allowed(attributes: Iterable[KeyValue], allowed: frozenset[str]) -> Attributes:
    return {key: any_value(item.value) for item in attributes if (key := item.key) in allowed}


def decode_logs(body: bytes) -> list[LogEvent]:
    """Decodes the events of Claude Code in a request of log records. Raises `UndecodableError`."""
    request = ExportLogsServiceRequest()
    try:
        request.ParseFromString(body)
    except DecodeError as error:
        raise UndecodableError(f"the body is no OTLP in protobuf: {error}") from None
    return [event for part in request.resource_logs for event in _events(part)]


def _events(part: ResourceLogs) -> Iterator[LogEvent]:
    resource = resource_of(_allowed(part.resource.attributes, names.OF_RESOURCE))
    for scoped in part.scope_logs:
        for record in scoped.log_records:
            name = record.event_name or record.body.string_value
            if name in names.LOG_EVENTS:
                time_ns = record.time_unix_nano or record.observed_time_unix_nano
                yield LogEvent(name, time_ns, _allowed(record.attributes, names.OF_LOG_EVENT), resource)
