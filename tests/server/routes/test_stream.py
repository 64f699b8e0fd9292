"""``GET /v1/requests/stream``: every new request once, resumable, bounded, and gone at the end."""

from __future__ import annotations

import json
import signal
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import anyio
import httpx
import pytest

from chainlog_async import ChainLog
from chainlog_async.server import create_app
from chainlog_async.server import live_feed as feed
from chainlog_async.server.http import streamed_reply
from chainlog_async.server.http.streamed_reply import MAX_PIECE_BYTES
from chainlog_async.server.routes import stream as events
from tests.support.entries import insert_as_original, original_row
from tests.support.raw_clients import WATCH, deaf, reached
from tests.support.service import entry, running, service_settings, serving, settled
from tests.support.service_process import Output, process

STREAM = "/v1/requests/stream"


class JournalManager:
    """The events of one open reply."""

    def __init__(self, reply: httpx.Response) -> None:
        self._lines = reply.aiter_lines()
        self.last_id = ""
        self.comments: list[str] = []

    async def next(self) -> dict[str, object]:
        """The data of the next event. Raises StopAsyncIteration at the end of the stream."""
        data, kind = "", ""
        while True:
            line = await anext(self._lines)
            name, _, value = line.partition(": ")
            match name:
                case "id":
                    self.last_id = value
                case "event":
                    kind = value
                case "data":
                    data = value
                case "" if value:
                    self.comments.append(value)
                case "" if data:
                    assert kind == "request"
                    request: dict[str, object] = json.loads(data)
                    assert str(request["id"]) == self.last_id
                    return request
                case "" | "retry":
                    pass
                case other:
                    raise AssertionError(other)

    async def reach(self, number: int | None = None) -> None:
        """Reads on up to that id, or up to any."""
        while True:
            name, _, value = (await anext(self._lines)).partition(": ")
            if not name and value:
                self.comments.append(value)
            if name == "id":
                self.last_id = value
                if number is None or int(value) == number:
                    return


