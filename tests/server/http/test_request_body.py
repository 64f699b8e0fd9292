"""Request bodies: their limits, one by one and together, and their compression."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import nullcontext
from pathlib import Path

import anyio
import pytest
from starlette.requests import Request

from chainlog_async.server.counters import ServiceCounters
from chainlog_async.server.http import request_body
from chainlog_async.server.http.request_body import BodyLimits
from chainlog_async.server.http.responses import ApiError
from chainlog_async.settings import ServerSettings
from tests.support.raw_clients import connected, reached
from tests.support.service import entry, lines, running, service_settings, settled


def body_of(size: int) -> bytes:
    """An entry padded to so many bytes."""
    return lines(entry()).ljust(size)


async def in_chunks(body: bytes) -> AsyncIterator[bytes]:
    """The body in chunks, so that httpx cannot announce its length."""
    for start in range(0, len(body), 700):
        yield body[start : start + 700]


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_over_the_limit_is_refused(tmp_path: Path, *, chunked: bool) -> None:
    """A body may have max_body_bytes bytes and not one more, whether or not its length is announced."""
    async with running(service_settings(tmp_path, server={"max_body_bytes": 2048})) as client:
        statuses = {}
        for size in (2048, 2049, 50_000):
            body = body_of(size)
            reply = await client.post("/v1/logs", content=in_chunks(body) if chunked else body)
            statuses[size] = reply.status_code
            assert ("transfer-encoding" in reply.request.headers) is chunked
        accounting = await settled(client)
    assert statuses == {2048: 202, 2049: 413, 50_000: 413}
    assert reply.json()["error"]["code"] == "body_too_large"
    assert accounting["submitted"] == 1


async def test_an_endless_body_is_refused_while_it_streams(tmp_path: Path) -> None:
    """The refusal does not wait for the end of the body."""
    settings = service_settings(tmp_path, server={"max_body_bytes": 2048})
    async with (
        running(settings) as client,
        await anyio.connect_tcp(client.base_url.host, client.base_url.port or 0) as stream,
    ):
        await stream.send(b"POST /v1/logs HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        await stream.send(b"1000\r\n" + b" " * 0x1000 + b"\r\n")
        assert (await stream.receive()).startswith(b"HTTP/1.1 413 ")


async def test_a_compressed_body_is_refused_by_name(tmp_path: Path) -> None:
    """A body compressed in another way than gzip gets 415 instead of a puzzling remark on its JSON."""
    async with running(service_settings(tmp_path)) as client:
        reply = await client.post("/v1/logs", content=b"\x1f\x8b", headers={"Content-Encoding": "br"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (415, "unsupported_encoding")


async def test_a_body_may_be_gzip(tmp_path: Path) -> None:
    """One entry, an array or lines."""
    async with running(service_settings(tmp_path)) as client:
        for body in (lines(entry()), json.dumps([entry(), entry()]).encode(), lines(entry(), entry())):
            reply = await client.post("/v1/logs", content=gzip.compress(body), headers={"Content-Encoding": "gzip"})
            assert reply.status_code == 202
        assert (await settled(client))["written"] == 5


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (gzip.compress(b" " * 5_000_000, mtime=0), 413, "body_too_large"),
        (gzip.compress(b"{}", mtime=0)[:-3], 400, "invalid_encoding"),
        (b"no gzip", 400, "invalid_encoding"),
    ],
)
async def test_a_gzip_body_is_bounded_and_whole(tmp_path: Path, body: bytes, status: int, code: str) -> None:
    """It may not grow beyond the largest body, and what is no gzip file is called so."""
    async with running(service_settings(tmp_path)) as client:
        reply = await client.post("/v1/logs", content=body, headers={"Content-Encoding": "gzip"})
        assert (reply.status_code, reply.json()["error"]["code"]) == (status, code)
        assert (await client.get("/v1/statistics")).json()["submitted"] == 0


async def test_a_client_that_leaves_half_way_leaves_nothing(tmp_path: Path) -> None:
    """Of a body that was cut off nothing is taken, and the service lives on."""
    async with running(service_settings(tmp_path)) as client:
        async with await anyio.connect_tcp(client.base_url.host, client.base_url.port or 0) as stream:
            await stream.send(b"POST /v1/logs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999\r\n\r\n[")
        assert (await client.post("/v1/logs", json=entry())).status_code == 202
        accounting = await settled(client)
    assert accounting["submitted"] == 1


async def test_all_bodies_together_have_a_limit(tmp_path: Path) -> None:
    """Beyond it a body is 503, to be sent again; what the others hold is free as soon as they are gone."""
    server = {"max_body_bytes": 50_000, "max_buffered_bytes": 100_000}
    part = b"POST /v1/logs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50000\r\n\r\n" + b"[" * 40_000
    small = [entry(error_message="x " * 1000)] * 15
    async with running(service_settings(tmp_path, server=server)) as client:
        async with connected(client, part), connected(client, part):
            await reached(client, body_bytes=80_000)
            reply = await client.post("/v1/logs", json=small)
            assert (reply.status_code, reply.json()["error"]["code"]) == (503, "too_many_bodies")
            assert (reply.headers["retry-after"], "resendFrom" in reply.json()) == ("1", False)
            assert (await client.post("/v1/logs", json=entry())).status_code == 202
            await reached(client, body_bytes=80_000, refused_total_bodies=1)
        await reached(client, body_bytes=0)
        assert (await client.post("/v1/logs", json=small)).json()["accepted"] == 15
        assert (await settled(client))["written"] == 16


async def test_one_body_of_the_largest_size_always_fits(tmp_path: Path) -> None:
    """With a smaller limit for all bodies together, they are accepted one at a time."""
    server = {"max_body_bytes": 50_000, "max_buffered_bytes": 1024}
    async with running(service_settings(tmp_path, server=server)) as client:
        reply = await client.post("/v1/logs", content=body_of(50_000))
        assert reply.status_code == 202
        await reached(client, body_bytes=0)


class _Posted(Request):
    """A request with this body."""

    def __init__(self, body: bytes) -> None:
        super().__init__({"type": "http", "method": "POST", "headers": [(b"content-encoding", b"gzip")]})
        self._sent = body

    async def stream(self) -> AsyncGenerator[bytes]:
        yield self._sent


async def test_compressed_bodies_share_the_limit_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """However small they arrive: bodies that inflate at the same time hold no more than is allowed."""
    monkeypatch.setattr(request_body, "INFLATE_BYTES", 1000)
    counters, most = ServiceCounters(), 0
    limits = BodyLimits(ServerSettings(max_body_bytes=50_000, max_buffered_bytes=100_000), counters)
    statuses: list[int] = []
    all_there = anyio.Event()

    async def send() -> None:
        nonlocal most
        try:
            async with limits.received(_Posted(gzip.compress(b" " * 40_000))) as body:
                assert len(body) == 40_000
                most = max(most, counters.body_bytes)
                statuses.append(202)
                await all_there.wait()
        except ApiError as refusal:
            statuses.append(refusal.status)

    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(send)

        async def look() -> None:
            nonlocal most
            while len(statuses) < 10:
                most = max(most, counters.body_bytes)
                await anyio.lowlevel.checkpoint()
            all_there.set()

        tasks.start_soon(look)
    assert statuses.count(202) <= 2
    assert set(statuses) <= {202, 503}
    assert most <= 100_000
    assert counters.refused["bodies"] >= 8
    assert counters.body_bytes == 0


@pytest.mark.parametrize("size", [49_999, 50_000, 50_001])
async def test_a_compressed_body_of_the_largest_size_fits(size: int) -> None:
    """And one byte more does not, also when no other body could be held beside it."""
    counters = ServiceCounters()
    limits = BodyLimits(ServerSettings(max_body_bytes=50_000, max_buffered_bytes=1024), counters)
    for body in (b" " * size, random.Random(1).randbytes(size // 2).ljust(size)):
        with pytest.raises(ApiError, match="longer than 50000 bytes") if size > 50_000 else nullcontext():
            async with limits.received(_Posted(gzip.compress(body))) as received:
                assert received == body
        assert counters.body_bytes == 0
