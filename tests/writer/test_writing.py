"""What is promised about writing: at once for the caller, in batches for the database, in order, and nothing lost."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiosqlite
import anyio
import pytest

from chainlog_async import ChainLog
from tests.support.entries import entry
from tests.support.writing import (
    check_law,
    locked,
    log_all,
    names,
    outcomes,
    settings_for,
    stored,
    until_stored,
)

HOUR_MS = 60_000
"""The longest flush interval that settings allow: nothing is written for its sake during a test."""


class Traffic:
    """What goes to SQLite: calls handed over to aiosqlite's threads, and statements that a writing connection ran.

    Statements are only seen with `trace`, which costs a copy of the whole batch for each row of it.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, trace: bool = False) -> None:
        self.handed_over: list[tuple[object, ...]] = []
        self.statements: list[str] = []
        execute: Callable[..., Awaitable[object]] = aiosqlite.Connection._execute
        connect = sqlite3.connect

        async def counted(connection: aiosqlite.Connection, function: Callable[..., object], *args: object) -> object:
            self.handed_over.append(args)
            return await execute(connection, function, *args)

        def traced(database: str, **options: object) -> sqlite3.Connection:
            connection: sqlite3.Connection = connect(database, **options)  # type: ignore[call-overload]  # handed on
            if "mode=rw" in str(database):
                connection.set_trace_callback(self.statements.append)
            return connection

        monkeypatch.setattr(aiosqlite.Connection, "_execute", counted)
        if trace:
            monkeypatch.setattr(sqlite3, "connect", traced)

    def forget(self) -> None:
        """Counts from here."""
        self.handed_over.clear()
        self.statements.clear()

    @property
    def own_statements(self) -> set[str]:
        """Each once: Python's callback gets the statement again whenever one of its triggers begins."""
        return set(self.statements)

    @property
    def batch_sizes(self) -> list[int]:
        """Rows in each batch."""
        payloads = [value for args in self.handed_over for value in _parameters(args) if isinstance(value, bytes)]
        return [len(json.loads(payload)) for payload in payloads]


def _parameters(args: tuple[object, ...]) -> tuple[object, ...]:
    return args[1] if len(args) > 1 and isinstance(args[1], tuple) else ()


# At once for the caller


async def test_logging_is_no_await(tmp_path: Path) -> None:
    """`log_request` is done when it returns: no coroutine, no turn of the event loop, no word to SQLite."""
    async with ChainLog(settings_for(tmp_path / "log.db")) as chainlog:
        answers = log_all(chainlog, names(0, 3))
        assert answers == [True, True, True]
        assert chainlog.statistics().pending == 3


async def test_logging_is_quick(tmp_path: Path) -> None:
    """A call costs microseconds, not the milliseconds of a commit, even while the writer is held up."""
    db_path = tmp_path / "log.db"
    async with ChainLog(settings_for(db_path)) as chainlog, locked(db_path):
        good = entry()
        began = time.perf_counter()
        for _ in range(5_000):
            chainlog.log_request(good)
        assert (time.perf_counter() - began) / 5_000 < 0.001


# One statement per batch


async def test_a_batch_is_one_statement_and_one_hand_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many entries a batch has, the busy event loop is asked for the GIL back once."""
    monkeypatch.setattr("chainlog_async.storage.sqlite.maintenance.rounds.MAINTENANCE_INTERVAL_S", 3_600)
    traffic = Traffic(monkeypatch, trace=True)
    async with ChainLog(settings_for(tmp_path / "log.db", max_batch_size=50)) as chainlog:
        await chainlog.write(entry())
        traffic.forget()
        for _ in range(4):
            log_all(chainlog, names(0, 50))
            await chainlog.flush()
        assert chainlog.statistics().batches == 1 + 4
        assert traffic.batch_sizes == [50] * 4
        assert len(traffic.handed_over) == 4
        assert len(traffic.own_statements) == 4


@pytest.mark.parametrize("max_batch_size", [1, 7, 100])
async def test_a_batch_has_at_most_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, max_batch_size: int
) -> None:
    """No batch exceeds `max_batch_size`, whether entries come in a burst or trickle in."""
    traffic = Traffic(monkeypatch)
    async with ChainLog(settings_for(tmp_path / "log.db", max_batch_size=max_batch_size)) as chainlog:
        traffic.forget()
        log_all(chainlog, names(0, 101))
        await chainlog.flush()
        for model in names(101, 150):
            log_all(chainlog, [model])
            await asyncio.sleep(0)
        await chainlog.flush()
        sizes = traffic.batch_sizes
        assert sum(sizes) == 150
        assert max(sizes) <= max_batch_size
        assert chainlog.statistics().batches == len(sizes)
    assert await stored(tmp_path / "log.db") == names(0, 150)


async def test_a_batch_of_large_entries_stays_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries with long error texts make batches of about a megabyte, not of `max_batch_size` rows."""
    traffic = Traffic(monkeypatch)
    async with ChainLog(settings_for(tmp_path / "log.db", max_batch_size=100_000)) as chainlog:
        traffic.forget()
        for _ in range(200):
            chainlog.log_request(entry(error_message="\x01" * 4096))
        await chainlog.flush()
        assert sum(traffic.batch_sizes) == 200
        assert max(traffic.batch_sizes) < 100


# When


async def test_a_lone_entry_needs_no_flush(tmp_path: Path) -> None:
    """An entry after a quiet spell is committed by itself, without another entry or a flush."""
    async with ChainLog(settings_for(tmp_path / "log.db", flush_interval_ms=100)) as chainlog:
        for count in (1, 2, 3):
            began = time.monotonic()
            log_all(chainlog, ["lone"])
            await until_stored(tmp_path / "log.db", count)
            assert time.monotonic() - began < 2


