"""``POST /v1/logs``."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import anyio
import httpx
import pytest

from chainlog_async import ChainLog
from chainlog_async.server import create_app
from chainlog_async.server.received_ids import ReceivedIds
from chainlog_async.server.routes import ingest
from tests.support.service import BEGIN_MS, count_rows, entry, lines, running, service_settings, settled

NDJSON = {"Content-Type": "application/x-ndjson; charset=utf-8"}


async def test_one_object_is_one_entry(tmp_path: Path) -> None:
    """An object with snake_case names is accepted as an entry and can be read back."""
    async with running(service_settings(tmp_path)) as client:
        reply = await client.post("/v1/logs", json=entry(prompt_tokens=7, completion_tokens=2))
        assert (reply.status_code, reply.json()) == (202, {"accepted": 1, "rejected": []})
        await settled(client)
        assert (await client.get("/v1/stats/providers/groq")).json()["totalTokens"] == 9


async def test_camel_case_names_are_taken_too(tmp_path: Path) -> None:
    """An entry may be written with the original's names."""
    named = {"chainName": "c", "providerId": "p", "model": "m", "latencyMs": 1.5, "httpStatus": 429, "attempts": 2}
    async with running(service_settings(tmp_path)) as client:
        assert (await client.post("/v1/logs", json=named)).status_code == 202
        await settled(client)
        (row,) = (await client.get("/v1/stats/requests")).json()["requests"]
    assert {name: row[name] for name in named} == {**named, "latencyMs": 2}


async def test_bad_elements_of_an_array_cost_only_themselves(tmp_path: Path) -> None:
    """Of an array the good entries are accepted, and each bad one is named with its index and reason."""
    sent = [entry(), entry(http_status=-1), 5, entry(), {"chain_name": "c"}]
    async with running(service_settings(tmp_path)) as client:
        reply = await client.post("/v1/logs", json=sent)
        accounting = await settled(client)
    assert reply.status_code == 202
    assert reply.json()["accepted"] == accounting["written"] == 2
    assert [rejected["index"] for rejected in reply.json()["rejected"]] == [1, 2, 4]
    assert "http_status" in reply.json()["rejected"][0]["error"]


HALF_AN_EMOJI = rb'"cut \ud83d"'


async def test_half_an_emoji_costs_one_element(tmp_path: Path) -> None:
    """Of an array, the entry whose text was cut inside an emoji is rejected, and the others are accepted."""
    bad = lines(entry(model="MODEL")).replace(b'"MODEL"', HALF_AN_EMOJI)
    async with running(service_settings(tmp_path)) as client:
        reply = await client.post("/v1/logs", content=b"[" + b",".join([lines(entry()), bad, lines(entry())]) + b"]")
        accounting = await settled(client)
    assert (reply.status_code, reply.json()["accepted"], accounting["written"]) == (202, 2, 2)
    assert [rejected["index"] for rejected in reply.json()["rejected"]] == [1]
    assert "surrogate" in reply.json()["rejected"][0]["error"]


async def test_half_an_emoji_in_the_first_line_costs_one_line(tmp_path: Path) -> None:
    """NDJSON that does not say that it is is recognized by its first line, even when that one cannot be stored."""
    bad = lines(entry(model="MODEL")).replace(b'"MODEL"', HALF_AN_EMOJI)
    async with running(service_settings(tmp_path)) as client:
        reply = await client.post("/v1/logs", content=b"\n".join([bad.strip(), lines(entry()), lines(entry())]))
    assert (reply.status_code, reply.json()["accepted"]) == (202, 2)
    assert [rejected["index"] for rejected in reply.json()["rejected"]] == [0]


async def test_half_an_emoji_in_an_optional_text_costs_nothing(tmp_path: Path) -> None:
    """What a provider's error text was cut to is stored with U+FFFD, and the row says so."""
    odd = lines(entry(error_message="TEXT")).replace(b'"TEXT"', HALF_AN_EMOJI)
    async with running(service_settings(tmp_path)) as client:
        reply = await client.post("/v1/logs", content=b"[" + b",".join([lines(entry()), odd]) + b"]")
        await settled(client)
        rows = (await client.get("/v1/requests")).json()["requests"]
    assert (reply.status_code, reply.json()) == (202, {"accepted": 2, "rejected": []})
    (row,) = [row for row in rows if row.get("errorMessage")]
    assert (row["errorMessage"], row["metadata"]) == (
        "cut \N{REPLACEMENT CHARACTER}",
        {"chainlog_repaired": ["error_message"]},
    )