@asynccontextmanager
async def watching(client: httpx.AsyncClient, query: str = "", **headers: str) -> AsyncIterator[JournalManager]:
    """A stream that has begun."""
    async with client.stream("GET", f"{STREAM}{query}", headers=headers) as reply:
        assert (reply.status_code, reply.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        stream = JournalManager(reply)
        await stream.reach()
        yield stream


async def test_new_requests_come_to_everybody_who_wants_them(tmp_path: Path) -> None:
    """Each watcher gets what its filter lets through, once and in order, and nothing that was there before."""
    async with running(service_settings(tmp_path)) as client:
        await client.post("/v1/logs", json=[entry(model="old")] * 5)
        await settled(client)
        async with watching(client) as everything, watching(client, "?status=errors&provider=groq") as errors:
            await client.post(
                "/v1/logs", json=[entry(model=f"m{n}", http_status=200 + n % 2 * 300) for n in range(1500)]
            )
            assert [(await everything.next())["model"] for _ in range(1500)] == [f"m{n}" for n in range(1500)]
            assert [(await errors.next())["model"] for _ in range(750)] == [f"m{n}" for n in range(1, 1500, 2)]
            await client.post("/v1/logs", json=entry(model="last"))
            request = await everything.next()
        assert request == (await client.get(f"/v1/requests/{request['id']}")).json()


async def test_what_another_process_writes_is_new_too(tmp_path: Path) -> None:
    """Rows that somebody else stores in the file are events as well."""
    settings = service_settings(tmp_path)
    async with running(settings) as client, watching(client) as stream:
        insert_as_original(settings.db_path, [original_row(model="theirs")])
        assert (await stream.next())["model"] == "theirs"


async def test_a_watcher_that_comes_back_misses_nothing(tmp_path: Path) -> None:
    """With Last-Event-ID the stream goes on after that event, however many came meanwhile."""
    async with running(service_settings(tmp_path)) as client:
        async with watching(client) as stream:
            await client.post("/v1/logs", json=entry())
            await stream.next()
            seen = stream.last_id
        await client.post("/v1/logs", json=[entry(model=f"m{n}") for n in range(2500)])
        await settled(client)
        async with watching(client, **{"Last-Event-ID": seen}) as stream:
            assert [(await stream.next())["model"] for _ in range(2500)] == [f"m{n}" for n in range(2500)]
            await client.post("/v1/logs", json=entry(model="live"))
            assert (await stream.next())["model"] == "live"
        async with watching(client, **{"Last-Event-ID": "999999"}) as stream:
            await client.post("/v1/logs", json=entry(model="new"))
            assert (await stream.next())["model"] == "new"


async def test_a_slow_watcher_costs_no_memory_and_misses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who reads slower than requests come gets them later, out of the database, when they are kept no more."""
    monkeypatch.setattr(feed, "MAX_FEED_KEPT_REQUESTS", 10)
    monkeypatch.setattr(feed, "MAX_FEED_PAGE_REQUESTS", 7)
    async with running(service_settings(tmp_path)) as client, watching(client) as slow, watching(client) as quick:
        text = "x" * 4000
        await client.post("/v1/logs", json=[entry(model=f"m{n}", error_message=text) for n in range(900)])
        assert [(await quick.next())["model"] for _ in range(900)] == [f"m{n}" for n in range(900)]
        assert [(await slow.next())["model"] for _ in range(900)] == [f"m{n}" for n in range(900)]


async def test_a_quiet_stream_says_that_it_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an event there is a comment now and then, with the id up to which the watcher need not look again."""
    monkeypatch.setattr(events, "HEARTBEAT_INTERVAL_S", 0.0)
    async with running(service_settings(tmp_path)) as client, watching(client, "?model=rare") as stream:
        await client.post("/v1/logs", json=[entry()] * 3 + [entry(model="rare")])
        request = await stream.next()
        assert (request["id"], request["model"]) == (4, "rare")
        await client.post("/v1/logs", json=[entry()] * 2)
        await stream.reach(6)
    assert set(stream.comments) == {"nothing new"}


async def test_the_database_is_asked_once_for_everybody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty watchers at rest cost as many questions as one: each round of them asks once."""
    rounds: list[int] = []
    ask = feed.LiveFeed._poll

    async def counted(self: feed.LiveFeed, seen: int) -> None:
        before = self._polls
        await ask(self, seen)
        rounds.append(self._polls - before)

    monkeypatch.setattr(feed.LiveFeed, "_poll", counted)
    async with running(service_settings(tmp_path)) as client, anyio.create_task_group() as tasks:

        async def watch() -> None:
            async with watching(client) as stream:
                await stream.next()

        for _ in range(20):
            tasks.start_soon(watch)
        while len(rounds) < 60:
            await anyio.lowlevel.checkpoint()
        await client.post("/v1/logs", json=entry())
    assert max(rounds) <= 2


async def test_too_many_watchers_are_sent_away(tmp_path: Path) -> None:
    """Beyond the bound a watcher gets 503, when to come again, and no connection; it may once another one has left."""
    async with running(service_settings(tmp_path, server={"max_watchers": 1})) as client:
        async with watching(client):
            reply = await client.get(STREAM)
            assert (reply.status_code, reply.json()["error"]["code"]) == (503, "too_many_streams")
            assert "server.max_watchers" in reply.json()["error"]["message"]
            assert (reply.headers["retry-after"], reply.headers["connection"]) == ("5", "close")
            await reached(client, streams_watchers=1, refused_total_watchers=1)
        while (await client.head(STREAM)).status_code == 503:
            pass
        async with watching(client):
            pass


async def test_the_bound_holds_for_watchers_that_come_at_once(tmp_path: Path) -> None:
    """Forty that come together, and none of which reads, are not more than one after another."""
    async with running(service_settings(tmp_path, server={"max_watchers": 3})) as client:
        with deaf(client.base_url, 40, WATCH):
            await reached(client, streams_watchers=3, refused_total_watchers=37, connections=4)
        await reached(client, streams_watchers=0, connections=1)


async def test_a_watcher_that_fails_leaves_its_place(tmp_path: Path) -> None:
    """An answer that never begins, because the log is closed, or of which only the headers were asked, holds none."""
    chainlog = ChainLog(service_settings(tmp_path, server={"max_watchers": 1}))
    async with chainlog, serving(create_app(chainlog, already_running=True)) as client:
        assert (await client.head(STREAM)).status_code == 200
        async with watching(client):
            pass
        await chainlog.usage.aclose()
        while (code := (await client.get(STREAM)).json()["error"]["code"]) == "too_many_streams":
            pass
        assert code == "closed"
        assert (await client.get(STREAM)).json()["error"]["code"] == "closed"


async def test_a_deaf_watcher_holds_little(tmp_path: Path) -> None:
    """Of megabytes that it does not read, one piece waits for it, whatever the size of the events."""
    big = [{"provider_id": "p", "model": "m", "error_message": "e" * 4000} for _ in range(90)]
    async with running(service_settings(tmp_path)) as client:
        for trail in (None, big):
            with deaf(client.base_url, 10, WATCH):
                await reached(client, streams_watchers=10)
                for _ in range(2):
                    posted = [entry(error_message="x " * 2000, attempt_trail=trail, attempts=90)] * 10
                    assert (await client.post("/v1/logs", json=posted * (1 if trail else 20))).status_code == 202
                    await settled(client)
                async with watching(client, **{"Last-Event-ID": "0"}) as reading:
                    for _ in range(30):
                        await reading.next()
                while not (unread := (await reached(client, streams_watchers=10))["unread_bytes"]):
                    pass
                assert unread <= 10 * MAX_PIECE_BYTES + 10_000
            await reached(client, streams_watchers=0, unread_bytes=0)


async def test_nothing_is_kept_for_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest requests are kept up to a size, and freed when the last watcher has left."""
    monkeypatch.setattr(feed, "MAX_FEED_KEPT_BYTES", 20_000)
    kept: list[tuple[int, int]] = []
    forget = feed.LiveFeed.forget

    def noted(self: feed.LiveFeed) -> None:
        held = sum(len(each.event) for each in self._kept)
        assert held == self._kept_bytes
        forget(self)
        kept.append((held, len(self._kept) + self._kept_bytes))

    monkeypatch.setattr(feed.LiveFeed, "forget", noted)
    async with running(service_settings(tmp_path)) as client:
        async with watching(client) as stream:
            await client.post("/v1/logs", json=[entry(model=f"m{n}", error_message="x " * 1000) for n in range(50)])
            assert [(await stream.next())["model"] for _ in range(50)] == [f"m{n}" for n in range(50)]
        await reached(client, streams_watchers=0)
    ((held, left),) = kept
    assert 10_000 < held <= 20_000
    assert left == 0


async def test_a_watcher_of_any_server_must_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a gateway's own server, whose connections are the gateway's, a watcher that does not read is let go too."""
    monkeypatch.setattr(streamed_reply, "WRITE_GRACE_S", 0.0)
    chainlog = ChainLog(service_settings(tmp_path, server={"write_timeout_ms": 200}))
    async with chainlog, serving(create_app(chainlog, already_running=True)) as client:
        with deaf(client.base_url, 3, WATCH):
            await reached(client, streams_watchers=3)
            while (await reached(client))["streams_watchers"]:
                await client.post("/v1/logs", json=[entry(error_message="x " * 2000)] * 300)
            await reached(client, disconnected_total_write_timeout=3, connections=0)


async def test_a_bad_id_is_refused(tmp_path: Path) -> None:
    """A Last-Event-ID that is no number, and times, which a stream of what is new has none of, are 400."""
    async with running(service_settings(tmp_path)) as client:
        reply = await client.get(STREAM, headers={"Last-Event-ID": "x"})
        assert (reply.status_code, reply.json()["error"]["param"]) == (400, "Last-Event-ID")
        reply = await client.get(f"{STREAM}?from=1h")
        assert (reply.status_code, reply.json()["error"]["param"]) == (400, "from")


async def test_a_stream_goes_on_in_another_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the rows begin anew, below the ids that were seen, new ones are shown all the same."""
    begun: list[int] = []
    begin_at = feed.LiveFeed._reset_to

    def noted(self: feed.LiveFeed, seen: int) -> None:
        begin_at(self, seen)
        begun.append(seen)

    monkeypatch.setattr(feed.LiveFeed, "_reset_to", noted)
    settings = service_settings(tmp_path)
    async with running(settings) as client:
        await client.post("/v1/logs", json=[entry()] * 20)
        await settled(client)
        async with watching(client) as stream:
            with closing(sqlite3.connect(settings.db_path)) as connection, connection:
                connection.execute("DELETE FROM request_logs")
                connection.execute("DELETE FROM sqlite_sequence WHERE name = 'request_logs'")
            while begun[-1:] != [0]:
                await anyio.lowlevel.checkpoint()
            await client.post("/v1/logs", json=entry(model="anew"))
            assert (await stream.next())["id"] == 1


async def test_a_signal_ends_the_streams_at_once(tmp_path: Path) -> None:
    """Watchers do not hold up the end of the service, and leave no error behind."""
    async with process(tmp_path / "log.db") as service:
        output = Output(service)
        url = (await output.line()).split()[0]
        async with httpx.AsyncClient(base_url=url, trust_env=False, verify=False) as client, watching(client) as stream:
            service.send_signal(signal.SIGTERM)
            with pytest.raises(StopAsyncIteration), anyio.fail_after(20):
                await stream.next()
        assert await service.wait() == 0
    logged = (tmp_path / "log.db.stderr").read_text()
    assert not any(word in logged for word in ("Traceback", "ASGI", "Exception"))


async def test_a_closed_log_ends_the_streams(tmp_path: Path) -> None:
    """In a gateway that closes its log before its server, a stream says so and ends."""
    chainlog = ChainLog(service_settings(tmp_path))
    async with chainlog:
        async with serving(create_app(chainlog, already_running=True)) as client, watching(client) as stream:
            await chainlog.usage.aclose()
            with pytest.raises(StopAsyncIteration):
                await stream.next()
        assert any("closed" in comment for comment in stream.comments)
