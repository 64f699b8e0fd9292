"""OTLP's request of spans as a schema of our own, with the same bytes and the fields that are read.

An attribute is a field of bytes here instead of a message of messages: each message costs an object and three look-ups,
and a span has twenty attributes. `protobuf_attributes` reads them. Needs protobuf, which opentelemetry-proto brings.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Protocol, cast

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

_PACKAGE: Final = "chainlog.otlp"

# Message: field: number and type; a type with a capital letter is a message, and a * says that it may be repeated.
_MESSAGES: Final = {
    "Request": {"resource_spans": (1, "ResourceSpans*")},
    "ResourceSpans": {"resource": (1, "Resource"), "scope_spans": (2, "ScopeSpans*")},
    "Resource": {"attributes": (1, "bytes*")},
    "ScopeSpans": {"scope": (1, "Scope"), "spans": (2, "Span*")},
    "Scope": {"name": (1, "string")},
    "Span": {
        "trace_id": (1, "bytes"),
        "span_id": (2, "bytes"),
        "parent_span_id": (4, "bytes"),
        "name": (5, "string"),
        "start_time_unix_nano": (7, "fixed64"),
        "end_time_unix_nano": (8, "fixed64"),
        "attributes": (9, "bytes*"),
        "events": (11, "Event*"),
        "status": (15, "Status"),
    },
    "Event": {"time_unix_nano": (1, "fixed64"), "name": (2, "string"), "attributes": (3, "bytes*")},
    "Status": {"message": (2, "string"), "code": (3, "int32")},
}


class Attributed(Protocol):
    """A resource."""

    attributes: Iterable[bytes]


class Event(Protocol):
    """Something that happened during a span."""

    time_unix_nano: int
    name: str
    attributes: Iterable[bytes]


class Status(Protocol):
    """How a span ended."""

    message: str
    code: int


class Span(Protocol):
    """A span."""

    trace_id: bytes
    span_id: bytes
    parent_span_id: bytes
    name: str
    start_time_unix_nano: int
    end_time_unix_nano: int
    attributes: Iterable[bytes]
    events: Iterable[Event]
    status: Status


class Scope(Protocol):
    """An instrumentation."""

    name: str


class ScopeSpans(Protocol):
    """The spans of an instrumentation."""

    scope: Scope
    spans: Iterable[Span]


class ResourceSpans(Protocol):
    """The spans of a process."""

    resource: Attributed
    scope_spans: Iterable[ScopeSpans]


class Request(Protocol):
    """A request of spans."""

    resource_spans: Iterable[ResourceSpans]

    def ParseFromString(self, body: bytes) -> int:  # noqa: N802  # protobuf's name
        """Raises `google.protobuf.message.DecodeError`."""


def new_request() -> Request:
    """Returns an empty request."""
    return cast("Request", _request_class())


def _class() -> type:
    file = FileDescriptorProto(name="chainlog/otlp.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            plain = kind.removesuffix("*")
            label = FieldDescriptorProto.LABEL_REPEATED if plain != kind else FieldDescriptorProto.LABEL_OPTIONAL
            added = message.field.add(name=field, number=number, label=label)
            if plain[0].isupper():
                added.type = FieldDescriptorProto.TYPE_MESSAGE
                added.type_name = f".{_PACKAGE}.{plain}"
            else:
                added.type = FieldDescriptorProto.Type.Value(f"TYPE_{plain.upper()}")
    pool = DescriptorPool()
    pool.Add(file)
    return cast("type", GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Request")))


_request_class: Final = _class()
