"""Connections to `chainlog serve`: how many, how long they may keep it waiting, and what they may hold."""

from __future__ import annotations

import json
import resource
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import anyio
import httpx
import pytest
from anyio.abc import SocketStream

from chainlog_async.server import connections
from chainlog_async.settings import Settings
from tests.support.raw_clients import WATCH, connected, deaf, reached, rest_of
from tests.support.service import entry, running, service_settings, settled

HALF_HEADERS = b"GET /health HTTP/1.1\r\nHost: loc"
HALF_BODY = b"POST /v1/logs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n["
HEALTH = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
NOT_BODY = b"GET /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n"
EXPORT = b"GET /v1/requests/export?format=jsonl HTTP/1.1\r\nHost: localhost\r\n\r\n"
PAGE = b"GET /v1/requests?limit=500 HTTP/1.1\r\nHost: localhost\r\n\r\n"


@asynccontextmanager
async def limited(folder: Path, **server: int) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a service with these limits."""
    async with running(service_settings(folder, server=server)) as client:
        yield client


def told(answer: bytes) -> tuple[int, str]:
    """The status of an answer, and the code of its error."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"connection: close" in head.lower()
    return int(head.split()[1]), json.loads(body)["error"]["code"]


async def dripped(stream: SocketStream, sent: bytes) -> None:
    """Sends these bytes again and again until the service has closed the connection."""
    with suppress(anyio.BrokenResourceError):
        while True:
            await stream.send(sent)
            await anyio.sleep(0.01)


# Time


async def test_headers_that_do_not_come_are_408(tmp_path: Path) -> None:
    """A client that sends a part of its headers is told so and closed; one that has sent nothing is closed."""
    async with limited(tmp_path, header_timeout_ms=50) as client, connected(client, HALF_HEADERS) as stream:
        assert told(await rest_of(stream)) == (408, "header_timeout")
        async with connected(client) as silent:
            assert await rest_of(silent) == b""
        await reached(client, disconnected_total_header_timeout=2, connections=1)


async def test_headers_in_drops_have_no_more_time(tmp_path: Path) -> None:
    """The time for headers does not start again with every byte."""
    async with limited(tmp_path, header_timeout_ms=50) as client, connected(client, HALF_HEADERS) as stream:
        await dripped(stream, b"x")
        await reached(client, disconnected_total_header_timeout=1)


async def test_headers_of_a_second_request_have_a_limit_too(tmp_path: Path) -> None:
    """On a connection that is kept, each request has its own time."""
    async with limited(tmp_path, header_timeout_ms=50) as client, connected(client, HEALTH) as stream:
        assert (await stream.receive()).startswith(b"HTTP/1.1 200 ")
        await stream.send(HALF_HEADERS)
        assert told(await rest_of(stream)) == (408, "header_timeout")


async def test_a_complete_request_has_no_limit_any_more(tmp_path: Path) -> None:
    """A watcher, whose headers and body came in parts, is still there when later ones have been told to go."""
    async with (
        limited(tmp_path, header_timeout_ms=2000, body_timeout_ms=2000) as client,
        connected(client, b"GET /v1/requests/stream HTTP/1.1\r\nHost: loc") as watcher,
    ):
        await watcher.send(b"alhost\r\nContent-Length: 2\r\n\r\n[")
        assert (await watcher.receive()).startswith(b"HTTP/1.1 200 ")
        await watcher.send(b"]")
        async with connected(client, HALF_HEADERS) as later, connected(client, HALF_BODY) as latest:
            assert told(await rest_of(later))[0] == told(await rest_of(latest))[0] == 408
        await reached(client, streams_watchers=1, connections=2)


async def test_bodies_that_do_not_come_are_408(tmp_path: Path) -> None:
    """Forty half-sent bodies are all answered and closed, and nothing of them is held any more."""
    async with limited(tmp_path, body_timeout_ms=300) as client, AsyncExitStack() as clients:
        streams = [await clients.enter_async_context(connected(client, HALF_BODY)) for _ in range(40)]
        for stream in streams:
            assert told(await rest_of(stream)) == (408, "body_timeout")
        await reached(client, disconnected_total_body_timeout=40, body_bytes=0, connections=1)
        assert (await client.post("/v1/logs", json=entry())).status_code == 202


async def test_a_body_that_nobody_reads_has_a_limit_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A route that takes no body answers at once; its client may not keep the connection by dripping one."""
    monkeypatch.setattr(connections, "BODY_GRACE_S", 0.0)
    async with limited(tmp_path, body_timeout_ms=200) as client, connected(client, NOT_BODY) as stream:
        assert (await stream.receive()).startswith(b"HTTP/1.1 200 ")
        await dripped(stream, b"x")
        await reached(client, disconnected_total_body_timeout=1, connections=1)


# Number


async def test_too_many_connections_are_503(tmp_path: Path) -> None:
    """Beyond the limit a client learns why and when to come again; as soon as one leaves, another is served."""
    async with limited(tmp_path, max_connections=3) as client:
        await client.get("/health")
        async with connected(client, HALF_HEADERS), connected(client, HALF_HEADERS) as second:
            await reached(client, connections=3)
            async with connected(client, HEALTH) as third:
                answer = await rest_of(third)
                assert told(answer) == (503, "too_many_connections")
                assert b"retry-after: 1\r\n" in answer
            await reached(client, connections=3, refused_total_connections=1)
            await second.aclose()
            await reached(client, connections=2)
            async with connected(client, HEALTH) as fourth:
                assert (await fourth.receive()).startswith(b"HTTP/1.1 200 ")


async def test_refused_connections_are_limited_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that does not go away is closed after a moment; of too many, the last ones get no answer."""
    monkeypatch.setattr(connections, "MAX_LINGERING", 1)
    monkeypatch.setattr(connections, "REFUSED_LINGER_S", 0.2)
    async with limited(tmp_path, max_connections=1) as client:
        await client.get("/health")
        async with connected(client) as first, connected(client) as second:
            assert told(await rest_of(first)) == (503, "too_many_connections")
            assert await rest_of(second) == b""
            # What is sent now is not answered any more.
            await dripped(first, HEALTH)
        await reached(client, connections=1, refused_total_connections=2)


