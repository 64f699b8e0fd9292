"""Several applications in one process, each on a port of its own."""

from __future__ import annotations

import logging
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import anyio
import uvicorn
from starlette.applications import Starlette

from .simulated import BrokenOffError


class _Server(uvicorn.Server):
    """uvicorn that leaves signals to the program: two servers would each take Ctrl-C for themselves."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.has_started = anyio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.has_started.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listening(port: int = 0) -> socket.socket:
    """A socket on this machine that takes connections; port 0 takes any that is free. Raises `OSError`."""
    return socket.create_server(("127.0.0.1", port))


@asynccontextmanager
async def serving(app: Starlette, sock: socket.socket) -> AsyncIterator[str]:
    """The URL of an application that is served while the block lasts. uvicorn ends the process when it cannot start."""
    server = _Server(uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=3))
    logging.getLogger("uvicorn.error").addFilter(_is_news)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.serve, [sock])
        await server.has_started.wait()
        try:
            yield f"http://127.0.0.1:{sock.getsockname()[1]}"
        finally:
            # Not cancelled: it answers what is under way, and the gateway's lifespan drains the log.
            server.should_exit = True


def _is_news(record: logging.LogRecord) -> bool:
    """A simulated crash is none."""
    return record.exc_info is None or not isinstance(record.exc_info[1], BrokenOffError)