async def test_entries_wait_for_others_during_the_interval(tmp_path: Path) -> None:
    """What comes within the interval after a batch waits to share the next one, unless somebody asks for it."""
    async with ChainLog(settings_for(tmp_path / "log.db", flush_interval_ms=HOUR_MS)) as chainlog:
        log_all(chainlog, ["first"])
        await until_stored(tmp_path / "log.db", 1)
        log_all(chainlog, names(0, 5))
        for _ in range(20):
            await asyncio.sleep(0.001)
        assert await stored(tmp_path / "log.db") == ["first"]
        await chainlog.flush()
        assert await stored(tmp_path / "log.db") == ["first", *names(0, 5)]
        assert chainlog.statistics().batches == 2


async def test_a_full_batch_does_not_wait(tmp_path: Path) -> None:
    """Once `max_batch_size` entries wait, they are written, whatever the interval says."""
    settings = settings_for(tmp_path / "log.db", flush_interval_ms=HOUR_MS, max_batch_size=10)
    async with ChainLog(settings) as chainlog:
        log_all(chainlog, ["first"])
        await until_stored(tmp_path / "log.db", 1)
        log_all(chainlog, names(0, 25))
        await until_stored(tmp_path / "log.db", 21)
        assert chainlog.statistics().pending == 5


async def test_entries_logged_before_the_writer_runs_are_written(tmp_path: Path) -> None:
    """A log that was entered, left and entered again, and a writer that starts late, write what was accepted."""
    chainlog = ChainLog(settings_for(tmp_path / "log.db"))
    async with chainlog:
        # The writer's task has been started and has not had a turn since.
        assert log_all(chainlog, names(0, 3)) == [True] * 3
    assert await stored(tmp_path / "log.db") == names(0, 3)


# Flush and write


async def test_flush_returns_when_all_before_it_is_committed(tmp_path: Path) -> None:
    """After a flush another connection sees every entry logged before it, also while more are logged."""
    done = False

    async def log_on(chainlog: ChainLog) -> None:
        while not done:
            log_all(chainlog, ["noise"])
            await asyncio.sleep(0.001)

    async with ChainLog(settings_for(tmp_path / "log.db", max_batch_size=50)) as chainlog:
        noise = asyncio.create_task(log_on(chainlog))
        for turn in range(15):
            log_all(chainlog, names(0, turn * 7))
            before = chainlog.statistics().submitted
            await chainlog.flush()
            assert len(await stored(tmp_path / "log.db")) >= before
        done = True
        await noise
        await chainlog.flush()
        assert chainlog.statistics().pending == 0


async def test_flush_of_nothing_returns(tmp_path: Path) -> None:
    """With nothing to write, or everything written, a flush is over at once, and so are many together."""
    async with ChainLog(settings_for(tmp_path / "log.db")) as chainlog:
        await chainlog.flush()
        await chainlog.write(entry())
        async with asyncio.TaskGroup() as tasks:
            for _ in range(20):
                tasks.create_task(chainlog.flush())
        assert chainlog.statistics().batches == 1


async def test_write_returns_when_the_entry_is_committed(tmp_path: Path) -> None:
    """After a write another connection sees the entry."""
    async with ChainLog(settings_for(tmp_path / "log.db", flush_interval_ms=HOUR_MS)) as chainlog:
        for count in range(1, 6):
            await chainlog.write(entry(model=f"m{count}"))
            assert (await stored(tmp_path / "log.db"))[-1] == f"m{count}"


async def test_writers_share_commits(tmp_path: Path) -> None:
    """Five hundred callers that wait for their entries do not make five hundred transactions."""
    async with ChainLog(settings_for(tmp_path / "log.db")) as chainlog:
        async with asyncio.TaskGroup() as tasks:
            for model in names(0, 500):
                tasks.create_task(chainlog.write(entry(model=model)))
        assert chainlog.statistics().batches < 20
        assert await stored(tmp_path / "log.db") == names(0, 500)


async def test_a_cancelled_write_is_written_all_the_same(tmp_path: Path) -> None:
    """Whoever stops waiting for an entry has not taken it back."""
    db_path = tmp_path / "log.db"
    async with ChainLog(settings_for(db_path)) as chainlog:
        async with locked(db_path):
            (waiting,) = await outcomes(chainlog, [entry(model="cancelled")])
            with anyio.move_on_after(0.01):
                await chainlog.write(entry(model="out of time"))
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        await chainlog.flush()
        assert await stored(db_path) == ["cancelled", "out of time"]
        check_law(chainlog.statistics())


# What is said


async def test_the_statistics_tell_how_it_goes(tmp_path: Path) -> None:
    """Batches, the highest backlog, its bytes and the last commit are there to be looked at."""
    before = time.time_ns() // 1_000_000
    async with ChainLog(settings_for(tmp_path / "log.db", max_batch_size=10)) as chainlog:
        idle = chainlog.statistics()
        assert (idle.submitted, idle.batches, idle.last_commit_at, idle.last_error) == (0, 0, None, None)
        log_all(chainlog, names(0, 25))
        assert chainlog.statistics().pending_bytes > 25 * 20
        await chainlog.flush()
        statistics = chainlog.statistics()
    assert statistics.batches == 3
    assert statistics.peak_pending == 25
    assert (statistics.pending, statistics.pending_bytes) == (0, 0)
    assert statistics.last_commit_at is not None
    assert before <= statistics.last_commit_at <= time.time_ns() // 1_000_000
