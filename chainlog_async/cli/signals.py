"""SIGINT and SIGTERM as callbacks on the event loop."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
from anyio.abc import TaskStatus


@asynccontextmanager
async def signals_to(handle: Callable[[signal.Signals], None]) -> AsyncIterator[None]:
    """While the body runs, SIGINT and SIGTERM call `handle` on the event loop instead of ending the process."""
    body_error: BaseException | None = None
    async with anyio.create_task_group() as task_group:
        await task_group.start(_watch, handle)
        try:
            yield
        except BaseException as error:  # noqa: BLE001  # it is raised again below
            # Raised in here, the task group would wrap it in an exception group, which hides a broken pipe.
            body_error = error
        task_group.cancel_scope.cancel()
    if body_error is not None:
        raise body_error


async def _watch(handle: Callable[[signal.Signals], None], *, task_status: TaskStatus[None]) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as received:
        task_status.started()
        async for number in received:
            handle(number)
