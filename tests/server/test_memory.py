"""The memory of a real `chainlog serve` whose clients do not read."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream

from tests.support.raw_clients import WATCH, connected, deaf, reached
from tests.support.service import entry, settled

HALF_BODY = b"POST /v1/logs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4000000\r\n\r\n" + b"[" * 200_000

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="the memory of a process is read from /proc"),
    pytest.mark.timeout(300),
]


class Service:
    """`chainlog serve` as a process."""

    def __init__(self, pid: int, client: httpx.AsyncClient) -> None:
        self._status = Path(f"/proc/{pid}/status")
        self.client = client

    def megabytes(self) -> float:
        """Its resident memory."""
        found = re.search(r"VmRSS:\s+(\d+) kB", self._status.read_text())
        assert found
        return int(found[1]) / 1024

    async def post(self, number: int) -> None:
        """Store requests of about a kilobyte each, in steps that watchers follow."""
        for _ in range(number // 500):
            reply = await self.client.post("/v1/logs", json=[entry(error_message="x " * 500)] * 500)
            assert reply.status_code == 202
            await settled(self.client)


@asynccontextmanager
async def service(folder: Path) -> AsyncIterator[Service]:
    """The command, on a database in the folder; nobody is disconnected while the test takes its time."""
    command = [sys.executable, "-m", "chainlog_async", "serve", "--db", str(folder / "log.db"), "--port", "0"]
    environment = os.environ | {"CHAINLOG_SERVER__WRITE_TIMEOUT_MS": "600000"}
    async with await anyio.open_process(command, stderr=subprocess.DEVNULL, cwd=folder, env=environment) as process:
        try:
            assert process.stdout is not None
            line = await BufferedByteReceiveStream(process.stdout).receive_until(b"\n", 4096)
            url = line.decode().split()[-1]
            async with httpx.AsyncClient(base_url=url, trust_env=False, verify=False, timeout=30) as client:
                yield Service(process.pid, client)
        finally:
            process.terminate()


async def test_hundreds_of_deaf_watchers_cost_little(tmp_path: Path) -> None:
    """A hundred are let in, and 4 MB that none of them reads are in no memory; when they are gone, all is free."""
    async with service(tmp_path) as serving:
        await serving.post(4000)
        before = serving.megabytes()
        # Not 500: with the one that asks, there would be one connection too many.
        with deaf(serving.client.base_url, 450, WATCH):
            await reached(serving.client, streams_watchers=100, refused_total_watchers=350, connections=101)
            await serving.post(4000)
            told = await reached(serving.client, streams_watchers=100)
            assert told["unread_bytes"] < 5_000_000
            assert serving.megabytes() - before < 60
        await reached(serving.client, streams_watchers=0, unread_bytes=0, connections=1)
        left = serving.megabytes()
        with deaf(serving.client.base_url, 450, WATCH):
            await reached(serving.client, streams_watchers=100)
            await serving.post(4000)
        await reached(serving.client, streams_watchers=0, unread_bytes=0, connections=1)
        # What was freed is used again; the rest is SQLite's cache of a file that has grown.
        assert serving.megabytes() - left < 30


async def test_four_hundred_half_sent_bodies_cost_no_more_than_is_set(tmp_path: Path) -> None:
    """80 MB of bodies are more than all may hold together: some are 503, and others, and the health, are answered."""
    async with service(tmp_path) as serving:
        before = serving.megabytes()
        with deaf(serving.client.base_url, 400, HALF_BODY):
            while not (told := await reached(serving.client))["refused_total_bodies"]:
                pass
            assert told["body_bytes"] <= 64 * 1024 * 1024
            assert serving.megabytes() - before < 250
            assert (await serving.client.get("/health")).status_code == 200
        await reached(serving.client, body_bytes=0, connections=1)
        async with connected(serving.client, HALF_BODY):
            await reached(serving.client, body_bytes=200_000)
        assert (await serving.client.post("/v1/logs", json=entry())).status_code == 202
