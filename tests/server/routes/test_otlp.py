"""OTLP over HTTP: `/v1/traces`, `/v1/metrics`, and log records at `/v1/logs`."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import anyio
import anyio.lowlevel
import httpx
import pytest
from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from chainlog_async import ChainLog
from chainlog_async.integrations import otel
from chainlog_async.server import create_app
from tests.support.service import BEGIN_MS, KEY, count_rows, entry, running, service_settings, serving, settled
from tests.support.service_process import RUNNER, Output, process
from tests.support.spans import body, call, document, log_records, span

PROTOBUF = {"Content-Type": "application/x-protobuf"}
JSON = {"Content-Type": "application/json"}


@pytest.fixture(autouse=True)
def _short_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls wait for their parents for 50 ms."""
    monkeypatch.setattr(otel, "HOLD_S", 0.05)


def as_protobuf(sent: Mapping[str, object]) -> bytes:
    """A request of spans in protobuf, whose ids are those of the JSON in base64."""
    encoded: bytes = ParseDict(json.loads(json.dumps(sent)), ExportTraceServiceRequest()).SerializeToString()
    return encoded


async def rows(client: httpx.AsyncClient, number: int) -> list[dict[str, object]]:
    """The requests in the log, oldest first, once there are that many."""
    while True:
        found: list[dict[str, object]] = (await client.get("/v1/requests")).json()["requests"]
        if len(found) >= number:
            return found[::-1]
        await anyio.sleep(0.01)


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize("encoding", ["", "gzip"])
@pytest.mark.parametrize("is_protobuf", [False, True])
async def test_a_span_becomes_a_request(tmp_path: Path, method: str, encoding: str, is_protobuf: bool) -> None:
    """In JSON and protobuf, compressed or not, with POST and PUT; the answer is empty and of the same kind."""
    given = document(call("AAAA", trace="AAAA"))
    sent = as_protobuf(given) if is_protobuf else json.dumps(given).encode()
    headers = {**(PROTOBUF if is_protobuf else JSON), **({"Content-Encoding": encoding} if encoding else {})}
    async with running(service_settings(tmp_path)) as client:
        content = gzip.compress(sent) if encoding else sent
        reply = await client.request(method, "/v1/traces", content=content, headers=headers)
        assert (reply.status_code, reply.content) == (200, b"" if is_protobuf else b"{}")
        assert reply.headers["Content-Type"] == headers["Content-Type"]
        (row,) = await rows(client, 1)
    assert (row["promptTokens"], row["completionTokens"], row["chainName"]) == (20, 3, "gateway")


async def test_a_body_may_come_in_chunks(tmp_path: Path) -> None:
    """Node's exporter sends no length."""

    async def chunks() -> AsyncIterator[bytes]:
        for part in (sent[:10], sent[10:]):
            yield part

    sent = body(call())
    async with running(service_settings(tmp_path)) as client:
        assert (await client.post("/v1/traces", content=chunks(), headers=JSON)).json() == {}
        await rows(client, 1)


@pytest.mark.parametrize("sent", [b"", b"{}", b'{"resourceSpans":[]}'])
@pytest.mark.parametrize("path", ["/v1/traces", "/v1/metrics"])
async def test_an_empty_request_is_a_success(tmp_path: Path, path: str, sent: bytes) -> None:
    """With it senders test whether an address answers."""
    async with running(service_settings(tmp_path)) as client:
        assert (await client.post(path, content=sent, headers=JSON)).status_code == 200
        assert (await client.post(path, content=b"", headers=PROTOBUF)).status_code == 200


async def test_what_is_left_out_is_a_partial_success(tmp_path: Path) -> None:
    """The others are taken, and the answer says how many were not, and why."""
    given = document(call("AAAA", trace="AAAA"), call("BBBB", trace="AAAA") | {"startTimeUnixNano": "17"})
    async with running(service_settings(tmp_path)) as client:
        reply = (await client.post("/v1/traces", json=given)).json()["partialSuccess"]
        binary = await client.post("/v1/traces", content=as_protobuf(given), headers=PROTOBUF)
        await rows(client, 1)
    partial = ExportTraceServiceResponse.FromString(binary.content).partial_success
    assert (reply["rejectedSpans"], partial.rejected_spans) == ("1", 1)
    assert "give ns since the epoch" in reply["errorMessage"]
    assert "give ns since the epoch" in partial.error_message


