"""A real service on a real port, for as long as a block lasts."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx
import uvicorn
from anyio.abc import TaskStatus
from starlette.applications import Starlette

from chainlog_async.server import serve
from chainlog_async.settings import Settings

BEGIN_MS = 1_764_057_600_000
"""2025-11-25T08:00Z in ms since the epoch: a time to count from, because one in January 1970 is refused."""

KEY = "first-key"
OTHER_KEY = "second-key"


def service_settings(folder: Path, **values: object) -> Settings:
    """Settings with a database in `folder` and a free port; ``server`` is merged, the rest replaces."""
    server = {"port": 0}
    given = values.pop("server", {})
    assert isinstance(given, dict)
    return Settings(**{"db_path": folder / "log.db", "server": server | given, **values})


def entry(**values: object) -> dict[str, object]:
    """An entry as a client would send it."""
    return {"chain_name": "fast", "provider_id": "groq", "model": "m", "latency_ms": 12, "http_status": 200, **values}


def lines(*documents: object) -> bytes:
    """NDJSON of the documents; bytes stand for themselves."""
    return b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in documents)


@asynccontextmanager
async def running(settings: Settings, *, key: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a service that runs until the block ends."""
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    async with anyio.create_task_group() as tasks:
        url = await tasks.start(_serve, settings)
        async with httpx.AsyncClient(base_url=url, headers=headers, trust_env=False, verify=False) as client:
            yield client
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def serving(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    """A client of any application, under uvicorn as anybody would run it."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, lifespan="on", log_config=None))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.serve)
        while not server.started:
            await anyio.lowlevel.checkpoint()
        port = server.servers[0].sockets[0].getsockname()[1]
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, verify=False) as client:
            yield client
        server.should_exit = True


async def settled(client: httpx.AsyncClient) -> dict[str, int]:
    """Wait until nothing is pending, and return the accounting."""
    while True:
        accounting: dict[str, int] = (await client.get("/health")).json()["accounting"]
        if not accounting["pending"]:
            return accounting


def count_rows(db_path: Path) -> int:
    """How many requests the database holds."""
    connection = sqlite3.connect(db_path)
    try:
        ((rows,),) = connection.execute("SELECT count(*) FROM request_logs").fetchall()
    finally:
        connection.close()
    assert isinstance(rows, int)
    return rows


async def _serve(settings: Settings, *, task_status: TaskStatus[str]) -> None:
    await serve(settings, announce=lambda url, _database: task_status.started(url))
