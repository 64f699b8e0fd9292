"""Work that has to come to its end once it is begun."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TypeVar

from anyio import CancelScope

T = TypeVar("T")


async def finish(work: Coroutine[object, object, T]) -> T:
    """Runs the work to its end, however often the caller is cancelled meanwhile; then the cancellation goes on.

    `CancelScope(shield=True)` holds off anyio's cancellations alone: `Task.cancel()`, which `asyncio.timeout` and
    `asyncio.TaskGroup` use, goes through it. A statement that aiosqlite's thread has begun goes on all the same, so
    whoever stops waiting for it in the middle knows nothing about the connection any more.
    """
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    with CancelScope(shield=True):
        while not task.done():
            try:
                await asyncio.wait((task,))
            except asyncio.CancelledError as error:
                cancelled = error
    if cancelled is None:
        return task.result()
    # Looked at, or asyncio would report an error that nobody retrieved.
    raise cancelled from (None if task.cancelled() else task.exception())
