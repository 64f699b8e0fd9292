"""What is promised about writing: at once for the caller, in batches for the database, in order, and nothing lost."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import aiosqlite
import anyio
import pytest
from factories import entry
from writing_tools import (
    check_law,
    check_totals,
    in_memory,
    locked,
    locked_soon,
    refuse_rows,
    settings_for,
    stored,
    until,
    until_stored,
    warnings_of,
)

from chainlog_async import ChainLog, RequestLogEntry
from chainlog_async.errors import (
    ClosedError,
    EntryAbandonedError,
    EntryRejectedError,
    InvalidEntryError,
    QueueFullError,
)

HOUR_MS = 60_000
"""The longest flush interval that settings allow: nothing is written for its sake during a test."""


def names(start: int, stop: int) -> list[str]:
    """Models that tell entries apart."""
    return [f"m{number}" for number in range(start, stop)]


def log_all(chainlog: ChainLog, models: list[str]) -> list[bool]:
    """Logs one entry for each."""
    return [chainlog.log_request(entry(model=model)) for model in models]


async def outcomes(chainlog: ChainLog, entries: list[RequestLogEntry]) -> list[asyncio.Task[None]]:
    """Writes all of them at once; the tasks have begun, in order, and have not ended."""
    tasks = [asyncio.create_task(chainlog.write(each)) for each in entries]
    await asyncio.sleep(0)
    return tasks


class Traffic:
    """What goes to SQLite: calls handed over to aiosqlite's threads, and statements that a writing connection ran.

    Statements are only seen with `trace`, which costs a copy of the whole batch for each row of it.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, trace: bool = False) -> None:
        self.handed_over: list[tuple[object, ...]] = []
        self.statements: list[str] = []
        execute, connect = aiosqlite.Connection._execute, sqlite3.connect

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
    monkeypatch.setattr("chainlog_async.maintenance.TICK_S", 3_600)
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
        for _ in range(600):
            chainlog.log_request(entry(error_message="\x01" * 4096))
        await chainlog.flush()
        assert sum(traffic.batch_sizes) == 600
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


# What goes wrong


async def test_write_says_what_is_wrong_with_the_entry(tmp_path: Path) -> None:
    """An entry that cannot be stored raises at once, and is counted."""
    async with ChainLog(settings_for(tmp_path / "log.db")) as chainlog:
        with pytest.raises(InvalidEntryError, match="prompt_tokens"):
            await chainlog.write(entry(prompt_tokens=-1))
        assert chainlog.statistics().dropped == {"invalid": 1}


async def test_a_closed_log_says_so(tmp_path: Path) -> None:
    """After shutdown `log_request` answers False, `submit` and `write` raise; each is counted under ``closed``."""
    chainlog = ChainLog(settings_for(tmp_path / "log.db"))
    async with chainlog:
        await chainlog.write(entry())
    assert chainlog.log_request(entry()) is False
    with pytest.raises(ClosedError):
        chainlog.submit(entry())
    with pytest.raises(ClosedError):
        await chainlog.write(entry())
    statistics = chainlog.statistics()
    assert (statistics.submitted, statistics.written, statistics.dropped) == (4, 1, {"closed": 3})


async def test_a_row_the_database_refuses_costs_that_row_only(tmp_path: Path) -> None:
    """The good rows of the batch are committed in their order; the bad ones are counted and named to who waits."""
    db_path = tmp_path / "log.db"
    models = names(0, 40)
    for position in (0, 13, 14, 39):
        models[position] = f"refused{position}"
    async with ChainLog(settings_for(db_path)) as chainlog:
        await refuse_rows(db_path)
        results = await asyncio.gather(
            *[chainlog.write(entry(model=model)) for model in models], return_exceptions=True
        )
        for model, result in zip(models, results, strict=True):
            if model.startswith("refused"):
                assert isinstance(result, EntryRejectedError)
                assert "no such row here" in str(result)
            else:
                assert result is None
        good = [model for model in models if not model.startswith("refused")]
        assert await stored(db_path) == good
        statistics = chainlog.statistics()
        assert (statistics.written, statistics.pending, statistics.dropped) == (36, 0, {"rejected": 4})
        await chainlog.write(entry(model="after"))
        assert await stored(db_path) == [*good, "after"]
    await asyncio.to_thread(check_totals, db_path)


