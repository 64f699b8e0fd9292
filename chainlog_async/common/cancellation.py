"""Work that must run to its end once it has begun."""

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
"""How many blocking calls may run at once, each in a thread; a log needs one or two."""

ANYIO_CANCELLATIONS = ("Cancelled via cancel scope ", "Cancelled by cancel scope ")
"""Prefixes of the messages with which anyio cancels a task, from its release 4.10 on and before.

anyio recognizes its own cancellations by them, too (``is_anyio_cancellation`` in its asyncio backend).
"""

_limiter: RunVar[CapacityLimiter] = RunVar("chainlog_async threads")


async def run_shielded(work: Coroutine[object, object, _T]) -> _T:
    """Runs the work to its end even if the caller is cancelled; the cancellation continues afterwards.

    Returns the result of the work. `CancelScope(shield=True)` only holds off cancellations by anyio, not
    `Task.cancel()`, which `asyncio.timeout` and `asyncio.TaskGroup` use. A statement that aiosqlite's thread has begun
    continues anyway, so a caller that stops waiting for it no longer knows the state of the connection.
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
    # Retrieved, or asyncio would report an exception that was never retrieved.
    raise cancelled from (None if task.cancelled() else task.exception())


class _Uncancelled(asyncio.Task[_T]):
    """A task that the end of `asyncio.run`, which cancels every task, waits for instead."""

    def cancel(self, msg: object = None) -> bool:
        """Accepts only cancellations by an anyio cancel scope inside the work, such as a deadline of its own."""
        return isinstance(msg, str) and msg.startswith(ANYIO_CANCELLATIONS) and super().cancel(msg)


async def run_in_thread(function: Callable[_P, _T], *arguments: _P.args, **named: _P.kwargs) -> _T:
    """Runs a blocking function in a thread and returns its result; like `run_shielded`, it always runs to its end.

    It does not use anyio's default threads: the gateway may keep all of those busy.
    """
    try:
        limiter = _limiter.get()
    except LookupError:
        limiter = CapacityLimiter(MAX_BLOCKING_THREADS)
        _limiter.set(limiter)
    return await run_shielded(to_thread.run_sync(partial(function, *arguments, **named), limiter=limiter))