async def test_a_burst_is_all_answered(tmp_path: Path) -> None:
    """Of three hundred clients at once, each is served or told to come again."""
    statuses: list[bytes] = []
    async with limited(tmp_path, max_connections=260) as client, anyio.create_task_group() as tasks:

        async def ask() -> None:
            async with connected(client, HEALTH) as stream:
                statuses.append((await stream.receive())[9:12])

        for _ in range(300):
            tasks.start_soon(ask)
    assert len(statuses) == 300
    assert set(statuses) <= {b"200", b"503"}


def test_connections_leave_files_for_the_database(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With few open files allowed there are fewer connections, but always one; without a limit, as many as set."""
    settings = service_settings(tmp_path).server
    for soft, expected in ((256, 130), (1024, 500), (64, 1), (resource.RLIM_INFINITY, 500)):
        monkeypatch.setattr(resource, "getrlimit", lambda _which, soft=soft: (soft, soft))
        assert connections.possible_connections(settings, max_readers=4) == expected


async def test_fewer_connections_than_set_are_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The log has what limits them and what to do."""
    monkeypatch.setattr(resource, "getrlimit", lambda _which: (256, 256))
    async with running(service_settings(tmp_path)):
        pass
    assert "at most 130 connections, not 500 (server.max_connections)" in caplog.text
    assert "ulimit -n" in caplog.text


# What is not read


async def fill(client: httpx.AsyncClient, number: int = 600) -> None:
    """Store requests of about 4 KB each."""
    await client.post("/v1/logs", json=[entry(error_message="x " * 2000) for _ in range(number)])
    await settled(client)


async def test_a_watcher_that_does_not_read_is_let_go(tmp_path: Path) -> None:
    """Its place and its memory are free again, and one that reads stays."""
    async with limited(tmp_path, write_timeout_ms=1500, max_watchers=6) as client:
        async with client.stream("GET", "/v1/requests/stream") as reading, anyio.create_task_group() as tasks:
            seen: list[str] = []

            async def read() -> None:
                async for line in reading.aiter_lines():
                    seen.extend([line] * line.startswith("event: "))

            tasks.start_soon(read)
            with deaf(client.base_url, 5, WATCH):
                await reached(client, streams_watchers=6)
                await fill(client)
                await reached(client, disconnected_total_write_timeout=5, streams_watchers=1, unread_bytes=0)
            while len(seen) < 600:
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
        await reached(client, connections=1, streams_watchers=0)


@pytest.mark.parametrize("question", [EXPORT, PAGE])
async def test_any_response_must_be_read(tmp_path: Path, question: bytes) -> None:
    """A client that does not read a file, or a page, is disconnected like a watcher."""
    async with limited(tmp_path, write_timeout_ms=200) as client:
        await fill(client)
        with deaf(client.base_url, 3, question):
            await reached(client, disconnected_total_write_timeout=3, streams_exports=0, unread_bytes=0, connections=1)


async def test_a_response_that_is_read_slowly_is_whole(tmp_path: Path) -> None:
    """Who reads a little now and then has the time that it takes."""
    async with limited(tmp_path, write_timeout_ms=2000) as client:
        await fill(client)
        whole = (await client.get("/v1/requests?limit=500")).content
        async with client.stream("GET", "/v1/requests?limit=500") as reply:
            received = b""
            async for part in reply.aiter_raw(chunk_size=100_000):
                received += part
                await anyio.sleep(0.15)
        assert received == whole


async def test_who_has_not_read_for_the_longest_goes_first(tmp_path: Path) -> None:
    """When all unread responses together hold too much, there is room again, long before the write timeout."""
    async with limited(tmp_path, max_buffered_bytes=5_000_000) as client:
        await fill(client)
        # Two responses of 2 MB fit.
        with deaf(client.base_url, 8, PAGE):
            told = await reached(client, disconnected_total_unread_bytes=6, connections=3)
            assert 3_000_000 < told["unread_bytes"] <= 5_000_000
        await reached(client, unread_bytes=0, connections=1)


async def test_a_service_ends_although_clients_do_not_read(tmp_path: Path) -> None:
    """Its shutdown waits for them no longer than for others, and leaves no connection open."""
    settings = Settings(
        db_path=tmp_path / "log.db", shutdown_timeout_ms=500, server={"port": 0, "write_timeout_ms": 60_000}
    )
    async with running(settings) as client:
        await fill(client)
        clients = deaf(client.base_url, 3, PAGE)
        await reached(client, connections=4)
    with clients, pytest.raises(OSError, match=r"(?i)connect"):
        deaf(client.base_url, 1, PAGE)
