"""What a span says about a call."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chainlog_async.entry.model import RequestLogEntry
from chainlog_async.integrations._otel.joining import SpanJoin
from chainlog_async.integrations.otel import UndecodableError, traces_of
from tests.support.service import BEGIN_MS
from tests.support.spans import body, call, span


def entries(*bodies: bytes, is_protobuf: bool = False) -> list[RequestLogEntry]:
    """The requests that come of these, in order of their ends."""
    join = SpanJoin()
    for one in bodies:
        decoded = traces_of(one, is_protobuf=is_protobuf)
        assert not decoded.rejected, decoded.reason
        join.add(decoded.spans, 0)
    return sorted(join.due(1e9), key=lambda entry: (entry.timestamp, entry.request_id))


def told(**attrs: Any) -> RequestLogEntry:
    """The request of one span with exactly these attributes."""
    (entry,) = entries(body(span(**attrs)))
    return entry


CALLS_MADE = {
    "genai-openai-default": 5,
    "openllmetry-default": 5,
    "openinference-default": 5,
    "genai-anthropic": 2,
    "pydantic-ai": 2,
}


@pytest.mark.parametrize("encoding", ["pb", "json"])
@pytest.mark.parametrize("emitter", CALLS_MADE)
def test_what_real_emitters_send_gives_the_calls_that_were_made(shared_data: Path, emitter: str, encoding: str) -> None:
    """Of every emitter each call is one request, with the tokens that the provider counted."""
    folder = shared_data / "otlp" / emitter
    recorded = (folder / f"000-traces.{encoding}").read_bytes()
    sent = recorded if encoding == "pb" else json.dumps(json.loads(recorded)["body"]).encode()
    found = entries(sent, is_protobuf=encoding == "pb")
    assert len(found) == CALLS_MADE[emitter]
    for entry in found:
        counts = (entry.prompt_tokens, entry.completion_tokens, entry.cached_tokens or 0, entry.cache_write_tokens or 0)
        match entry.provider_id, entry.model:
            case "openai", "limited":
                assert (entry.http_status, counts) == (429, (0, 0, 0, 0))
            case "openai", "text-embedding-3-small":
                assert (entry.http_status, counts) == (200, (8, 0, 0, 0))
            case "openai", _:
                assert (entry.http_status, counts) == (200, (2006, 300, 1920, 0))
                # OpenLLMetry has no classes of tokens of a stream but the cached ones.
                assert entry.reasoning_tokens == 128 or (emitter.startswith("openllmetry") and entry.streamed)
            case "anthropic", _:
                assert (entry.http_status, counts) == (200, (2006, 300, 920, 1000))
                assert entry.cache_write_1h_tokens == 400
    if "openai" in {entry.provider_id for entry in found} and emitter != "pydantic-ai":
        assert {(entry.caller, entry.session_id) for entry in found} == {("team-a", "sess-1")}


CHAT = {"gen_ai__operation__name": "chat"}


@pytest.mark.parametrize(
    ("given", "field", "expected"),
    [
        ({"gen_ai__provider__name": "openai", "gen_ai__system": "other"}, "provider_id", "openai"),
        ({"gen_ai__system": "OpenAI"}, "provider_id", "openai"),
        ({"llm__provider": "groq", "llm__system": "x"}, "provider_id", "groq"),
        ({"llm__system": "openai"}, "provider_id", "openai"),
        ({}, "provider_id", "unknown"),
        ({"gen_ai__response__model": "m-1", "gen_ai__request__model": "m"}, "model", "m-1"),
        ({"gen_ai__request__model": "m"}, "model", "m"),
        ({"embedding__model_name": "e"}, "model", "e"),
        ({"llm__invocation_parameters": '{"model": "limited", "tools": ["Hidden"]}'}, "model", "limited"),
        ({"llm__invocation_parameters": "no JSON"}, "model", "unknown"),
        ({"gen_ai__usage__input_tokens": 7, "gen_ai__usage__prompt_tokens": 9}, "prompt_tokens", 7),
        ({"gen_ai__usage__prompt_tokens": 9}, "prompt_tokens", 9),
        ({"gen_ai__usage__completion_tokens": 9}, "completion_tokens", 9),
        ({"llm__token_count__completion": 9.0}, "completion_tokens", 9),
        ({"gen_ai__usage__cache_read__input_tokens": 5}, "cached_tokens", 5),
        ({"gen_ai__usage__cache_write__input_tokens": 5}, "cache_write_tokens", 5),
        ({"gen_ai__usage__cache_creation__input_tokens": 5}, "cache_write_tokens", 5),
        ({"llm__token_count__prompt_details__cache_write": 5}, "cache_write_tokens", 5),
        ({"gen_ai__usage__reasoning__output_tokens": 5}, "reasoning_tokens", 5),
        ({"gen_ai__usage__reasoning_tokens": 5}, "reasoning_tokens", 5),
        ({"llm__token_count__prompt_details__audio": 5}, "prompt_audio_tokens", 5),
        ({"gen_ai__usage__total_cost": 0.25}, "cost_usd", 0.25),
        ({"operation__cost": 0.5}, "cost_usd", 0.5),
        ({"gen_ai__usage__cost": float("nan")}, "cost_usd", None),
        ({"gen_ai__response__time_to_first_chunk": 0.02}, "ttft_ms", 20),
        ({"ai__response__msToFirstChunk": 20}, "ttft_ms", 20),
        ({"events": [("First Token Stream Event", 30.0, {})]}, "ttft_ms", 30),
        ({"events": [("gen_ai.content.completion.chunk", at, {}) for at in (50.0, 40.0)]}, "ttft_ms", 40),
        ({"gen_ai__response__finish_reasons": ["stop", "length"]}, "finish_reason", "stop"),
        ({"openai__response__service_tier": "flex"}, "service_tier", "flex"),
        ({"user__id": "team-a"}, "caller", "team-a"),
        ({"gen_ai__conversation__id": "c", "session__id": "s"}, "session_id", "c"),
        ({"session__id": "s"}, "session_id", "s"),
        ({"chainlog__chain__name": "fast", "gen_ai__agent__name": "helper"}, "chain_name", "fast"),
        ({"gen_ai__agent__name": "helper"}, "chain_name", "helper"),
        ({}, "chain_name", "gateway"),
        ({"http__request__resend_count": 2}, "attempts", 3),
        ({}, "http_status", 200),
        ({"http__response__status_code": 418}, "http_status", 418),
        ({"error": "Error code: 429 - slow down"}, "http_status", 429),
        ({"error__type": "openai.RateLimitError"}, "http_status", 429),
        ({"error__type": "404"}, "http_status", 404),
        ({"error__type": "SomethingElse"}, "http_status", 500),
        ({"error__type": "a sentence of no class"}, "http_status", 500),
        ({"error__type": "a sentence of no class"}, "error_message", "_OTHER"),
        ({"error": ""}, "http_status", 500),
        (
            {"events": [("exception", 9.0, {"exception.message": "Error code: 401 - no"})], "error": ""},
            "http_status",
            401,
        ),
        ({"gen_ai__usage__input_tokens": -1}, "prompt_tokens", 0),
        ({"gen_ai__usage__input_tokens": "12"}, "prompt_tokens", 12),
        ({"gen_ai__usage__input_tokens": 10**30}, "prompt_tokens", 0),
        ({"gen_ai__response__model": "x" * 1000}, "model", "x" * 256),
    ],
)
def test_an_attribute_is_a_field(given: dict[str, Any], field: str, expected: object) -> None:
    """Every name that emitters have used is known, and an odd value is left out."""
    assert getattr(told(**CHAT, **given), field) == expected


@pytest.mark.parametrize(
    "given",
    [
        {"gen_ai__operation__name": operation}
        for operation in ("invoke_agent", "agent_step", "execute_tool", "create_agent")
    ]
    + [{"openinference__span__kind": kind} for kind in ("AGENT", "CHAIN", "TOOL")]
    + [{"http__request__method": "POST"}],
)
def test_a_span_that_is_no_call_is_no_request(given: dict[str, Any]) -> None:
    """Agents and chains repeat the usage of their calls; they and all else give no row."""
    assert entries(body(span(**given, gen_ai__usage__input_tokens=5))) == []


@pytest.mark.parametrize(
    "given",
    [
        {"gen_ai__operation__name": operation}
        for operation in ("chat", "text_completion", "generate_content", "embeddings")
    ]
    + [{"openinference__span__kind": kind} for kind in ("LLM", "EMBEDDING")],
)
def test_a_call_is_one_request_with_its_times(given: dict[str, Any]) -> None:
    """It ends when the span does and takes as long."""
    entry = told(**given, ms=(10, 60.5))
    assert (entry.timestamp, entry.latency_ms) == (BEGIN_MS + 60, 50.5)


def test_the_text_of_an_error_is_not_kept() -> None:
    """It may quote a prompt: only the class and the status are taken, and the class only if it is one."""
    entry = told(**CHAT, error="Error code: 400 - Hidden words", error__type="Hidden words")
    assert (entry.http_status, entry.error_message) == (400, "_OTHER")


def test_a_bad_span_costs_only_itself() -> None:
    """A span that cannot be read, has no ids or lies in 1970 is counted and named; the others are taken."""
    bad = [call() | change for change in ({"spanId": ""}, {"startTimeUnixNano": "17"}, {"name": 5}, {"spanId": None})]
    decoded = traces_of(body(call("good"), *bad, 5), is_protobuf=False)
    assert ([one.span_id for one in decoded.spans], decoded.rejected) == (["good"], 5)
    assert decoded.reason


@pytest.mark.parametrize("sent", [b"", b"{}", b'{"resourceSpans": []}', b'{"resourceSpans": null}'])
def test_an_empty_request_holds_nothing(sent: bytes) -> None:
    """Senders try an address with it."""
    assert entries(sent) == []


@pytest.mark.parametrize("sent", [b"[1]", b"x", b'{"resourceSpans": 5}', b"\xff", b"[" * 100_000])
@pytest.mark.parametrize("is_protobuf", [False, True])
def test_what_is_no_otlp_is_refused(sent: bytes, is_protobuf: bool) -> None:
    """Neither as JSON nor as protobuf."""
    with pytest.raises(UndecodableError):
        traces_of(sent, is_protobuf=is_protobuf)


def test_numbers_that_are_no_json_are_read() -> None:
    """Some emitters write NaN and infinities."""
    sent = body(call(attrs={"gen_ai.usage.cost": 0.125})).replace(b"0.125", b"NaN")
    (entry,) = entries(sent)
    assert (entry.prompt_tokens, entry.cost_usd) == (20, None)


def test_protobuf_and_json_say_the_same() -> None:
    """The same span in both encodings is the same request."""
    from google.protobuf.json_format import ParseDict
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    given = call("0a0b", trace="0c0d", error="Error code: 429", attrs={"gen_ai.response.finish_reasons": ["stop"]})
    sent = json.loads(body(given))
    encoded = json.loads(body(given).replace(b'"0a0b"', b'"Cgs="').replace(b'"0c0d"', b'"DA0="'))
    message = ParseDict(encoded, ExportTraceServiceRequest()).SerializeToString()
    as_json, as_protobuf = entries(json.dumps(sent).encode()), entries(message, is_protobuf=True)
    assert as_json == as_protobuf
    assert msgspec.structs.asdict(as_json[0])["http_status"] == 429
