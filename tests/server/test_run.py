"""The service as a process: start, stop, and what goes wrong with either."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
from contextlib import closing
from pathlib import Path

import anyio
import httpx
import pytest
from anyio.abc import TaskStatus

from chainlog_async.errors import NotADatabaseError, SettingsError
from chainlog_async.server import serve
from tests.support.service import count_rows, entry, running, service_settings
from tests.support.service_process import Output, process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains_and_ends_well(tmp_path: Path, number: signal.Signals) -> None:
    """SIGTERM and Ctrl-C end the process with exit code 0 and every accepted entry in the database."""
    async with process(tmp_path / "log.db") as service:
        output = Output(service)
        url, database = (await output.line()).split()
        async with httpx.AsyncClient(base_url=url, trust_env=False, verify=False) as client:
            await client.post("/v1/logs", json=entry())
            reply = await client.post("/v1/logs", json=[entry()] * 5000)
            assert reply.json()["accepted"] == 5000
            service.send_signal(number)
            assert await output.line() == "5001"
        assert await service.wait() == 0
    assert count_rows(Path(database)) == 5001


async def test_a_client_that_hangs_does_not_stop_the_drain(tmp_path: Path) -> None:
    """A request that never ends is answered 503 after the shutdown timeout, and what was accepted is stored."""
    async with process(tmp_path / "log.db", shutdown_timeout_ms=1000) as service:
        output = Output(service)
        url = httpx.URL((await output.line()).split()[0])
        async with (
            httpx.AsyncClient(base_url=url, trust_env=False, verify=False) as client,
            await anyio.connect_tcp(url.host, url.port or 0) as stream,
        ):
            await stream.send(b"POST /v1/logs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999\r\n\r\n[")
            await client.post("/v1/logs", json=[entry()] * 10)
            service.send_signal(signal.SIGTERM)
            assert await output.line() == "10"
            assert (await stream.receive()).startswith(b"HTTP/1.1 503 ")
        assert await service.wait() == 0
    assert "Traceback" not in (tmp_path / "log.db.stderr").read_text()


async def test_it_tells_where_it_is_once_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The announcement has the real port and the absolute path, and is made when both are open."""
    monkeypatch.chdir(tmp_path)
    settings = service_settings(tmp_path, db_path=Path("sub", "log.db"))

    async def run(*, task_status: TaskStatus[tuple[str, str]]) -> None:
        await serve(settings, announce=lambda *announced: task_status.started(announced))

    async with anyio.create_task_group() as tasks:
        url, database = await tasks.start(run)
        assert database == str(tmp_path / "sub" / "log.db")
        assert settings.db_path.exists()
        assert url == f"http://127.0.0.1:{httpx.URL(url).port}"
        async with httpx.AsyncClient(base_url=url, trust_env=False, verify=False) as client:
            assert (await client.get("/health")).status_code == 200
        tasks.cancel_scope.cancel()


async def test_a_port_in_use_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    """A second service on the same port is told so, and makes no database."""
    async with running(service_settings(tmp_path)) as client:
        port = client.base_url.port
        settings = service_settings(tmp_path, db_path=tmp_path / "second.db", server={"port": port})
        with pytest.raises(SettingsError, match=r"in use.*server\.port") as refused:
            await serve(settings)
        assert f"127.0.0.1:{port}" in str(refused.value)
        assert (await client.get("/health")).status_code == 200
    assert not settings.db_path.exists()


async def test_a_bad_database_ends_the_start(tmp_path: Path) -> None:
    """When the database cannot be used serve raises why, and the port is free again."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = service_settings(tmp_path, server={"port": port})
    settings.db_path.write_text("this is no database" * 100)
    with pytest.raises(NotADatabaseError, match=r"log\.db"):
        await serve(settings)
    with socket.create_server(("127.0.0.1", port)):
        pass


async def test_an_open_host_without_keys_does_not_start(tmp_path: Path) -> None:
    """Where others could reach it the service does not even make its database."""
    settings = service_settings(tmp_path, server={"host": "0.0.0.0"})
    with pytest.raises(SettingsError, match=r"server\.api_keys"):
        await serve(settings)
    assert not settings.db_path.exists()


async def test_cancelled_it_closes_its_port(tmp_path: Path) -> None:
    """As a task of a program it stops when cancelled, and nobody can connect any more."""
    async with running(service_settings(tmp_path)) as client:
        assert (await client.get("/health")).status_code == 200
    with pytest.raises(OSError, match=r"(?i)connect"):
        socket.create_connection((client.base_url.host, client.base_url.port or 0))


async def test_a_signal_ends_a_start_that_waits(tmp_path: Path) -> None:
    """A service that still waits for the database when it is told to stop never begins to serve."""
    settings = service_settings(tmp_path, busy_timeout_ms=60_000)
    announced: list[str] = []
    ended: list[object] = []

    async def run() -> None:
        ended.append(await serve(settings, announce=lambda url, _database: announced.append(url)))

    with closing(sqlite3.connect(settings.db_path, isolation_level=None)) as blocker:
        blocker.execute("BEGIN EXCLUSIVE")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            while signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
                await anyio.lowlevel.checkpoint()
            os.kill(os.getpid(), signal.SIGTERM)
            for _turn_of_the_loop in range(10):
                await anyio.lowlevel.checkpoint()
            blocker.execute("ROLLBACK")
    assert (ended, announced) == ([None], [])
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
