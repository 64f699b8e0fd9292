"""``/v1/batches/…``: whatever gateways send, and however often, each row is stored at most once."""

from __future__ import annotations

import gzip
import random
from pathlib import Path
from typing import Any

import anyio
import httpx
import msgspec
import pytest

from chainlog_async.wire.batches import LINE_FIELDS, Rejection, compress
from chainlog_async.writer import guests
from tests.storage.random_log import batch_of
from tests.support.entries import entry
from tests.support.faults import another_process_holds
from tests.support.service import running, service_settings
from tests.support.writing import execute, query, stored

REFUSE = """
CREATE TRIGGER refuse BEFORE INSERT ON request_logs WHEN NEW.model = 'bad' BEGIN SELECT RAISE(ABORT, 'refused'); END
"""


async def send(client: httpx.AsyncClient, start: int, lines: bytes, writer: str = "w") -> httpx.Response:
    """Sends a batch."""
    return await client.post(f"/v1/batches/{writer}/{start}/{start + len(lines)}", content=compress(lines))


def lines_of(*models: str) -> list[bytes]:
    """One line per model."""
    return batch_of("w", 0, [entry(model=model) for model in models]).lines.splitlines(keepends=True)


async def test_a_batch_is_stored_before_it_is_answered(tmp_path: Path) -> None:
    """The answer says how far the stream is committed, and so does a question about it."""
    async with running(service_settings(tmp_path)) as client:
        lines = b"".join(lines_of("a", "b"))
        answer = {"protocol": 1, "writer": "w", "position": len(lines)}
        assert (await send(client, 0, lines)).json() == answer
        assert await stored(tmp_path / "log.db") == ["a", "b"]
        assert (await client.get("/v1/batches/w")).json() == answer
        assert (await client.get("/v1/batches/other")).json()["position"] == 0
        # Rows of other machines are no entries of this process.
        assert (await client.get("/v1/statistics")).json()["submitted"] == 0


async def test_a_row_gets_its_price_where_it_is_stored(tmp_path: Path) -> None:
    """The gateway that shipped it has no table of prices."""
    used = {"provider_id": "openai", "model": "gpt-4o", "prompt_tokens": 1_000_000, "completion_tokens": 0}
    lines = batch_of("w", 0, [entry(**used)]).lines
    async with running(service_settings(tmp_path)) as client:
        await send(client, 0, lines)
        (row,) = (await client.get("/v1/requests")).json()["requests"]
    assert row["costUsd"] > 0


@pytest.mark.parametrize("seed", range(4))
async def test_batches_with_any_borders_and_in_any_number_are_stored_once(tmp_path: Path, seed: int) -> None:
    """Parts of the stream that overlap, repeat, and arrive at the same time: each row once, in order."""
    rng = random.Random(seed)
    models = [f"m{number}" for number in range(60)]
    lines = lines_of(*models)
    ends = [sum(map(len, lines[:number])) for number in range(len(lines) + 1)]
    async with running(service_settings(tmp_path)) as client:

        async def ship(first: int, last: int) -> None:
            reply = await send(client, ends[first], b"".join(lines[first:last]))
            assert reply.json()["position"] >= ends[last]

        reached = 0
        while reached < len(lines):
            async with anyio.create_task_group() as tasks:
                until = min(reached + rng.randint(1, 12), len(lines))
                for _ in range(rng.randint(1, 4)):
                    tasks.start_soon(ship, rng.randint(max(reached - 15, 0), reached), until)
            reached = until
    assert await stored(tmp_path / "log.db") == models


async def test_a_stream_that_ended_takes_nothing_any_more(tmp_path: Path) -> None:
    """A request that was on its way for long must not be stored again when its position is forgotten."""
    async with running(service_settings(tmp_path)) as client:
        (line,) = lines_of("a")
        await send(client, 0, line)
        assert (await client.delete("/v1/batches/w")).json()["position"] == 0
        late = await send(client, 0, line)
        assert (late.status_code, late.json()["error"]["code"]) == (410, "stream_refused")
        assert await stored(tmp_path / "log.db") == ["a"]


async def test_a_row_that_the_database_refuses_costs_that_row(tmp_path: Path) -> None:
    """Its batch is refused as a whole, and the row is kept apart when the gateway has found it."""
    async with running(service_settings(tmp_path)) as client:
        await anyio.to_thread.run_sync(execute, tmp_path / "log.db", REFUSE)
        good, bad = lines_of("good", "bad")
        reply = await send(client, 0, good + bad)
        assert (reply.status_code, reply.json()["error"]["code"]) == (422, "row_refused")
        assert (await send(client, 0, good)).status_code == 200
        end = len(good + bad)
        for _ in range(2):
            rejection = msgspec.json.encode(Rejection(end, bad, "refused"))
            reply = await client.post("/v1/batches/w/rejected", content=rejection)
            assert reply.json()["position"] == end
        assert (await client.get("/health")).json()["status"] == "ok"
    rows = query(tmp_path / "log.db", "SELECT entry ->> 'model', error FROM rejected_entries")
    assert rows == [("bad", "refused (EntryRejectedError)")]
    assert await stored(tmp_path / "log.db") == ["good"]


