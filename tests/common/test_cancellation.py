"""What is promised about work that runs to its end."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from chainlog_async.common.cancellation import run_shielded


@pytest.mark.parametrize("message", [None, "shutting down", ""])
async def test_no_cancellation_from_outside_reaches_shielded_work(message: str | None) -> None:
    """`Task.cancel()` with or without a message, also of every task at once, waits until the work is done."""
    begun, may_end, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        await may_end.wait()
        ended.set()

    before = asyncio.all_tasks()
    caller = asyncio.create_task(run_shielded(work()))
    await begun.wait()
    for task in asyncio.all_tasks() - before:
        task.cancel(message)
    await asyncio.sleep(0)
    assert not caller.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert ended.is_set()


async def test_a_deadline_inside_of_the_work_holds() -> None:
    """Anyio's own cancel scopes work within shielded work as anywhere."""

    async def work() -> bool:
        with anyio.move_on_after(0.01) as scope:
            await anyio.sleep_forever()
        return scope.cancelled_caught

    assert await run_shielded(work())
