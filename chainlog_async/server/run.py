"""The service as a process: it binds, opens the log, serves, and drains on shutdown."""

from __future__ import annotations

import asyncio
import logging
import math
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import anyio
import uvicorn
from anyio import to_thread
from starlette.applications import Starlette

from chainlog_async.chainlog import ChainLog
from chainlog_async.settings import Settings
from chainlog_async.statistics import Statistics

from .app import create_app
from .connections import ConnectionLimits, LimitedConfig, LimitedConnection, possible_connections
from .listen import BindAddress, bound_socket, check_bind, listen
from .shutdown import ShutdownMiddleware

logger = logging.getLogger(__name__)

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)

LAST_ANSWERS_S = 1.0
"""How long the requests that a shutdown cancels may take to answer, in seconds."""

BACKLOG = 256
"""Maximum number of connections that wait to be accepted, and that are accepted before any of them can be refused."""


class _Server(uvicorn.Server):
    """uvicorn, which reports when it serves, and leaves signals to `serve` instead of raising them again at its end."""

    def __init__(
        self, config: uvicorn.Config, *, on_started: Callable[[], None], end_streams: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._on_started = on_started
        self._end_streams = end_streams
        self.begun = False

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self.begun = True
        await super().startup(sockets=sockets)
        self._on_started()

    def stop(self) -> None:
        """Finishes the requests in progress and returns; called a second time, does not wait for them."""
        self.force_exit = self.should_exit
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._end_streams()
        await super().shutdown(sockets=sockets)
        if self.server_state.tasks:
            # Cancelled when the time was over; each still answers that, which takes no time unless it cannot.
            await asyncio.wait(self.server_state.tasks, timeout=LAST_ANSWERS_S)
        # A client that does not read would keep its connection open for ever.
        for connection in list(self.server_state.connections):
            connection.transport.abort()


async def serve(settings: Settings, *, announce: Callable[[str, str], None] | None = None) -> Statistics | None:
    """Runs the service until SIGINT or SIGTERM, then drains the log and returns its statistics.

    Returns None when it was stopped before it served. ``announce`` is called with its URL and the absolute path or
    the URL of the log once both are open. At the end the requests in progress, and then the entries in the queue, get
    up to ``shutdown_timeout_ms`` each.

    Raises `SettingsError` when the service may not or cannot listen on its address, and `DatabaseError` when the
    database cannot be used; nothing stays open then.
    """
    chainlog = ChainLog(settings)
    # Resolves names, imports modules and reads the working directory, all of which would block the event loop.
    address, database, app, config = await to_thread.run_sync(_prepare, chainlog)
    url = ""

    def on_started() -> None:
        if announce is not None:
            announce(url, database)

    server = _Server(config, on_started=on_started, end_streams=app.state.end_streams)
    opening = anyio.CancelScope()
    with bound_socket(address) as sock, opening, _on_stop_signal(lambda: _stop(server, opening)):
        async with chainlog:
            url = listen(sock, address, server.config.backlog)
            async with app.state.running():
                await _run_server(server, sock)
    return None if opening.cancelled_caught else chainlog.statistics()


def _stop(server: _Server, opening: anyio.CancelScope) -> None:
    if server.begun:
        server.stop()
    else:
        opening.cancel()


def _prepare(chainlog: ChainLog) -> tuple[BindAddress, str, Starlette, uvicorn.Config]:
    settings = chainlog.settings
    address = check_bind(settings)
    app = create_app(chainlog, already_running=True)
    config = LimitedConfig(
        ShutdownMiddleware(app),
        http=LimitedConnection,
        backlog=BACKLOG,
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        # A client that hangs must not delay writing the accepted entries.
        timeout_graceful_shutdown=math.ceil(settings.shutdown_timeout_ms / 1000),
    )
    config.limits = ConnectionLimits(settings.server, _max_connections(settings), app.state.counters)
    config.load()
    database = str(settings.db_path.absolute()) if settings.engine == "sqlite" else settings.database
    return address, database, app, config


def _max_connections(settings: Settings) -> int:
    asked = settings.server.max_connections
    possible = possible_connections(settings.server, settings.max_readers)
    if possible < asked:
        logger.warning(
            "at most %d connections, not %d (server.max_connections), because of the limit of open files; "
            "raise it (ulimit -n), or lower server.max_connections",
            possible,
            asked,
        )
    return possible


async def _run_server(server: _Server, sock: socket.socket) -> None:
    try:
        await server.serve(sockets=[sock])
    except BaseException:
        # Cancelled instead of stopped, uvicorn leaves its connections open.
        if server.started:
            with anyio.CancelScope(shield=True):
                await server.shutdown(sockets=[sock])
        raise


@contextmanager
def _on_stop_signal(stop: Callable[[], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    # Where the loop cannot handle signals (Windows), Ctrl-C cancels the main task, which drains as well.
    with suppress(NotImplementedError):
        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in STOP_SIGNALS:
            with suppress(NotImplementedError):
                loop.remove_signal_handler(number)
