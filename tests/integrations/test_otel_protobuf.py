"""Spans in protobuf are read as OpenTelemetry's own package reads them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue

from chainlog_async.integrations._otel import protobuf_attributes
from chainlog_async.integrations._otel.protobuf_attributes import any_value, wanted_attributes
from chainlog_async.integrations.otel import UndecodableError, traces_of

TEXTS = st.text(st.characters(codec="utf-8"), max_size=300)
VALUES = st.one_of(
    st.builds(AnyValue, string_value=TEXTS),
    st.builds(AnyValue, int_value=st.integers(-(2**63), 2**63 - 1)),
    st.builds(AnyValue, bool_value=st.booleans()),
    st.builds(AnyValue, double_value=st.floats(allow_nan=False)),
    st.builds(AnyValue, bytes_value=st.binary(max_size=5)),
    st.builds(
        lambda texts: AnyValue(array_value=ArrayValue(values=[AnyValue(string_value=text) for text in texts])),
        st.lists(TEXTS, max_size=2),
    ),
    st.just(AnyValue()),
)


@given(st.dictionaries(TEXTS, VALUES, max_size=8), st.integers(0, 8))
def test_attributes_are_what_the_package_reads(items: Mapping[str, AnyValue], wanted: int) -> None:
    """Of any kind, and the second time, when they are remembered, as well."""
    names = frozenset(list(items)[:wanted])
    raw = [KeyValue(key=key, value=value).SerializeToString() for key, value in items.items()]
    expected = {key: any_value(value) for key, value in items.items() if key in names}
    for _ in range(2):
        assert wanted_attributes(raw, names) == expected


@pytest.mark.parametrize(
    "raw",
    [
        # The value before the name, no name, no value, one that is told twice, and a field that nobody knows.
        KeyValue(value=AnyValue(string_value="v")).SerializeToString() + KeyValue(key="k").SerializeToString(),
        KeyValue(value=AnyValue(string_value="v")).SerializeToString(),
        KeyValue(key="k").SerializeToString(),
        b"",
        KeyValue(key="k", value=AnyValue(int_value=5)).SerializeToString()
        + KeyValue(value=AnyValue(string_value="v")).SerializeToString(),
        KeyValue(key="k", value=AnyValue(string_value="v")).SerializeToString() + b"\x18\x01",
    ],
)
def test_an_odd_order_of_fields_is_read_too(raw: bytes) -> None:
    """As protobuf says."""
    item = KeyValue.FromString(raw)
    assert wanted_attributes([raw], frozenset({"k", ""})) == {item.key: any_value(item.value)}


@given(st.binary(max_size=60))
def test_no_bytes_break_it(noise: bytes) -> None:
    """They are spans, or refused with a word."""
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add(trace_id=b"1" * 16, span_id=b"2" * 8)
    span.attributes.add(key="gen_ai.operation.name").value.string_value = "x" * len(noise)
    for body in (noise, request.SerializeToString().replace(b"x" * len(noise), noise)):
        with suppress(UndecodableError):
            traces_of(body, is_protobuf=True)


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """And holds no attribute that nobody wants."""
    monkeypatch.setattr(protobuf_attributes, "MAX_REMEMBERED", 10)
    remembered: dict[bytes, tuple[str, object]] = {}
    monkeypatch.setattr(protobuf_attributes, "_remembered", remembered)
    for number in range(100):
        raw = [KeyValue(key=key, value=AnyValue(int_value=number)).SerializeToString() for key in ("k", "prompt")]
        assert wanted_attributes(raw, frozenset({"k"})) == {"k": number}
    assert 0 < len(remembered) <= 10
    assert {name for name, _ in remembered.values()} == {"k"}