@pytest.mark.parametrize(
    ("number", "shape"),
    [
        ("NaN", "{}"),
        ("NaN", "{}\n{}"),
        ("NaN", "[\n{},\n{}\n]"),
        ("-Infinity", " {}\r\n"),
        ("1e400", "{}"),
        ("1e400", "[{},{}]"),
        ("-1E+999", "{}\n{}"),
        ("9" * 5_000, "[{}]"),
    ],
)
async def test_a_number_that_json_does_not_have_is_left_out(tmp_path: Path, number: str, shape: str) -> None:
    """Python, for one, writes NaN; the row is stored without it, and says so."""
    odd = json.dumps(entry(cost_usd="ODD", cached_tokens="ODD")).replace('"ODD"', number)
    async with running(service_settings(tmp_path)) as client:
        reply = await client.post("/v1/logs", content=shape.replace("{}", odd))
        await settled(client)
        rows = (await client.get("/v1/requests")).json()["requests"]
    assert (reply.status_code, reply.json()["rejected"]) == (202, [])
    assert len(rows) == shape.count("{}")
    for row in rows:
        assert (row.get("costUsd"), row.get("cachedTokens")) == (None, None)
        assert row["metadata"] == {"chainlog_repaired": ["cost_usd", "cached_tokens"]}


@pytest.mark.parametrize("number", ["NaN", "1e400"])
@pytest.mark.parametrize("field", ["latency_ms", "http_status", "timestamp"])
async def test_such_a_number_in_a_required_field_costs_its_entry(tmp_path: Path, field: str, number: str) -> None:
    """It is rejected by its index and the name of the field, and the others are accepted."""
    odd = json.dumps(entry(**{field: "ODD"})).replace('"ODD"', number)
    async with running(service_settings(tmp_path)) as client:
        reply = await client.post("/v1/logs", content=f"[{json.dumps(entry())}, {odd}]")
    assert (reply.status_code, reply.json()["accepted"]) == (202, 1)
    (rejected,) = reply.json()["rejected"]
    assert rejected["index"] == 1
    assert field in rejected["error"]


@pytest.mark.parametrize(
    "first",
    [
        lines(entry(model="MODEL")).replace(b"MODEL", b"\xff"),
        lines(entry(error_message="TEXT")).replace(b"TEXT", b"\xe9 \x80"),
        b'{"model":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"model": oops}',
        b"{'model': 'm'} \r",
    ],
    ids=["model", "text", "deep", "oops", "python"],
)
async def test_whatever_the_first_line_holds_the_others_count(tmp_path: Path, first: bytes) -> None:
    """NDJSON that does not say that it is is recognized by a first line that looks like an object."""
    async with running(service_settings(tmp_path)) as client:
        reply = await client.post("/v1/logs", content=first + b"\n" + lines(entry(), entry()))
    assert (reply.status_code, reply.json()["accepted"]) == (202, 2)
    assert [rejected["index"] for rejected in reply.json()["rejected"]] == [0]


async def test_an_entry_with_an_odd_value_is_accepted(tmp_path: Path) -> None:
    """An optional value that cannot be stored is left out, and the statistics count it under its field."""
    async with running(service_settings(tmp_path)) as client:
        reply = await client.post("/v1/logs", json=entry(cost_usd=-1, prompt_tokens=120.0))
        statistics = (await client.get("/v1/statistics")).json()
    assert (reply.status_code, reply.json()["accepted"]) == (202, 1)
    assert statistics["repaired"] == {"cost_usd": 1, "prompt_tokens": 1}


async def test_bytes_that_are_not_utf8_cost_one_element(tmp_path: Path) -> None:
    """A text that is not UTF-8 rejects the entry it is in."""
    bad = lines(entry(model="MODEL")).replace(b"MODEL", b"\xff")
    async with running(service_settings(tmp_path)) as client:
        reply = await client.post("/v1/logs", content=b"[" + bad + b"," + lines(entry()) + b"]")
    assert (reply.json()["accepted"], reply.json()["rejected"][0]["index"]) == (1, 0)


async def test_a_bad_line_costs_one_line(tmp_path: Path) -> None:
    """NDJSON may have CRLF and blank lines; a bad line is rejected under its number, counted from 0."""
    body = lines(entry(), b"", b"{oops", lines(entry()) + b"\r", b"[]", entry())
    async with running(service_settings(tmp_path)) as client:
        reply = await client.post("/v1/logs", content=body, headers=NDJSON)
    assert (reply.status_code, reply.json()["accepted"]) == (202, 3)
    assert [rejected["index"] for rejected in reply.json()["rejected"]] == [2, 4]


