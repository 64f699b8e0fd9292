"""The service as a process of its own."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

RUNNER = """
import sys, anyio
from pathlib import Path
from chainlog_async.server import serve
from chainlog_async.settings import Settings

settings = Settings(db_path=Path(sys.argv[1]), flush_interval_ms=60_000, shutdown_timeout_ms=int(sys.argv[2]),
                    server={"port": 0})
statistics = anyio.run(lambda: serve(settings, announce=lambda url, database: print(url, database, flush=True)))
print(statistics.written, flush=True)
"""


@asynccontextmanager
async def process(db_path: Path, *, shutdown_timeout_ms: int = 30_000) -> AsyncIterator[Process]:
    """The service in a process of its own, killed at the latest when the block ends."""
    command = [sys.executable, "-W", "error", "-c", RUNNER, str(db_path), str(shutdown_timeout_ms)]
    async with await anyio.open_file(f"{db_path}.stderr", "wb") as stderr:
        service = await anyio.open_process(command, stderr=stderr.wrapped)
    async with service:
        try:
            yield service
        finally:
            if service.returncode is None:
                service.kill()


class Output:
    """What a process prints, line by line."""

    def __init__(self, service: Process) -> None:
        assert service.stdout is not None
        self._stream = BufferedByteReceiveStream(service.stdout)

    async def line(self) -> str:
        """The next line."""
        return (await self._stream.receive_until(b"\n", 4096)).decode()
