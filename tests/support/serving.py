"""A `chainlog serve` with an event loop of its own, for clients that must not share theirs with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import anyio
from anyio.abc import TaskStatus
from anyio.from_thread import start_blocking_portal

from chainlog_async.server import serve
from chainlog_async.settings import Settings


@contextmanager
def server_beside(settings: Settings) -> Iterator[str]:
    """The URL of a service that runs in a thread until the block ends."""
    with start_blocking_portal() as portal:
        future, url = portal.start_task(partial(_serve, settings))
        try:
            yield url
        finally:
            future.cancel()


async def _serve(settings: Settings, *, task_status: TaskStatus[str] = anyio.TASK_STATUS_IGNORED) -> None:
    await serve(settings, announce=lambda url, _database: task_status.started(url))