async def test_a_batch_of_bad_rows_alone_holds_nothing_up(tmp_path: Path) -> None:
    """Even when every row is refused the writer goes on, and a flush ends."""
    db_path = tmp_path / "log.db"
    async with ChainLog(settings_for(db_path, max_batch_size=16)) as chainlog:
        await refuse_rows(db_path)
        log_all(chainlog, ["refused"] * 50)
        await chainlog.flush()
        await chainlog.write(entry(model="good"))
        assert chainlog.statistics().dropped == {"rejected": 50}
        assert await stored(db_path) == ["good"]


async def test_a_locked_database_delays_and_loses_nothing(tmp_path: Path) -> None:
    """While another connection holds the lock entries wait, are retried in order, and come exactly once."""
    db_path = tmp_path / "log.db"
    async with ChainLog(settings_for(db_path, busy_timeout_ms=1, max_batch_size=20)) as chainlog:
        async with locked(db_path):
            log_all(chainlog, names(0, 30))
            await until(lambda: chainlog.statistics().retries >= 2)
            log_all(chainlog, names(30, 100))
            statistics = chainlog.statistics()
            assert (statistics.written, statistics.pending) == (0, 100)
            assert "SQLITE_BUSY" in str(statistics.last_error)
            assert chainlog.health().status == "degraded"
        await chainlog.flush()
        assert await stored(db_path) == names(0, 100)
        assert chainlog.health().status == "ok"
        check_law(chainlog.statistics())
    await asyncio.to_thread(check_totals, db_path)


async def test_reads_go_on_while_the_database_is_locked(tmp_path: Path) -> None:
    """A reader waits neither for the writer nor for whom the writer waits for."""
    db_path = tmp_path / "log.db"
    async with ChainLog(settings_for(db_path)) as chainlog:
        await chainlog.write(entry())
        async with locked(db_path):
            log_all(chainlog, names(0, 3))
            summary = await asyncio.wait_for(chainlog.usage.get_summary_stats(), 2)
            assert summary.total_requests == 1


# A full queue


async def _writer_stuck(chainlog: ChainLog, first: str = "in hand") -> None:
    """Returns when the writer has taken a batch, cannot commit it, and so takes nothing else."""
    log_all(chainlog, [first])
    await until(lambda: chainlog.statistics().retries >= 1)


async def test_the_newest_are_dropped(tmp_path: Path) -> None:
    """By default a full queue refuses what comes, and keeps what it has."""
    db_path = tmp_path / "log.db"
    async with ChainLog(in_memory(db_path, busy_timeout_ms=1, max_queue_size=10)) as chainlog:
        async with locked(db_path):
            assert log_all(chainlog, names(0, 13)) == [True] * 10 + [False] * 3
            with pytest.raises(QueueFullError, match="max_queue_size"):
                chainlog.submit(entry())
            with pytest.raises(QueueFullError):
                await chainlog.write(entry())
            assert chainlog.statistics().dropped == {"queue_full": 5}
        await chainlog.flush()
        assert await stored(db_path) == names(0, 10)
        assert log_all(chainlog, ["room again"]) == [True]
    assert await stored(db_path) == [*names(0, 10), "room again"]


