"""A sender that repeats what it got no answer for: `Idempotency-Key` and `entryId` make it count once."""

from __future__ import annotations

import json
import os
from pathlib import Path

import anyio
import httpx
import pytest

from chainlog_async.common.file_lock import try_lock
from chainlog_async.server import received_ids
from chainlog_async.server.received_ids import ReceivedIds, id_of
from tests.support.service import count_rows, entry, running, service_settings, settled
from tests.support.service_process import Output, process

KEY = {"Idempotency-Key": "request-1"}


async def post(client: httpx.AsyncClient, *entries: object, **headers: str) -> dict[str, object]:
    """The answer to a request with these entries."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    reply: dict[str, object] = (await client.post("/v1/logs", json=list(entries), headers=named)).json()
    return reply


async def test_a_request_with_a_key_counts_once(tmp_path: Path) -> None:
    """Each of its entries, also when some could not be stored; another key is another request."""
    sent = [entry(), entry(http_status=-1), entry()]
    async with running(service_settings(tmp_path)) as client:
        first = await post(client, *sent, Idempotency_Key="a")
        again = await post(client, *sent, Idempotency_Key="a")
        other = await post(client, *sent, Idempotency_Key="b")
        accounting = await settled(client)
    assert again == {**first, "repeated": 2}
    assert (first["accepted"], first) == (2, other)
    assert accounting["written"] == 4


@pytest.mark.parametrize("name", ["entry_id", "entryId"])
async def test_an_entry_with_an_id_counts_once(tmp_path: Path, name: str) -> None:
    """In whichever request it comes, and at whichever place; others are not touched."""
    async with running(service_settings(tmp_path)) as client:
        assert await post(client, entry(), entry(**{name: "e1"})) == {"accepted": 2, "rejected": []}
        reply = await post(client, entry(**{name: "e1"}), entry(**{name: "e2"}), Idempotency_Key="a")
        assert reply == {"accepted": 2, "rejected": [], "repeated": 1}
        assert (await settled(client))["written"] == 3


async def test_an_entry_that_was_not_accepted_may_be_sent_again(tmp_path: Path) -> None:
    """Its id is not used up."""
    async with running(service_settings(tmp_path)) as client:
        await post(client, entry(entry_id="e1", http_status=-1))
        assert await post(client, entry(entry_id="e1")) == {"accepted": 1, "rejected": []}


@pytest.mark.parametrize("entry_id", ["", "x" * 257, 5, ["e1"]])
async def test_an_id_is_a_text(tmp_path: Path, entry_id: object) -> None:
    """Anything else is refused, like an empty key."""
    async with running(service_settings(tmp_path)) as client:
        (rejected,) = (await client.post("/v1/logs", json=[entry(entry_id=entry_id)])).json()["rejected"]
        assert "entry_id" in rejected["error"]
        reply = await client.post("/v1/logs", json=entry(), headers={"Idempotency-Key": "x" * 257})
        assert (reply.status_code, reply.json()["error"]["param"]) == (400, "Idempotency-Key")


async def test_ids_survive_a_kill(tmp_path: Path) -> None:
    """What was answered before the kill counts once after it."""
    db_path = tmp_path / "log.db"
    sent = [entry(), entry(entryId="e1")]
    async with process(db_path) as killed:
        url = (await Output(killed).line()).split()[0]
        async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
            assert (await client.post("/v1/logs", json=sent, headers=KEY)).json()["accepted"] == 2
        killed.kill()
        await killed.wait()
    async with running(service_settings(tmp_path)) as client:
        reply = (await client.post("/v1/logs", json=sent, headers=KEY)).json()
        assert reply == {"accepted": 2, "rejected": [], "repeated": 2}
        await settled(client)
    assert count_rows(db_path) == 2


async def test_the_window_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest ids are known, the oldest are forgotten, in memory and in the files."""
    monkeypatch.setattr(received_ids, "MAX_IDS", 10)
    settings = service_settings(tmp_path)
    ids = [id_of("entry", str(number)) for number in range(105)]
    received = ReceivedIds(settings)
    await received.load()
    for entry_id in ids:
        received.add(entry_id)
        await received.keep()
    later = ReceivedIds(settings)
    await later.load()
    for known in (received, later):
        assert all(entry_id in known for entry_id in ids[-10:])
        assert not any(entry_id in known for entry_id in ids[:-20])
    files = [path for path in await anyio.to_thread.run_sync(os.listdir, tmp_path) if "received" in path]
    assert len(files) == 2


async def test_a_part_of_an_id_at_the_end_of_the_file_is_cut(tmp_path: Path) -> None:
    """A kill or a full disk may leave one; the ids after it are still read."""
    (tmp_path / "log.db.received").write_bytes(id_of("entry", "e1") + b"part")
    settings = service_settings(tmp_path)
    received = ReceivedIds(settings)
    await received.load()
    received.add(id_of("entry", "e2"))
    await received.keep()
    later = ReceivedIds(settings)
    await later.load()
    assert all(id_of("entry", name) in later for name in ("e1", "e2"))


async def test_two_processes_share_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever of them comes to the bound first, neither cuts off the ids of the other."""
    monkeypatch.setattr(received_ids, "MAX_IDS", 10)
    settings = service_settings(tmp_path)
    both = [ReceivedIds(settings), ReceivedIds(settings)]
    for one in both:
        await one.load()
    ids = [id_of("entry", str(number)) for number in range(43)]
    for number, entry_id in enumerate(ids):
        both[number % 2].add(entry_id)
        await both[number % 2].keep()
        later = ReceivedIds(settings)
        await later.load()
        assert all(known in later for known in ids[: number + 1][-10:]), number


async def test_another_process_that_appends_is_waited_for(tmp_path: Path) -> None:
    """What it is about to write is not taken for a part of an id."""
    settings = service_settings(tmp_path)
    received = ReceivedIds(settings)
    await received.load()
    received.add(id_of("entry", "e1"))
    async with anyio.create_task_group() as tasks:
        with (tmp_path / "log.db.received").open("ab") as other:
            assert try_lock(other.fileno())
            other.write(id_of("entry", "e2")[:8])
            other.flush()
            tasks.start_soon(received.keep)
            await anyio.sleep(0.05)
            other.write(id_of("entry", "e2")[8:])
    later = ReceivedIds(settings)
    await later.load()
    assert all(id_of("entry", name) in later for name in ("e1", "e2"))


async def test_lines_may_have_ids_too(tmp_path: Path) -> None:
    """NDJSON is no different."""
    content = b"\n".join(json.dumps(entry(entryId=f"e{number % 2}")).encode() for number in range(4))
    async with running(service_settings(tmp_path)) as client:
        reply = await client.post("/v1/logs", content=content, headers={"Content-Type": "application/x-ndjson"})
        assert reply.json() == {"accepted": 4, "rejected": [], "repeated": 2}
