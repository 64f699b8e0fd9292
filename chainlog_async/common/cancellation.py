"""Work that has to come to its end once it is begun."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import ParamSpec, TypeVar

from anyio import CancelScope, CapacityLimiter, to_thread
from anyio.lowlevel import RunVar

_P = ParamSpec("_P")
_T = TypeVar("_T")

MAX_BLOCKING_THREADS = 8
"""How many calls may block at once, each in a thread; a log makes one or two."""

ANYIO_CANCELLATIONS = ("Cancelled via cancel scope ", "Cancelled by cancel scope ")
"""How the messages begin with which anyio cancels a task, from its release 4.10 on and before.

anyio tells its own cancellations by these words as well (``is_anyio_cancellation`` in its asyncio backend).
"""

_limiter: RunVar[CapacityLimiter] = RunVar("chainlog_async threads")


async def run_shielded(work: Coroutine[object, object, _T]) -> _T:
    """Runs the work to its end, however often the caller is cancelled meanwhile; then the cancellation goes on.

    `CancelScope(shield=True)` holds off anyio's cancellations alone: `Task.cancel()`, which `asyncio.timeout` and
    `asyncio.TaskGroup` use, goes through it. A statement that aiosqlite's thread has begun goes on all the same, so
    whoever stops waiting for it in the middle knows nothing about the connection any more.
    """
    task = _Uncancelled(work)
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


class _Uncancelled(asyncio.Task[_T]):
    """A task that the end of `asyncio.run`, which cancels every task there is, waits for instead."""

    def cancel(self, msg: object = None) -> bool:
        """Accepts cancellation from a cancel scope of anyio's inside the work alone, such as a deadline of its own."""
        return isinstance(msg, str) and msg.startswith(ANYIO_CANCELLATIONS) and super().cancel(msg)


async def run_in_thread(function: Callable[_P, _T], *arguments: _P.args, **named: _P.kwargs) -> _T:
    """Calls what blocks for a moment in a thread, and returns when it has returned, like `run_shielded`.

    Not one of anyio's usual threads: those are the gateway's, which may keep all of them busy.
    """
    try:
        limiter = _limiter.get()
    except LookupError:
        limiter = CapacityLimiter(MAX_BLOCKING_THREADS)
        _limiter.set(limiter)
    return await run_shielded(to_thread.run_sync(partial(function, *arguments, **named), limiter=limiter))