async def test_the_newest_are_dropped_by_bytes(tmp_path: Path) -> None:
    """The queue is full at `max_queue_bytes`, however few entries that are."""
    db_path = tmp_path / "log.db"
    large = partial(entry, error_message="x" * 4_000)
    async with ChainLog(in_memory(db_path, max_queue_bytes=65_536)) as chainlog:
        async with locked(db_path):
            accepted = [chainlog.log_request(large(model=model)) for model in names(0, 30)]
            assert accepted == [True] * 16 + [False] * 14
            assert 60_000 < chainlog.statistics().pending_bytes <= 65_536
            assert log_all(chainlog, ["small"]) == [True]
        await chainlog.flush()
        assert await stored(db_path) == [*names(0, 16), "small"]


async def test_the_oldest_are_dropped(tmp_path: Path) -> None:
    """With `drop_oldest` a full queue takes what comes, and gives up what waits longest, but not the batch in hand."""
    db_path = tmp_path / "log.db"
    settings = in_memory(db_path, busy_timeout_ms=1, max_queue_size=10, on_full="drop_oldest")
    async with ChainLog(settings) as chainlog:
        async with locked(db_path):
            await _writer_stuck(chainlog)
            assert log_all(chainlog, names(0, 30)) == [True] * 30
            statistics = chainlog.statistics()
            assert (statistics.pending, statistics.dropped) == (10, {"queue_full": 21})
        await chainlog.flush()
        assert await stored(db_path) == ["in hand", *names(21, 30)]
        check_law(chainlog.statistics())


async def test_the_oldest_are_dropped_by_bytes(tmp_path: Path) -> None:
    """One large entry may cost several small ones; each of them is counted."""
    db_path = tmp_path / "log.db"
    settings = in_memory(db_path, busy_timeout_ms=1, max_queue_bytes=65_536, on_full="drop_oldest")
    async with ChainLog(settings) as chainlog:
        async with locked(db_path):
            await _writer_stuck(chainlog)
            many = names(0, 2_000)
            assert all(log_all(chainlog, many))
            assert chainlog.log_request(entry(model="large", error_message="\x01" * 4_000))
            statistics = chainlog.statistics()
            check_law(statistics)
            assert statistics.pending_bytes <= 65_536
        await chainlog.flush()
        kept = await stored(db_path)
        assert kept == ["in hand", *many[2_000 - len(kept) + 2 :], "large"]
        check_law(chainlog.statistics())


async def test_what_was_dropped_in_vain_is_counted(tmp_path: Path) -> None:
    """When even dropping everything that waits makes no room, both the dropped and the refused are counted."""
    db_path = tmp_path / "log.db"
    settings = in_memory(db_path, busy_timeout_ms=1, max_queue_bytes=65_536, on_full="drop_oldest")
    async with ChainLog(settings) as chainlog:
        async with locked(db_path):
            # 48 of 64 KiB are in hand, and a little waits: an entry of 24 KiB finds no room in any way.
            for _ in range(2):
                assert chainlog.log_request(entry(model="in hand", error_message="\x01" * 4_000))
            await until(lambda: chainlog.statistics().retries >= 1)
            assert log_all(chainlog, names(0, 3)) == [True] * 3
            with pytest.raises(QueueFullError):
                chainlog.submit(entry(error_message="\x01" * 4_000))
            check_law(chainlog.statistics())
        await chainlog.flush()
        statistics = chainlog.statistics()
        check_law(statistics)
        assert len(await stored(db_path)) == statistics.written


async def test_a_write_that_made_room_is_told(tmp_path: Path) -> None:
    """Whoever waits for an entry that was dropped for newer ones gets `QueueFullError`, and only they."""
    db_path = tmp_path / "log.db"
    settings = in_memory(db_path, busy_timeout_ms=1, max_queue_size=10, on_full="drop_oldest")
    async with ChainLog(settings) as chainlog:
        async with locked(db_path):
            await _writer_stuck(chainlog)
            tasks = await outcomes(chainlog, [entry(model=model) for model in names(0, 12)])
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(result) for result in results] == [QueueFullError] * 3 + [type(None)] * 9
        assert await stored(db_path) == ["in hand", *names(3, 12)]