GOOD = lines_of("a")[0]
LENGTH = len(GOOD)
BAD: dict[str, tuple[str, bytes, int, str]] = {
    "no gzip": (f"0/{LENGTH}", GOOD, 400, "invalid_encoding"),
    "cut short": (f"0/{LENGTH}", compress(GOOD)[:-5], 400, "invalid_encoding"),
    "two files": (f"0/{LENGTH}", compress(GOOD) + compress(GOOD), 400, "invalid_encoding"),
    "nothing": ("0/0", compress(b""), 400, "invalid_batch"),
    "another length": (f"0/{LENGTH + 1}", compress(GOOD), 400, "invalid_batch"),
    "backwards": (f"{LENGTH}/0", compress(GOOD), 400, "invalid_batch"),
    "no end of line": (f"0/{LENGTH - 1}", compress(GOOD[:-1]), 400, "invalid_batch"),
    "no entry": ("0/3", compress(b"[]\n"), 422, "row_refused"),
    "no JSON": (f"0/{LENGTH + 2}", compress(GOOD + b"x\n"), 422, "row_refused"),
    "too large": (f"0/{8 << 20}", gzip.compress(b"\0" * (8 << 20)), 413, "body_too_large"),
    "a bomb": (f"0/{1 << 30}", gzip.compress(b"\0" * (64 << 20)), 413, "body_too_large"),
    "fields of a newer release": (f"0/{LENGTH}?fields={LINE_FIELDS + 1}", compress(GOOD), 409, "newer_client"),
    "no position": ("x/y", compress(GOOD), 400, "invalid_parameter"),
}


async def test_what_is_no_batch_is_refused_and_harms_nobody(tmp_path: Path) -> None:
    """The service says what is wrong, stays healthy, and stores the good batch after it."""
    async with running(service_settings(tmp_path)) as client:
        for what, (place, body, status, code) in BAD.items():
            reply = await client.post(f"/v1/batches/w/{place}", content=body)
            assert (reply.status_code, reply.json()["error"]["code"]) == (status, code), what
        for body in (b"", b"{}", b'{"end": 0, "line": "", "error": ""}', b'{"end": 1, "line": "!", "error": ""}'):
            reply = await client.post("/v1/batches/w/rejected", content=body)
            assert (reply.status_code, reply.json()["error"]["code"]) == (400, "invalid_rejection")
        assert (await client.get("/health")).json()["status"] == "ok"
        assert (await send(client, 0, GOOD)).status_code == 200
    assert await stored(tmp_path / "log.db") == ["a"]


async def test_a_batch_that_begins_inside_a_stored_line_is_refused(tmp_path: Path) -> None:
    """That is another stream under the same id, and nothing of it is stored."""
    async with running(service_settings(tmp_path)) as client:
        first, second = lines_of("a", "a-longer-name")
        await send(client, 0, first)
        reply = await send(client, 0, second)
        assert (reply.status_code, reply.json()["error"]["code"]) == (410, "stream_refused")
    assert await stored(tmp_path / "log.db") == ["a"]


async def test_a_database_that_is_busy_is_said_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """503 and the lock as the reason, within the time that a batch may take; it is stored when it is sent again."""
    async with running(service_settings(tmp_path, busy_timeout_ms=50)) as client:
        await send(client, 0, GOOD)
        async with another_process_holds(tmp_path / "log.db"):
            reply = await send(client, LENGTH, GOOD)
            assert (reply.status_code, reply.json()["error"]["code"]) == (503, "database_unavailable")
            assert "database is locked (SQLITE_BUSY)" in reply.text
        statuses = [(await send(client, LENGTH, GOOD)).status_code for _ in range(40)]
        assert statuses[-1] == 200
    assert await stored(tmp_path / "log.db") == ["a", "a"]
    monkeypatch.setattr(guests, "ANSWER_TIMEOUT_S", 0.3)
    async with running(service_settings(tmp_path)) as client, another_process_holds(tmp_path / "log.db"):
        for _ in range(20):
            reply = await send(client, 2 * LENGTH, GOOD)
            assert "the log did not store it within 0.3 s: " in reply.text
            # The writer may still be busy with its start, and comes to the batch a moment later.
            if "the database does not answer; another process may hold its lock" in reply.text:
                break
        else:
            pytest.fail(reply.text)


async def test_own_entries_and_those_of_other_machines_share_the_writer(tmp_path: Path) -> None:
    """Neither starves the other."""
    async with running(service_settings(tmp_path)) as client:

        async def ship(writer: str) -> None:
            start = 0
            for number in range(20):
                (line,) = lines_of(f"{writer}-{number}")
                reply = await send(client, start, line, writer)
                start = reply.json()["position"]

        async def post() -> None:
            for number in range(20):
                body: Any = {"chain_name": "c", "provider_id": "p", "model": f"own-{number}", "http_status": 200}
                await client.post("/v1/logs", json={**body, "latency_ms": 1})

        async with anyio.create_task_group() as tasks:
            for writer in ("one", "two", "three"):
                tasks.start_soon(ship, writer)
            tasks.start_soon(post)
    models = await stored(tmp_path / "log.db")
    for writer in ("one", "two", "three", "own"):
        assert [model for model in models if model.startswith(writer)] == [f"{writer}-{n}" for n in range(20)]