@pytest.mark.parametrize(
    ("sent", "headers", "status", "code"),
    [
        (b"[1]", JSON, 400, "invalid_otlp"),
        (gzip.compress(b" " * 5_000_000), {**JSON, "Content-Encoding": "gzip"}, 413, "body_too_large"),
        (b"x", {**JSON, "Content-Encoding": "gzip"}, 400, "invalid_encoding"),
        (b"x", {**JSON, "Content-Encoding": "br"}, 415, "unsupported_encoding"),
    ],
)
async def test_what_cannot_be_taken_is_refused(
    tmp_path: Path, sent: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    """With the status that exporters go by."""
    async with running(service_settings(tmp_path)) as client:
        reply = await client.post("/v1/traces", content=sent, headers=headers)
        assert (reply.status_code, reply.json()["error"]["code"]) == (status, code)
        binary = await client.post("/v1/traces", content=sent, headers={**headers, **PROTOBUF})
        assert (binary.status_code, binary.headers["Content-Type"]) == (status, PROTOBUF["Content-Type"])


async def test_without_the_extra_protobuf_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says what to install, and JSON needs nothing."""
    for name in [name for name in sys.modules if name.startswith("opentelemetry.proto")]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "chainlog_async.integrations._otel.protobuf_decoding", raising=False)
    monkeypatch.delattr("chainlog_async.integrations._otel.protobuf_decoding", raising=False)
    async with running(service_settings(tmp_path)) as client:
        reply = await client.post("/v1/traces", content=b"\n\0", headers=PROTOBUF)
        assert (reply.status_code, b"otel" in reply.content) == (501, True)
        assert (await client.post("/v1/traces", json=document(call()))).status_code == 200


async def test_log_records_are_told_apart_from_entries(tmp_path: Path) -> None:
    """At the same address: by protobuf, or by `resourceLogs`; an entry that only speaks of it is an entry."""
    async with running(service_settings(tmp_path)) as client:
        assert (await client.post("/v1/logs", json=log_records(("anything", {})))).json() == {}
        binary = ExportLogsServiceRequest().SerializeToString()
        reply = await client.post("/v1/logs", content=binary, headers=PROTOBUF)
        assert (reply.status_code, reply.content) == (200, b"")
        assert ExportLogsServiceResponse.FromString(reply.content) is not None
        reply = await client.post("/v1/logs", json=entry(metadata={"resourceLogs": []}))
        assert reply.json() == {"accepted": 1, "rejected": []}
        assert (await settled(client))["submitted"] == 1


CLAUDE = {
    "event.name": "api_request",
    "model": "claude-sonnet-4-5",
    "input_tokens": "86",
    "output_tokens": "300",
    "cache_read_tokens": "920",
    "cache_creation_tokens": "1000",
    "cost_usd": "0.009684",
    "duration_ms": "1234",
    "session.id": "session-1",
    "user.email": "a@example.invalid",
    "request_id": "req_1",
    "prompt": "Hidden",
}


async def test_requests_of_claude_code_become_rows(tmp_path: Path) -> None:
    """With all tokens of the prompt, cost and session, once; failures too, and nothing of a prompt."""
    failed = {"model": "claude-sonnet-4-5", "status_code": "529", "error": "Hidden", "attempt": 3}
    given = log_records(
        ("claude_code.api_request", CLAUDE),
        ("claude_code.user_prompt", {"prompt": "Hidden"}),
        ("claude_code.api_error", failed),
        service__name="claude-code",
    )
    later = json.loads(json.dumps(given).replace("req_1", "req_2"))
    binary = ParseDict(later, ExportLogsServiceRequest()).SerializeToString()
    async with running(service_settings(tmp_path)) as client:
        assert (await client.post("/v1/logs", json=given)).json() == {}
        assert (await client.post("/v1/logs", content=binary, headers=PROTOBUF)).content == b""
        assert (await client.post("/v1/logs", json=log_records(("claude_code.api_request", CLAUDE)))).json() == {}
        assert (await settled(client))["submitted"] == 4
        found = await rows(client, 4)
    for number, (row, error) in enumerate((found[:2], found[2:]), 1):
        assert (row["promptTokens"], row["cachedTokens"], row["cacheWriteTokens"]) == (2006, 920, 1000)
        assert (row["completionTokens"], row["costUsd"], row["latencyMs"]) == (300, 0.009684, 1234)
        assert (row["sessionId"], row["caller"], row["requestId"]) == (
            "session-1",
            "a@example.invalid",
            f"req_{number}",
        )
        assert (row["chainName"], row["providerId"], row["timestamp"]) == ("claude-code", "anthropic", BEGIN_MS)
        assert (error["httpStatus"], error["attempts"], error["errorMessage"]) == (529, 3, "api_error")
    assert not files_with(tmp_path, b"Hidden")


def files_with(folder: Path, word: bytes) -> list[Path]:
    """The files in which a word is."""
    return [path for path in folder.rglob("*") if path.is_file() and word in path.read_bytes()]


CONTENT = [
    "gen_ai.input.messages",
    "gen_ai.output.messages",
    "gen_ai.system_instructions",
    "gen_ai.tool.definitions",
    "gen_ai.prompt.0.content",
    "gen_ai.completion.0.content",
    "llm.input_messages.0.message.content",
    "llm.output_messages.0.message.content",
    "input.value",
    "output.value",
    "llm.prompts",
    "llm.tools.0.tool.json_schema",
    "embedding.embeddings.0.embedding.text",
    "pydantic_ai.all_messages",
    "final_result",
    "request_data",
    "response_data",
    "ai.prompt",
    "ai.response.text",
    "traceloop.entity.input",
    "exception.stacktrace",
]


async def test_no_word_of_a_prompt_is_in_any_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not while spans wait, not in the journal, the database or a log line: whatever the emitter sends, and where."""
    monkeypatch.setattr(otel, "HOLD_S", 0.3)
    hidden = dict.fromkeys(CONTENT, "Hidden words") | {"llm.invocation_parameters": '{"tools": ["Hidden words"]}'}
    told = {"gen_ai.prompt": "Hidden words", "exception.message": "Hidden words", "exception.type": "Hidden words"}
    events = [("gen_ai.user.message", 5.0, told), ("exception", 6.0, told)]
    given = document(
        call("AAAA", trace="AAAA", attrs=hidden, events=events, error="Hidden words", name="Hidden words"),
        span("BBBB", trace="AAAA", attrs=hidden, name="Hidden words"),
        hidden="Hidden words",
    )
    async with running(service_settings(tmp_path)) as client:
        await client.post("/v1/traces", json=given)
        await client.post("/v1/traces", content=as_protobuf(given), headers=PROTOBUF)
        assert any(path.parent.name == "log.db.spans" for path in files_with(tmp_path, b"AAAA"))
        assert not files_with(tmp_path, b"Hidden")
        await rows(client, 2)
        assert not files_with(tmp_path, b"Hidden")


async def test_a_parent_that_comes_later_is_the_same_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In another request: one row, which is logged when the service stops, at the latest."""
    monkeypatch.setattr(otel, "HOLD_S", 60)
    async with serving(create_app(ChainLog(service_settings(tmp_path)))) as client:
        await client.post("/v1/traces", json=document(call("inner", "outer", ms=(10, 20))))
        await client.post("/v1/traces", json=document(call("outer"), scope="framework"))
        assert (await client.get("/v1/requests")).json()["requests"] == []
    assert count_rows(tmp_path / "log.db") == 1
    assert not files_with(tmp_path / "log.db.spans", b"")


async def test_a_service_that_is_cancelled_leaves_spans_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its log is closed before they can be logged; the next start logs them without any request."""
    monkeypatch.setattr(otel, "HOLD_S", 60)
    async with running(service_settings(tmp_path)) as client:
        await client.post("/v1/traces", json=document(call()))
    assert count_rows(tmp_path / "log.db") == 0
    monkeypatch.setattr(otel, "HOLD_S", 0.05)
    async with running(service_settings(tmp_path)) as client:
        await rows(client, 1)


async def submitted(client: httpx.AsyncClient) -> None:
    """Wait until a request was submitted."""
    while not (await client.get("/v1/statistics")).json()["submitted"]:
        await anyio.lowlevel.checkpoint()


SHORT_HOLD = "from chainlog_async.integrations import otel\notel.HOLD_S = {hold_s}\n"


async def test_a_kill_loses_no_span_and_doubles_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waited is logged after the next start, once, also what was logged just before the kill."""
    monkeypatch.setattr("tests.support.service_process.RUNNER", SHORT_HOLD.format(hold_s=1) + RUNNER)
    db_path = tmp_path / "log.db"
    async with process(db_path) as killed:
        url = (await Output(killed).line()).split()[0]
        async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
            await client.post("/v1/traces", json=document(call("inner", "outer", ms=(10, 20))))
            await submitted(client)
            await client.post("/v1/traces", json=document(call("other", trace="t2")))
        killed.kill()
        await killed.wait()
    async with running(service_settings(tmp_path)) as client:
        await rows(client, 2)
    assert count_rows(db_path) == 2
    assert not files_with(tmp_path / "log.db.spans", b"")


async def test_spans_that_cannot_be_kept_in_a_file_are_kept_in_memory(tmp_path: Path) -> None:
    """A folder that cannot be made costs no span."""
    (tmp_path / "log.db.spans").write_bytes(b"")
    async with running(service_settings(tmp_path)) as client:
        assert (await client.post("/v1/traces", json=document(call()))).status_code == 200
        await rows(client, 1)


async def test_a_key_is_needed(tmp_path: Path) -> None:
    """The same as for entries."""
    settings = service_settings(tmp_path, server={"api_keys": [KEY]})
    async with running(settings, key=KEY) as client:
        for path in ("/v1/traces", "/v1/metrics"):
            assert (await client.post(path, content=b"", headers={"Authorization": ""})).status_code == 401
            assert (await client.post(path, content=b"")).status_code == 200