async def test_dropping_does_not_mix_up_who_waits(tmp_path: Path) -> None:
    """With a batch in hand, one of its rows bad and others dropped behind it, everybody learns of their own entry."""
    db_path = tmp_path / "log.db"
    settings = in_memory(db_path, busy_timeout_ms=1, max_queue_size=20, max_batch_size=10, on_full="drop_oldest")
    held = names(0, 10)
    held[5] = "refused"
    async with ChainLog(settings) as chainlog:
        await refuse_rows(db_path)
        async with locked(db_path):
            tasks = await outcomes(chainlog, [entry(model=model) for model in held])
            await until(lambda: chainlog.statistics().retries >= 1)
            tasks += await outcomes(chainlog, [entry(model=model) for model in names(10, 26)])
        results = await asyncio.gather(*tasks, return_exceptions=True)
        expected = [type(None)] * 10 + [QueueFullError] * 6 + [type(None)] * 10
        expected[5] = EntryRejectedError
        assert [type(result) for result in results] == expected
        assert await stored(db_path) == [model for model in held if model != "refused"] + names(16, 26)
        check_law(chainlog.statistics())


async def test_write_returns_only_for_its_own_commit(tmp_path: Path) -> None:
    """A write whose batch is in hand does not return early because others were dropped behind it."""
    db_path = tmp_path / "log.db"
    settings = in_memory(db_path, busy_timeout_ms=1, max_queue_size=20, max_batch_size=10, on_full="drop_oldest")
    async with ChainLog(settings) as chainlog:
        async with locked(db_path):
            tasks = await outcomes(chainlog, [entry(model=model) for model in names(0, 10)])
            await until(lambda: chainlog.statistics().retries >= 1)
            log_all(chainlog, names(10, 100))
            late = asyncio.create_task(chainlog.flush())
            await until(lambda: chainlog.statistics().retries >= 3)
            assert not any(task.done() for task in (*tasks, late))
        await asyncio.gather(*tasks, late)
        assert await stored(db_path) == [*names(0, 10), *names(90, 100)]


async def test_a_write_that_shutdown_gave_up_is_told(tmp_path: Path) -> None:
    """Whoever waits when shutdown runs out of time gets `EntryAbandonedError`; so does a flush."""
    db_path = tmp_path / "log.db"
    async with locked_soon(db_path) as hold:
        chainlog = ChainLog(in_memory(db_path, busy_timeout_ms=1, shutdown_timeout_ms=50))
        async with chainlog:
            await hold()
            tasks = await outcomes(chainlog, [entry(model=model) for model in names(0, 3)])
            tasks.append(asyncio.create_task(chainlog.flush()))
            await until(lambda: chainlog.statistics().retries >= 1)
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(result) for result in results] == [EntryAbandonedError] * 4
        statistics = chainlog.statistics()
        assert (statistics.written, statistics.pending, statistics.dropped) == (0, 0, {"shutdown": 3})
    assert await stored(db_path) == []


# What is said


async def test_refusals_are_logged_once_per_period(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A thousand bad entries make one line in the log for each reason, with the first one's cause."""
    db_path = tmp_path / "log.db"
    async with ChainLog(in_memory(db_path, max_queue_size=5)) as chainlog:
        async with locked(db_path):
            for _ in range(1_000):
                chainlog.log_request(entry(http_status=99))
                chainlog.log_request(entry())
        await chainlog.flush()
    for _ in range(1_000):
        chainlog.log_request(entry())
    lines = [line for line in warnings_of(caplog) if line.startswith(("invalid", "queue_full", "closed"))]
    assert [line.split(" ")[0] for line in lines] == ["invalid", "queue_full", "closed"]
    assert "http_status" in lines[0]
    assert chainlog.statistics().dropped == {"invalid": 1_000, "queue_full": 995, "closed": 1_000}


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
