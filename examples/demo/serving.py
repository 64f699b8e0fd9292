"""Several applications in one process, each on its own port."""

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
    """A uvicorn that leaves signals to the program; otherwise each of two servers would handle Ctrl-C itself."""

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
    """Return a socket that accepts connections from this machine; port 0 is any free port. Raises `OSError`."""
    return socket.create_server(("127.0.0.1", port))


@asynccontextmanager
async def serving(app: Starlette, sock: socket.socket) -> AsyncIterator[str]:
    """Serve an application while the block runs, and yield its URL. uvicorn exits the process if it cannot start."""
    server = _Server(uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=3))
    logging.getLogger("uvicorn.error").addFilter(_is_news)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.serve, [sock])
        await server.has_started.wait()
        try:
            yield f"http://127.0.0.1:{sock.getsockname()[1]}"
        finally:
            # Not cancelled: it finishes running requests, and the gateway's lifespan drains the log.
            server.should_exit = True


def _is_news(record: logging.LogRecord) -> bool:
    """Return whether a log record is about anything but a simulated crash."""
    return record.exc_info is None or not isinstance(record.exc_info[1], BrokenOffError)
