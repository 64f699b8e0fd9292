"""Applications under real servers, and what their logs hold."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path

import anyio
import httpx
import uvicorn
from anyio.streams.text import TextReceiveStream

from chainlog_async import ChainLog

App = Callable[..., Awaitable[None]]
Row = dict[str, object]


@asynccontextmanager
async def serving(app: App, chainlog: ChainLog) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application, under uvicorn as anybody would run it, while the log is open."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, lifespan="off", log_config=None))
    async with chainlog, anyio.create_task_group() as tasks:
        tasks.start_soon(server.serve)
        while not server.started:
            await anyio.lowlevel.checkpoint()
        port = server.servers[0].sockets[0].getsockname()[1]
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", trust_env=False, verify=False, timeout=30
        ) as client:
            yield client
        server.should_exit = True


@asynccontextmanager
async def program(command: Sequence[str], *, folder: Path, announces: str, **env: str) -> AsyncIterator[str]:
    """The URL that a program prints in a line with `announces`; Ctrl-C ends it, and it has to end well."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", **env}
    async with await anyio.open_process(
        command, cwd=folder, env=environment, stdin=None, stderr=-2, start_new_session=True
    ) as process:
        assert process.stdout is not None
        output = ""
        lines = TextReceiveStream(process.stdout)
        try:
            while not (found := re.search(rf"{announces}\S*\s+(http://\S+)", output)):
                output += await lines.receive()
            yield found[1].rstrip("/")
            os.killpg(process.pid, signal.SIGINT)
            output += "".join([part async for part in lines])
            assert await process.wait() in {0, -signal.SIGINT, 130}, output
            assert "Traceback" not in output, output
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)


async def rows_of(chainlog: ChainLog) -> list[Row]:
    """Every row, oldest first, once all of them are in the database."""
    await chainlog.flush()
    return rows_in(chainlog.settings.db_path)


def rows_in(db_path: Path) -> list[Row]:
    """Every row of a database by the names of its columns, oldest first, JSON decoded."""
    with closing(sqlite3.connect(db_path)) as connection:
        connection.row_factory = sqlite3.Row
        rows = [dict(row) for row in connection.execute("SELECT * FROM request_logs ORDER BY id")]
    for row in rows:
        for name in ("metadata", "attempt_trail"):
            row[name] = json.loads(row[name]) if row[name] is not None else None
    return rows


async def row_count(chainlog: ChainLog, count: int) -> list[Row]:
    """The rows, once there are `count` of them: an abort is noticed when the server notices it."""
    while chainlog.statistics().submitted < count:
        await anyio.lowlevel.checkpoint()
    return await rows_of(chainlog)
