"""The spans of a request, as the package of OpenTelemetry decodes them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from chainlog_async.otel_export.sender import _seconds_of, traces_url
from chainlog_async.otel_export.spans import request_of, spans_of
from chainlog_async.requests.model import LoggedAttempt, RequestLogRow
from tests.support.otlp_receiver import attributes_of, decoded

END_MS = 1_764_057_600_000


def row(**values: Any) -> RequestLogRow:
    """A stored request."""
    given: dict[str, Any] = {
        "id": 7,
        "timestamp": END_MS,
        "chain_name": "fast",
        "provider_id": "groq",
        "model": "m",
        "prompt_tokens": 20,
        "completion_tokens": 3,
        "total_tokens": 23,
        "latency_ms": 100,
        "http_status": 200,
        "attempts": 1,
        **dict.fromkeys(("error_message", "request_id", "caller", "ttft_ms", "cost_usd", "streamed")),
        **dict.fromkeys(("cached_tokens", "metadata", "attempt_trail")),
        **values,
    }
    return RequestLogRow(**given)


def spans(given: RequestLogRow) -> list[Span]:
    """Its spans, decoded."""
    request = json.loads(json.dumps(request_of(spans_of(given), service="gateway", version="1")))
    (part,) = decoded(request).resource_spans
    (scoped,) = part.scope_spans
    assert (scoped.scope.name, scoped.scope.version) == ("chainlog-async", "1")
    assert [(item.key, item.value.string_value) for item in part.resource.attributes] == [("service.name", "gateway")]
    return list(scoped.spans)


def test_a_request_is_a_span_by_the_conventions() -> None:
    """Of the kind client, named by operation and model, with the newest names of attributes."""
    (span,) = spans(
        row(
            cached_tokens=4,
            cache_write_tokens=5,
            reasoning_tokens=2,
            ttft_ms=12,
            streamed=True,
            finish_reason="stop",
            response_id="resp-1",
            session_id="s",
            cost_usd=0.25,
            tags=["team:a"],
        )
    )
    assert (span.name, span.kind, span.status.code) == ("chat m", Span.SPAN_KIND_CLIENT, Status.STATUS_CODE_UNSET)
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == ((END_MS - 100) * 1_000_000, END_MS * 1_000_000)
    assert (len(span.trace_id), len(span.span_id), span.parent_span_id) == (16, 8, b"")
    found = attributes_of(span)
    assert (
        found.items()
        >= {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "groq",
            "gen_ai.request.model": "m",
            "gen_ai.response.model": "m",
            "gen_ai.response.id": "resp-1",
            "gen_ai.response.time_to_first_chunk": 0.012,
            "gen_ai.request.stream": True,
            "gen_ai.conversation.id": "s",
            "gen_ai.usage.input_tokens": 20,
            "gen_ai.usage.output_tokens": 3,
            "gen_ai.usage.cache_read.input_tokens": 4,
            "gen_ai.usage.cache_write.input_tokens": 5,
            "gen_ai.usage.reasoning.output_tokens": 2,
            "http.response.status_code": 200,
            "chainlog.cost_usd": 0.25,
            "chainlog.chain.name": "fast",
        }.items()
    )
    assert (found["gen_ai.response.finish_reasons"], found["chainlog.tags"]) == (["stop"], ["team:a"])
    assert "error.type" not in found


def test_each_attempt_is_a_child() -> None:
    """In order, within the request; one without a status or a duration too."""
    trail = [
        LoggedAttempt("groq", "m", 429, 30.0, "slow down"),
        LoggedAttempt("other", "m2"),
        LoggedAttempt("azure", "gpt", 200, 500.0),
    ]
    parent, *children = spans(row(attempts=3, attempt_trail=trail))
    assert [child.parent_span_id for child in children] == [parent.span_id] * 3
    assert {child.trace_id for child in children} == {parent.trace_id}
    assert [child.name for child in children] == [
        "provider attempt groq",
        "provider attempt other",
        "provider attempt azure",
    ]
    begun = [child.start_time_unix_nano for child in children]
    assert begun == sorted(set(begun))
    assert all(child.end_time_unix_nano <= parent.end_time_unix_nano for child in children)
    assert [attributes_of(child).get("error.type") for child in children] == ["429", "_OTHER", None]
    assert [child.status.code for child in children] == [2, 2, 0]
    assert attributes_of(children[2])["gen_ai.provider.name"] == "azure.ai.openai"
    assert attributes_of(parent)["http.request.resend_count"] == 2


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [(429, "slow down", "429"), (500, "RateLimitError", "RateLimitError"), (499, None, "499")],
)
def test_a_failed_request_has_a_status(status: int, message: str | None, kind: str) -> None:
    """With its message, cut, and a class of errors that is one of few."""
    (span,) = spans(row(http_status=status, error_message=message))
    assert (span.status.code, span.status.message) == (Status.STATUS_CODE_ERROR, message or "")
    assert attributes_of(span)["error.type"] == kind


def test_a_message_is_cut() -> None:
    """It may quote anything."""
    assert len(spans(row(http_status=500, error_message="x " * 2_000))[0].status.message) == 256


def test_a_request_has_the_same_ids_again() -> None:
    """And another one has others."""
    trail = [LoggedAttempt("groq", "m"), LoggedAttempt("groq", "m")]
    first = [span.span_id for span in spans(row(attempt_trail=trail))]
    assert first == [span.span_id for span in spans(row(attempt_trail=trail))]
    assert len({*first, *(span.span_id for span in spans(row(id=8, attempt_trail=trail)))}) == 6


TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.mark.parametrize(
    ("values", "parent"),
    [
        ({"metadata": {"traceparent": f"00-{TRACE}-{SPAN}-01"}}, SPAN),
        ({"request_id": f"{TRACE}-{SPAN}"}, SPAN),
        ({"metadata": {"trace_id": "0af76519-16cd-43dd-8448-eb211c80319c"}}, ""),
    ],
)
def test_a_request_of_a_trace_is_a_span_of_it(values: dict[str, Any], parent: str) -> None:
    """Below the span that its traceparent, or its own id of a span, names."""
    (span,) = spans(row(**values))
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, parent)


@pytest.mark.parametrize("traceparent", [f"00-{'0' * 32}-{SPAN}-01", "00-1-2-3", 5, "", f"00-{TRACE}-{SPAN}-01-x"])
def test_what_is_no_trace_is_ignored(traceparent: object) -> None:
    """The ids are those of any other request."""
    assert spans(row(metadata={"traceparent": traceparent, "trace_id": "s1"}))[0].trace_id == spans(row())[0].trace_id


def test_an_embedding_is_called_so() -> None:
    """By its model, or by what LiteLLM calls it."""
    assert (
        spans(row(model="text-embedding-3-small", completion_tokens=0))[0].name == "embeddings text-embedding-3-small"
    )
    assert spans(row(metadata={"call_type": "aembedding"}, completion_tokens=0))[0].name == "embeddings m"


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("https://host:4318", "https://host:4318/v1/traces"),
        ("https://host/otlp/", "https://host/otlp/v1/traces"),
        ("https://host/v1/traces", "https://host/v1/traces"),
        ("https://host/otlp?key=1", "https://host/otlp/v1/traces?key=1"),
    ],
)
def test_the_path_of_otlp_is_added(endpoint: str, url: str) -> None:
    """Unless it is there."""
    assert traces_url(endpoint) == url


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("5", 5.0), ("99999999999", 600.0), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("soon", None), ("", None)],
)
def test_a_retry_after_is_seconds_or_a_date(header: str, seconds: float | None) -> None:
    """Anything else is as if it were not there."""
    assert _seconds_of(header) == seconds
