"""``GET /v1/requests/export``: the same requests as a file, streamed."""

from __future__ import annotations

import csv
import io
import json
import signal
import sys
from pathlib import Path

import anyio
import httpx
import pyarrow.parquet as pq
import pytest

from tests.support.operator import fill, migrate
from tests.support.raw_clients import deaf, reached
from tests.support.service import BEGIN_MS, entry, running, service_settings, settled
from tests.support.service_process import Output, process


async def test_every_format_is_streamed(tmp_path: Path) -> None:
    """All formats hold every request that the filters let through, over many pages, and say what they are."""
    async with running(service_settings(tmp_path)) as client:
        numbered = [entry(timestamp=BEGIN_MS + n, http_status=200 + n % 2 * 229) for n in range(3000)]
        await client.post("/v1/logs", json=numbered)
        await settled(client)
        times = [BEGIN_MS + n for n in range(2999, 1000, -2)]
        for name, media_type in (
            ("csv", "text/csv; charset=utf-8"),
            ("jsonl", "application/x-ndjson"),
            ("parquet", "application/vnd.apache.parquet"),
        ):
            reply = await client.get(f"/v1/requests/export?format={name}&status=429&from={BEGIN_MS + 1001}")
            assert (reply.status_code, reply.headers["content-type"]) == (200, media_type)
            assert reply.headers["content-disposition"] == f'attachment; filename="requests.{name}"'
            assert reply.headers["transfer-encoding"] == "chunked"
            if name == "csv":
                found = [int(row["timestamp"]) for row in csv.DictReader(io.StringIO(reply.text, newline=""))]
            elif name == "jsonl":
                found = [json.loads(line)["timestamp"] for line in reply.text.splitlines()]
            else:
                stamps = pq.read_table(io.BytesIO(reply.content)).column("timestamp").to_pylist()
                found = [round(stamp.timestamp() * 1000) for stamp in stamps]
            assert found == times
        assert (await client.get("/v1/requests/export")).text.startswith("id,timestamp,chain_name,")
        head = await client.head("/v1/requests/export")
        assert (head.status_code, head.content) == (200, b"")


async def test_what_is_wrong_from_the_start_has_its_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bad parameter is 400, a database that is gone 503, and Parquet without pyarrow 501: no file is begun."""
    settings = service_settings(tmp_path)
    async with running(settings) as client:
        for query, param in (
            ("format=xlsx", "format"),
            ("format=", "format"),
            ("limit=5", "limit"),
            ("from=x", "from"),
        ):
            reply = await client.get(f"/v1/requests/export?{query}")
            assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)
        with monkeypatch.context() as without:
            without.setitem(sys.modules, "pyarrow", None)
            without.delitem(sys.modules, "chainlog_async.requests.parquet", raising=False)
            reply = await client.get("/v1/requests/export?format=parquet")
        assert (reply.status_code, reply.json()["error"]["code"]) == (501, "not_installed")
        settings.db_path.rename(tmp_path / "moved.db")
        reply = await client.get("/v1/requests/export")
        assert (reply.status_code, reply.json()["error"]["code"]) == (503, "database_unavailable")


async def test_too_many_exports_are_sent_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound an export is 503, with when to come again; one that fails or has ended holds no place."""
    async with running(service_settings(tmp_path, server={"max_exports": 2})) as client:
        await client.post("/v1/logs", json=[entry(error_message="x " * 2000)] * 600)
        await settled(client)
        with deaf(client.base_url, 2, b"GET /v1/requests/export HTTP/1.1\r\nHost: localhost\r\n\r\n"):
            await reached(client, streams_exports=2)
            reply = await client.get("/v1/requests/export")
            assert (reply.status_code, reply.json()["error"]["code"]) == (503, "too_many_exports")
            assert reply.headers["retry-after"] == "5"
            assert (await client.get("/v1/requests")).status_code == 200
        await reached(client, streams_exports=0, refused_total_exports=1)
        monkeypatch.setitem(sys.modules, "pyarrow", None)
        monkeypatch.delitem(sys.modules, "chainlog_async.requests.parquet", raising=False)
        for _ in range(3):
            assert (await client.get("/v1/requests/export?format=parquet")).status_code == 501
            assert (await client.head("/v1/requests/export")).status_code == 200
            assert (await client.get("/v1/requests/export?format=jsonl")).text.count("\n") == 600


async def test_a_client_that_stops_reading_does_not_stop_the_end(tmp_path: Path) -> None:
    """A download that hangs is cut off when the time for the shutdown is over, and is no exception in the log."""
    fill(await migrate(tmp_path / "log.db"), 5_000, padding=4_000)
    async with process(tmp_path / "log.db", shutdown_timeout_ms=1000) as service:
        output = Output(service)
        url = httpx.URL((await output.line()).split()[0])
        async with await anyio.connect_tcp(url.host, url.port or 0) as stream:
            await stream.send(b"GET /v1/requests/export?format=jsonl HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert (await stream.receive(17)).startswith(b"HTTP/1.1 200 ")
            service.send_signal(signal.SIGTERM)
            assert await service.wait() == 0
    assert "Exception in ASGI application" not in (tmp_path / "log.db.stderr").read_text()