@pytest.mark.parametrize("end", [b"", b"\n"])
async def test_lines_are_recognised_without_their_content_type(tmp_path: Path, end: bytes) -> None:
    """A body whose first line is an object is NDJSON, whatever its Content-Type says."""
    body = lines(entry(), entry(), b"oops") + end
    async with running(service_settings(tmp_path)) as client:
        reply = await client.post("/v1/logs", content=body, headers={"Content-Type": "application/json"})
    assert reply.json()["accepted"] == 2
    assert [rejected["index"] for rejected in reply.json()["rejected"]] == [2]


async def test_pretty_printed_json_is_one_document(tmp_path: Path) -> None:
    """Line breaks inside a document do not make it NDJSON, nor does a byte order mark spoil it."""
    body = b"\xef\xbb\xbf\n" + json.dumps([entry(), entry()], indent=2).encode() + b"\n"
    async with running(service_settings(tmp_path)) as client:
        assert (await client.post("/v1/logs", content=body)).json()["accepted"] == 2


async def test_what_is_not_json_is_refused_whole(tmp_path: Path) -> None:
    """An empty body and one that is not JSON get 400 with the reason, and nothing is taken."""
    async with running(service_settings(tmp_path)) as client:
        for body, code in (
            (b"", "empty_body"),
            (b" \r\n\t", "empty_body"),
            (b"oops", "invalid_json"),
            (b"[" + lines(entry()), "invalid_json"),
            (b'{"chain_name":\n"c"', "invalid_json"),
            (b"\x00", "invalid_json"),
            (b"[" * 100_000, "invalid_json"),
        ):
            reply = await client.post("/v1/logs", content=body)
            assert (reply.status_code, reply.json()["error"]["code"]) == (400, code), body[:20]
        assert (await settled(client))["submitted"] == 0


async def test_all_rejected_is_400(tmp_path: Path) -> None:
    """When no entry was good the status says so, with the same body."""
    async with running(service_settings(tmp_path)) as client:
        reply = await client.post("/v1/logs", json=[entry(http_status=42)])
    assert (reply.status_code, reply.json()["accepted"]) == (400, 0)
    assert reply.json()["rejected"][0]["index"] == 0


async def test_an_empty_array_is_accepted(tmp_path: Path) -> None:
    """Having nothing to log is no error."""
    async with running(service_settings(tmp_path)) as client:
        reply = await client.post("/v1/logs", json=[])
    assert (reply.status_code, reply.json()) == (202, {"accepted": 0, "rejected": []})


async def test_a_reply_does_not_dwarf_its_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At most 1,000 rejections are listed, each with a reason of bounded length, and the others are counted."""
    monkeypatch.setattr(ingest, "MAX_LISTED_ERROR_CHARS", 30)
    sent = [{"x" * 10_000: 1}, *[1] * 1500]
    async with running(service_settings(tmp_path)) as client:
        answer = (await client.post("/v1/logs", json=sent)).json()
    assert (len(answer["rejected"]), answer["rejectedNotListed"]) == (1000, 501)
    assert max(len(rejected["error"]) for rejected in answer["rejected"]) == 30


async def test_a_deeply_nested_line_costs_one_line(tmp_path: Path) -> None:
    """JSON nested beyond reason is rejected like any other bad line."""
    body = lines(entry(), b'{"model":' + b"[" * 100_000 + b"]" * 100_000 + b"}")
    async with running(service_settings(tmp_path)) as client:
        reply = await client.post("/v1/logs", content=body, headers=NDJSON)
    assert (reply.json()["accepted"], reply.json()["rejected"][0]["index"]) == (1, 1)


async def test_a_full_queue_says_where_to_go_on(tmp_path: Path) -> None:
    """When the queue is full the reply says from where to send again, and doing so loses and doubles nothing."""
    settings = service_settings(tmp_path, journal=False, max_queue_size=10, busy_timeout_ms=60_000)
    entries = [entry(prompt_tokens=number) for number in range(25)]
    entries[3] = entry(model=None)
    async with running(settings) as client:
        blocker = sqlite3.connect(settings.db_path, isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        reply = await client.post("/v1/logs", json=entries)
        blocker.close()
        answer = reply.json()
        assert (reply.status_code, reply.headers["retry-after"]) == (503, "1")
        assert (answer["accepted"], answer["resendFrom"]) == (10, 11)
        assert [rejected["index"] for rejected in answer["rejected"]] == [3]
        assert answer["error"]["code"] == "queue_full"
        while (rest := answer.get("resendFrom")) is not None:
            entries = entries[rest:]
            await settled(client)
            answer = (await client.post("/v1/logs", json=entries)).json()
        await settled(client)
        rows = (await client.get("/v1/stats/requests")).json()["requests"]
    assert sorted(row["promptTokens"] for row in rows) == [*range(3), *range(4, 25)]


async def test_a_closed_log_is_503(tmp_path: Path) -> None:
    """A mounted service whose log is not open says so, and that nothing was taken."""
    app = create_app(ChainLog(service_settings(tmp_path)), already_running=True)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        reply = await client.post("/v1/logs", json=[entry()])
        read = await client.get("/v1/stats/summary")
    assert (reply.status_code, reply.json()["accepted"], reply.json()["resendFrom"]) == (503, 0, 0)
    assert (reply.json()["error"]["code"], read.status_code) == ("closed", 503)
    assert reply.headers["retry-after"]


async def test_a_large_array_lets_others_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other requests get their turn while a long array is taken in, at least once per slice of time."""
    monkeypatch.setattr(ingest, "INGEST_TURN_S", 0.0)
    turns: list[int] = []
    async with ChainLog(service_settings(tmp_path)) as chainlog, anyio.create_task_group() as tasks:
        documents = [(number, lines(entry())) for number in range(50)]

        async def watch() -> None:
            while (accepted := chainlog.statistics().submitted) < len(documents):
                turns.append(accepted)
                await anyio.lowlevel.checkpoint()

        tasks.start_soon(watch)
        intake = await ingest.take_in(chainlog, documents, ReceivedIds(chainlog.settings))
    assert intake.accepted == 50
    assert turns == list(range(1, 50))


