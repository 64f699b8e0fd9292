"""``GET /health``."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import httpx
import pytest

import chainlog_async
from chainlog_async import ChainLog, Health
from chainlog_async.server import create_app
from tests.support.service import entry, running, service_settings, settled


async def test_health_tells_what_became_of_the_entries(tmp_path: Path) -> None:
    """A service in order is ok, with its version, its uptime in seconds and books that add up."""
    async with running(service_settings(tmp_path)) as client:
        await client.post("/v1/logs", json=[entry(), entry(http_status=1)])
        await settled(client)
        reply = await client.get("/health")
    answer = reply.json()
    assert (reply.status_code, answer["status"], answer["reasons"]) == (200, "ok", [])
    assert answer["version"] == chainlog_async.__version__
    assert 0 <= answer["uptime"] < 60
    assert (answer["accounting"]["written"], answer["accounting"]["dropped"]) == (1, {"invalid": 1})


async def test_trouble_that_may_pass_is_degraded(tmp_path: Path) -> None:
    """While commits fail and are tried again, the service is degraded but there; afterwards it is ok."""
    settings = service_settings(tmp_path, busy_timeout_ms=0)
    async with running(settings) as client:
        blocker = sqlite3.connect(settings.db_path, isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        await client.post("/v1/logs", json=entry())
        while (reply := await client.get("/health")).json()["status"] == "ok":
            pass
        blocker.close()
        assert (reply.status_code, reply.json()["status"]) == (200, "degraded")
        assert reply.json()["reasons"]
        await settled(client)
        assert (await client.get("/health")).json()["status"] == "ok"


async def test_a_log_that_is_not_open_is_failed(tmp_path: Path) -> None:
    """A load balancer sees 503 when entries cannot be taken at all."""
    app = create_app(ChainLog(service_settings(tmp_path)), already_running=True)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        reply = await client.get("/health")
    assert (reply.status_code, reply.json()["status"], reply.json()["accounting"]) == (503, "failed", None)


async def test_health_does_not_tell_where_the_database_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks without a key does not learn the machine's folders or keys."""
    settings = service_settings(tmp_path, server={"api_keys": ["a-secret"]})
    reasons = (f"{settings.db_path} is full", f"unable to open '{settings.db_path}-wal'")
    monkeypatch.setattr(ChainLog, "health", lambda _: Health(status="degraded", reasons=reasons))
    async with running(settings) as client:
        reply = await client.get("/health")
    assert reply.json()["reasons"] == ["log.db is full", "unable to open 'log.db-wal'"]
    assert str(tmp_path) not in reply.text
    assert "a-secret" not in reply.text


async def test_health_does_not_tell_where_a_link_leads(tmp_path: Path) -> None:
    """Of a database behind a link, which SQLite names as what it really is, the folder is not told either."""
    real = tmp_path / "real-folder"
    real.mkdir()
    (tmp_path / "link").symlink_to(real)
    settings = service_settings(tmp_path / "link", busy_timeout_ms=0)
    async with running(settings) as client:
        (real / "log.db").rename(real / "away.db")
        (real / "log.db").mkdir()
        await client.post("/v1/logs", json=entry())
        while not (reply := await client.get("/health")).json()["accounting"]["lastError"]:
            pass
        (real / "log.db").rmdir()
        (real / "away.db").rename(real / "log.db")
        await settled(client)
    assert "log.db" in reply.json()["accounting"]["lastError"]
    assert "real-folder" not in reply.text
