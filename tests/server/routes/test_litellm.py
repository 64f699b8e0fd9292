"""`POST /v1/logs/litellm`: what LiteLLM's `generic_api` callback posts."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import anyio
import httpx
import pytest

from chainlog_async import ChainLog
from chainlog_async.integrations._litellm import posted
from chainlog_async.server import create_app
from tests.support.litellm_events import payload
from tests.support.service import count_rows, running, service_settings, serving

PATH = "/v1/logs/litellm"


def router_scenarios(folder: Path) -> dict[str, list[dict[str, object]]]:
    """The payloads of each recorded scenario of the Router, in the order of its callbacks."""
    found: dict[str, list[dict[str, object]]] = {}
    for line in (folder / "litellm_router_events.jsonl").read_text(encoding="utf-8").splitlines():
        event = json.loads(line)
        if "standard_logging_object" in event:
            found.setdefault(event["scenario"], []).append(event["standard_logging_object"])
    return found


def as_sent(payloads: list[dict[str, object]], log_format: str) -> list[str]:
    """The bodies that LiteLLM posts."""
    match log_format:
        case "json_array":
            return [json.dumps(payloads)]
        case "ndjson":
            return ["\n".join(map(json.dumps, payloads))]
        case _:
            # In parallel, so that the last may arrive first.
            return list(map(json.dumps, reversed(payloads)))


def stored(db_path: Path) -> list[dict[str, object]]:
    """The rows in the order of their end, each with the statuses of its attempts."""
    with closing(sqlite3.connect(db_path)) as connection:
        connection.row_factory = sqlite3.Row
        rows = [dict(row) for row in connection.execute("SELECT * FROM request_logs ORDER BY timestamp, id")]
    for row in rows:
        trail = row["attempt_trail"]
        row["statuses"] = [attempt.get("http_status") for attempt in json.loads(str(trail))] if trail else None
    return rows


def files_with(folder: Path, text: bytes) -> list[Path]:
    """Files in the folder, and in those in it, that hold the text."""
    return [path for path in folder.rglob("*") if path.is_file() and text in path.read_bytes()]


async def requests(client: httpx.AsyncClient) -> list[dict[str, object]]:
    """The requests in the log, once there are any."""
    while True:
        found: list[dict[str, object]] = (await client.get("/v1/requests")).json()["requests"]
        if found:
            return found
        await anyio.sleep(0.02)


async def post(client: httpx.AsyncClient, body: str | bytes) -> httpx.Response:
    """The answer to a body that LiteLLM posts."""
    return await client.post(PATH, content=body, headers={"Content-Type": "application/json"})


@pytest.mark.parametrize("log_format", ["json_array", "ndjson", "single"])
async def test_each_request_of_the_router_is_one_row(tmp_path: Path, shared_data: Path, log_format: str) -> None:
    """With all of its attempts, in whichever format they are posted, although nothing counts the attempts."""
    scenarios = router_scenarios(shared_data)
    async with serving(create_app(ChainLog(service_settings(tmp_path)))) as client:
        for payloads in scenarios.values():
            for body in as_sent(payloads, log_format):
                assert (await post(client, body)).status_code == 202
    rows = stored(tmp_path / "log.db")
    expected = {
        "primary ok": (200, None),
        "429 -> second": (200, [429, 200]),
        "429,500 -> third": (200, [429, 500, 200]),
        "all 429": (429, [429, 429, 429]),
        "429 with num_retries=2 -> second": (200, [429, 429, 429, 200]),
        "429 -> second, stream": (200, [429, 200]),
    }
    assert [(row["http_status"], row["statuses"]) for row in rows] == list(expected.values())
    assert {row["chain_name"] for row in rows} == {"primary"}
    assert [row["request_id"] for row in rows] == [payloads[-1]["litellm_call_id"] for payloads in scenarios.values()]


async def test_real_payloads_are_stored_without_their_words(tmp_path: Path, shared_data: Path) -> None:
    """A success, a failure and a stream; no prompt and no answer is in any file."""
    names = ("litellm_success", "litellm_failure", "litellm_stream_success")
    sent = [json.loads((shared_data / f"{name}.json").read_text()) for name in names]
    async with serving(create_app(ChainLog(service_settings(tmp_path)))) as client:
        assert (await post(client, json.dumps(sent))).json() == {"accepted": 3, "rejected": []}
        assert not files_with(tmp_path, b"hello there")
    rows = stored(tmp_path / "log.db")
    assert [(row["http_status"], row["prompt_tokens"], row["completion_tokens"]) for row in rows] == [
        (200, 10, 20),
        (429, 0, 0),
        (200, 9, 4),
    ]
    assert [bool(row["streamed"]) for row in rows] == [False, False, True]
    assert not files_with(tmp_path, b"hello there")


async def test_what_is_posted_again_counts_once(tmp_path: Path) -> None:
    """LiteLLM repeats a batch of which it got no answer, also to a service that was started anew meanwhile."""
    for repeated in (0, 2):
        async with serving(create_app(ChainLog(service_settings(tmp_path)))) as client:
            reply = (await post(client, json.dumps([payload("a"), None, payload("b")]))).json()
            assert reply == {"accepted": 2, "rejected": [], **({"repeated": repeated} if repeated else {})}
            assert (await post(client, json.dumps(payload("a")))).json()["repeated"] == 1
    assert count_rows(tmp_path / "log.db") == 2


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "no payload of LiteLLM"),
        ({"status": "success"}, "litellm_call_id"),
        ({"id": "x", "modelParameters": "{}", "startTime": "2026-11-22 22:57:29"}, "generic_api_use_v1"),
        ("text", "no payload of LiteLLM"),
        ({"chain_name": "fast", "provider_id": "groq"}, "no payload of LiteLLM"),
    ],
)
async def test_anything_else_is_refused_with_a_word(tmp_path: Path, body: Mapping[str, object], words: str) -> None:
    """And does not affect the others."""
    async with running(service_settings(tmp_path)) as client:
        reply = await post(client, json.dumps(body))
        assert (reply.status_code, reply.json()["accepted"]) == (400, 0)
        assert words in reply.json()["error"]["message"]
        mixed = (await post(client, json.dumps([body, payload("a")]))).json()
    assert (mixed["accepted"], [rejected["index"] for rejected in mixed["rejected"]]) == (1, [0])


async def test_a_failed_request_is_written_when_no_attempt_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a restart; a retry that comes in time is part of it."""
    monkeypatch.setattr(posted, "ORDER_S", 0.05)
    monkeypatch.setattr("chainlog_async.integrations._litellm.attempt_join.RETRY_HOLD_S", 0.1)
    async with running(service_settings(tmp_path)) as client:
        await post(client, json.dumps([payload("a", 429, at_s=0), payload("a", 500, at_s=2)]))
        found = await requests(client)
    assert [(row["httpStatus"], row["attempts"]) for row in found] == [(500, 2)]


async def test_attempts_that_wait_survive_a_stop_that_cannot_log_them(tmp_path: Path) -> None:
    """A service that is cancelled leaves them in a file; the next start logs them without any request."""
    async with running(service_settings(tmp_path)) as client:
        await post(client, json.dumps(payload("a", 429, at_s=0)))
    assert count_rows(tmp_path / "log.db") == 0
    async with serving(create_app(ChainLog(service_settings(tmp_path)))) as client:
        await post(client, json.dumps(payload("a", at_s=2)))
    assert [row["statuses"] for row in stored(tmp_path / "log.db")] == [[429, 200]]
    assert not files_with(tmp_path / "log.db.litellm", b"")
