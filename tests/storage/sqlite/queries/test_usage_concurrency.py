"""What is promised about reads beside a writer, beside each other, and when they are cancelled."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Coroutine
from contextlib import closing
from pathlib import Path

import aiosqlite
import anyio
import pytest

from chainlog_async import SummaryStats, UsageAggregator
from chainlog_async.errors import ClosedError
from chainlog_async.storage.sqlite.reader_pool import ReaderPool
from tests.support.entries import ORIGINAL_INSERT, insert_as_original, original_row
from tests.support.interrupting import HOWS, How, cancel_at_every_step
from tests.support.threads import lasting_workers, workers


@pytest.mark.parametrize("begin", ["BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"])
async def test_reads_go_on_while_somebody_writes(begin: str, database: Path) -> None:
    """While another connection holds the write lock, reads answer at once what was committed before."""
    insert_as_original(database, [original_row()])
    with closing(sqlite3.connect(database, isolation_level=None)) as writer:
        writer.execute(begin)
        writer.execute(ORIGINAL_INSERT, original_row())
        async with UsageAggregator(database, busy_timeout_ms=0) as usage:
            assert (await usage.get_summary_stats()).total_requests == 1
            assert len(await usage.get_recent_requests()) == 1
            writer.execute("COMMIT")
            assert (await usage.get_summary_stats()).total_requests == 2


async def test_no_more_readers_than_allowed(database: Path) -> None:
    """Many questions at once share as few connections as `max_readers` says, and each gets its own answer."""
    # As a set: the thread of whoever made the database may be about to end.
    before = workers()
    async with UsageAggregator(database, max_readers=2) as usage:
        names = [f"p{number}" for number in range(20)]
        insert_as_original(database, [original_row(provider_id=name) for name in names])
        answers = await asyncio.gather(*(usage.get_provider_usage(name) for name in names))
        assert [answer.provider_id for answer in answers if answer] == names
        assert len(workers() - before) == 2
    assert not lasting_workers(workers())


async def test_as_many_questions_at_once_as_there_are_readers(database: Path) -> None:
    """Questions run beside each other up to `max_readers`, and the next one waits for a connection."""
    running = threading.Semaphore(0)
    go_on = threading.Event()
    pool = ReaderPool(database, max_readers=2)

    def wait() -> int:
        running.release()
        return int(go_on.wait(30))

    await _give_function(pool, 2, "wait", wait)
    async with asyncio.TaskGroup() as tasks:
        answers = [tasks.create_task(pool.fetch("SELECT wait()")) for _ in range(3)]
        for _ in range(2):
            assert await asyncio.to_thread(running.acquire, timeout=30)
        assert not running.acquire(blocking=False)
        go_on.set()
    assert [answer.result() for answer in answers] == [[(1,)]] * 3
    await pool.aclose()


@pytest.mark.parametrize("how", ["scope", "task"])
async def test_a_cancelled_question_leaves_the_others_alone(how: str, database: Path) -> None:
    """A question that is cancelled in the middle ends at once, its connection with it, and the next is answered."""
    pool = ReaderPool(database, max_readers=1)
    started = threading.Event()

    def start() -> int:
        started.set()
        return 1

    await _give_function(pool, 1, "started", start)
    endless = "WITH RECURSIVE n(x) AS (SELECT started() UNION ALL SELECT x + 1 FROM n) SELECT COUNT(*) FROM n"
    if how == "task":
        question = asyncio.create_task(pool.fetch(endless))
        assert await asyncio.to_thread(started.wait, 30)
        question.cancel()
        with pytest.raises(asyncio.CancelledError):
            await question
    else:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(pool.fetch, endless)
            assert await asyncio.to_thread(started.wait, 30)
            tasks.cancel_scope.cancel()
    assert not lasting_workers(workers())
    assert await pool.fetch("SELECT 42") == [(42,)]
    await pool.aclose()


async def test_a_question_can_be_cancelled_before_it_is_begun(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A question that waits in its connection's thread when it is cancelled does not run to its end either."""
    pool = ReaderPool(database, max_readers=1)
    await pool.fetch("SELECT 1")
    busy = threading.Event()
    interrupt = aiosqlite.Connection.interrupt

    async def interrupt_and_go_on(connection: aiosqlite.Connection) -> None:
        await interrupt(connection)
        busy.set()

    monkeypatch.setattr(aiosqlite.Connection, "interrupt", interrupt_and_go_on)
    pool._idle[0]._tx.put_nowait((None, lambda: busy.wait(30)))
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT COUNT(*) FROM n"
    with anyio.move_on_after(0.001) as scope:
        await pool.fetch(endless)
    assert scope.cancelled_caught
    assert not lasting_workers(workers())
    assert await pool.fetch("SELECT 42") == [(42,)]
    await pool.aclose()


@pytest.mark.parametrize("how", HOWS)
async def test_a_question_can_be_cancelled_anywhere(how: How, database: Path) -> None:
    """At whichever step it is cancelled, the same aggregator answers the next question, and leaves no thread."""
    aggregators: list[UsageAggregator] = []

    def ask(_: int) -> Coroutine[object, object, SummaryStats]:
        aggregators.append(UsageAggregator(database, max_readers=1))
        return aggregators[-1].get_summary_stats()

    async for outcome in cancel_at_every_step(ask, how):
        assert await aggregators[-1].get_summary_stats() == SummaryStats(0, 0, 0)
        await aggregators[-1].aclose()
        assert not lasting_workers(workers()), f"step {outcome.step}"


@pytest.mark.parametrize("how", HOWS)
async def test_a_closing_can_be_cancelled_anywhere(how: How, database: Path) -> None:
    """At whichever step the closing is cancelled, every connection is closed nevertheless."""

    async def ask_and_close(_: int) -> None:
        usage = UsageAggregator(database)
        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(3):
                    tasks.create_task(usage.get_summary_stats())
        finally:
            await usage.aclose()

    async for outcome in cancel_at_every_step(ask_and_close, how):
        assert not lasting_workers(workers()), f"step {outcome.step}"


async def _give_function(pool: ReaderPool, readers: int, name: str, function: Callable[[], int]) -> None:
    """Open all of the pool's connections and give them a function that SQL can call."""
    gate = asyncio.Barrier(readers)
    execute = aiosqlite.Connection.execute_fetchall

    async def meet(connection: aiosqlite.Connection, sql: str, parameters: object = None) -> object:
        rows = await execute(connection, sql, parameters)
        if sql == "SELECT 1":
            await gate.wait()
            await connection.create_function(name, 0, function)
        return rows

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(aiosqlite.Connection, "execute_fetchall", meet)
        await asyncio.gather(*(pool.fetch("SELECT 1") for _ in range(readers)))


async def test_closing_does_not_wait_for_a_question(database: Path) -> None:
    """A question under way when the aggregator is closed is answered, and its connection is closed after it."""
    pool = ReaderPool(database, max_readers=1)
    running, go_on = threading.Event(), threading.Event()

    def wait() -> int:
        running.set()
        return int(go_on.wait(30))

    await _give_function(pool, 1, "wait", wait)
    question, next_question = (asyncio.create_task(pool.fetch("SELECT wait()")) for _ in range(2))
    assert await asyncio.to_thread(running.wait, 30)
    await pool.aclose()
    go_on.set()
    assert await question == [(1,)]
    with pytest.raises(ClosedError):
        await next_question
    assert not lasting_workers(workers())