async def test_everything_accepted_is_stored_at_the_end(tmp_path: Path) -> None:
    """What got a 202 is in the database once the service has ended, though the writer had not come to it."""
    settings = service_settings(tmp_path, flush_interval_ms=60_000)
    async with running(settings) as client:
        await client.post("/v1/logs", json=entry())
        await client.post("/v1/logs", json=[entry()] * 2500)
    assert count_rows(settings.db_path) == 2501


def posted(**values: object) -> dict[str, object]:
    """An entry as a gateway in JavaScript sends it."""
    return {
        "chainName": "fast", "providerId": "groq", "model": "m", "latencyMs": 12, "httpStatus": 200, **values,
    }  # fmt: skip


@pytest.mark.parametrize("path", ["/v1/logs", "/v1/logs/"])
async def test_a_refusal_has_the_shape_of_every_error(tmp_path: Path, path: str) -> None:
    """Where nothing is accepted, the answer has an error like all others, beside what was accepted and rejected."""
    async with running(service_settings(tmp_path)) as client:
        one = await client.post(path, json=posted(httpStatus=99))
        some = await client.post(path, json=[posted(chainName=None), {"providerId": "p"}])
    assert (one.status_code, some.status_code) == (400, 400)
    (rejected,) = one.json()["rejected"]
    assert one.json()["accepted"] == 0
    assert one.json()["error"] == {
        "message": f"the entry was not accepted: {rejected['error']}",
        "type": "invalid_request_error",
        "param": None,
        "code": "invalid_entry",
    }
    assert "httpStatus" in rejected["error"]
    assert some.json()["error"]["message"].startswith("none of 2 entries was accepted; the first: ")
    first, second = [rejected["error"] for rejected in some.json()["rejected"]]
    assert "chainName" in first
    assert second == "missing fields: chainName, model, latencyMs, httpStatus"


async def test_times_are_read_as_the_queries_read_them(tmp_path: Path) -> None:
    """A timestamp may be ISO 8601, UTC unless it says otherwise; one in seconds is refused, and only that entry."""
    at = ["2025-11-25T08:00:00.250Z", "2025-11-25T08:00", "2025-11-25T09:00:00+01:00", 1_764_057_600_000]
    async with running(service_settings(tmp_path)) as client:
        sent = [posted(timestamp=timestamp) for timestamp in (*at, 1_764_057_600)]
        reply = await client.post("/v1/logs", json=sent)
        await settled(client)
        rows = (await client.get("/v1/requests?from=2025-11-25T08:00&until=2025-11-25T08:01")).json()["requests"]
    assert (reply.status_code, reply.json()["accepted"]) == (202, 4)
    (refused,) = reply.json()["rejected"]
    assert refused["index"] == 4
    assert "as ms since the epoch is in January 1970" in refused["error"]
    assert sorted(row["timestamp"] - BEGIN_MS for row in rows) == [0, 0, 0, 250]
