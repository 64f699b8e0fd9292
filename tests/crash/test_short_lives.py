"""Processes that live for a moment: what killed ones left is written by the next, however short its life is."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from chainlog_async import ChainLog
from chainlog_async.entry.batch import Batch
from chainlog_async.errors import EntryAbandonedError
from chainlog_async.storage.sqlite.storage import SqliteStorage
from tests.support.entries import entry
from tests.support.faults import journal_files, leave_dead_journal
from tests.support.operator import clean
from tests.support.writing import (
    REPLAY_COMMIT_TIMEOUT_S,
    check_law,
    check_totals,
    in_memory,
    locked,
    locked_soon,
    models,
    names,
    settings_for,
    stored,
    until,
    warnings_of,
    write_lock,
)

LIFE = """
import asyncio, sys
from chainlog_async import ChainLog, RequestLogEntry
from chainlog_async.settings import Settings

async def main(db_path, name, count, end):
    async with ChainLog(Settings(db_path=db_path, max_batch_size=100, shutdown_timeout_ms=30_000)) as chainlog:
        for number in range(int(count)):
            assert chainlog.log_request(RequestLogEntry(
                chain_name="default", provider_id=name, model=f"{name}-{number}", latency_ms=1, http_status=200))
        print("logged", flush=True)
        if end == "killed":
            sys.stdin.readline()
        if end == "flushed":
            await chainlog.flush()
    statistics = chainlog.statistics()
    print(statistics.replayed, statistics.submitted, statistics.written, statistics.pending, statistics.dropped)

asyncio.run(main(*sys.argv[1:]))
"""


def live(db_path: Path, name: str, count: int, end: str) -> subprocess.Popen[str]:
    """Starts a life that logs so many entries and then ends in that way."""
    return subprocess.Popen(
        [sys.executable, "-c", LIFE, str(db_path), name, str(count), end],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def kill_after_logging(db_path: Path, name: str, count: int) -> None:
    """A life that is killed once it has logged, while somebody else holds the lock, so that nothing is written."""
    with live(db_path, name, count, "killed") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "logged\n"
        process.kill()
    assert process.returncode == -signal.SIGKILL


def end_of(process: subprocess.Popen[str]) -> list[str]:
    """What a life says at its end: replayed, submitted, written, pending, dropped."""
    answer, _ = process.communicate(timeout=45)
    assert process.returncode == 0
    return answer.splitlines()[-1].split()


async def make_database(db_path: Path) -> None:
    """An empty one."""
    async with ChainLog(settings_for(db_path)):
        pass


@pytest.mark.parametrize(("end", "count"), [("flushed", 0), ("closed", 0), ("flushed", 7), ("closed", 7)])
def test_a_short_life_writes_what_a_killed_one_left(tmp_path: Path, end: str, count: int) -> None:
    """It opens the log, flushes or not, and closes at once: every entry of the killed one is there, once."""
    db_path = tmp_path / "log.db"
    asyncio.run(make_database(db_path))
    with write_lock(db_path):
        kill_after_logging(db_path, "killed", 5_000)
    assert models(db_path) == []
    assert end_of(live(db_path, "next", count, end)) == ["5000", str(count), str(count), "0", "{}"]
    found = models(db_path)
    assert [model for model in found if model.startswith("killed")] == [f"killed-{number}" for number in range(5_000)]
    assert [model for model in found if model.startswith("next")] == [f"next-{number}" for number in range(count)]
    assert journal_files(db_path) == []
    check_totals(db_path)


def test_a_loop_of_crashing_processes_leaves_nothing_waiting(tmp_path: Path) -> None:
    """Six in a row are killed at some moment of their short lives; the next one has all that any had accepted."""
    db_path = tmp_path / "log.db"
    asyncio.run(make_database(db_path))
    accepted: list[str] = []
    for number in range(6):
        with live(db_path, f"life{number}", 300, "killed") as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "logged\n"
            accepted += [f"life{number}-{each}" for each in range(300)]
            time.sleep(0.02 * number)
            process.kill()
    assert end_of(live(db_path, "last", 0, "closed"))[1:] == ["0", "0", "0", "{}"]
    found = models(db_path)
    assert sorted(found) == sorted(accepted)
    assert journal_files(db_path) == []
    asyncio.run(clean(db_path))


def test_short_lives_that_are_killed_while_they_replay_come_to_an_end(tmp_path: Path) -> None:
    """Killed again and again in the middle of a replay, each goes on where the one before was, and none doubles."""
    db_path = tmp_path / "log.db"
    asyncio.run(make_database(db_path))
    leave_dead_journal(db_path, names(0, 8_000))
    kills = 0
    for _ in range(4):
        before = len(models(db_path))
        process = live(db_path, "replays", 0, "closed")
        while process.poll() is None and len(models(db_path)) == before:
            time.sleep(0.002)
        kills += process.poll() is None
        process.kill()
        process.communicate()
    assert kills
    end_of(live(db_path, "last", 0, "closed"))
    assert models(db_path) == names(0, 8_000)
    assert journal_files(db_path) == []


async def test_flush_returns_once_the_journals_of_the_dead_are_written(tmp_path: Path) -> None:
    """Also when nothing else was accepted, also for several that wait, and only once the lock is free."""
    db_path = tmp_path / "log.db"
    await make_database(db_path)
    leave_dead_journal(db_path, names(0, 30))
    chainlog = ChainLog(settings_for(db_path, busy_timeout_ms=1))
    async with locked(db_path):
        await chainlog.__aenter__()
        flushes = [asyncio.create_task(chainlog.flush()) for _ in range(3)]
        await until(lambda: chainlog.statistics().retries >= 2)
        assert not any(task.done() for task in flushes)
    async with asyncio.timeout(REPLAY_COMMIT_TIMEOUT_S):
        await asyncio.gather(*flushes)
    assert await stored(db_path) == names(0, 30)
    assert chainlog.statistics().replayed == 30
    await chainlog.flush()
    await chainlog.__aexit__(None, None, None)
    await chainlog.flush()
    check_law(chainlog.statistics())


@pytest.mark.parametrize("is_committed", [True, False], ids=["committed", "begun"])
@pytest.mark.parametrize("journal", [True, False], ids=["journal", "memory"])
async def test_a_shutdown_in_the_middle_of_a_replay_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, journal: bool, is_committed: bool
) -> None:
    """Closed while a dead writer's batch is committed, it loses and doubles nothing, and every count is right."""
    db_path = tmp_path / "log.db"
    leave_dead_journal(db_path, names(0, 100))
    leave_dead_journal(db_path, names(100, 150), tail=b"no entry\n")
    chainlog = ChainLog(settings_for(db_path, max_batch_size=10, journal=journal))
    commit, batches, reached = SqliteStorage.commit, 0, asyncio.Event()

    async def cut_off(storage: SqliteStorage, batch: Batch) -> None:
        nonlocal batches
        batches += 1
        if batches == 3:
            if is_committed:
                await commit(storage, batch)
            reached.set()
            if is_committed:
                await asyncio.Event().wait()
        await commit(storage, batch)

    monkeypatch.setattr(SqliteStorage, "commit", cut_off)
    async with chainlog:
        chainlog.log_request(entry(model="own"))
        await reached.wait()
    statistics = chainlog.statistics()
    check_law(statistics)
    assert (statistics.replayed, statistics.written, statistics.pending) == (150, 1, 0)
    assert sorted(await stored(db_path)) == sorted([*names(0, 150), "own"])
    assert journal_files(db_path) == []
    await asyncio.to_thread(check_totals, db_path)


async def test_a_shutdown_that_runs_out_of_time_leaves_the_replay_to_the_next(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With the database locked it ends in time, whoever waits in flush is told, and the next start has everything."""
    db_path = tmp_path / "log.db"
    await make_database(db_path)
    leave_dead_journal(db_path, names(0, 30))
    chainlog = ChainLog(settings_for(db_path, busy_timeout_ms=10, shutdown_timeout_ms=300))
    async with locked_soon(db_path) as hold:
        await hold()
        async with chainlog:
            flush = asyncio.create_task(chainlog.flush())
            await until(lambda: chainlog.statistics().retries >= 1)
            began = time.monotonic()
        assert time.monotonic() - began < 5
        with pytest.raises(EntryAbandonedError, match="journals of earlier writers"):
            await flush
        with pytest.raises(EntryAbandonedError, match="journals of earlier writers"):
            await chainlog.flush()
    assert any("wait for the next start" in line for line in warnings_of(caplog))
    check_law(chainlog.statistics())
    assert await stored(db_path) == []
    async with ChainLog(settings_for(db_path)) as chainlog:
        pass
    assert chainlog.statistics().replayed == 30
    assert await stored(db_path) == names(0, 30)


async def test_a_journal_that_cannot_be_read_does_not_keep_flush_waiting(tmp_path: Path) -> None:
    """Its entries wait for an operator; flush and close do not."""
    db_path = tmp_path / "log.db"
    unreadable = leave_dead_journal(db_path, [])
    unreadable.unlink()
    unreadable.mkdir()
    leave_dead_journal(db_path, names(0, 5))
    async with asyncio.timeout(REPLAY_COMMIT_TIMEOUT_S), ChainLog(settings_for(db_path)) as chainlog:
        await chainlog.flush()
        assert await stored(db_path) == names(0, 5)
    assert unreadable.is_dir()


async def test_what_is_in_memory_only_is_drained_before_the_replay(tmp_path: Path) -> None:
    """Without a journal entries would be lost when time runs out; what dead writers left would not."""
    db_path = tmp_path / "log.db"
    leave_dead_journal(db_path, names(0, 5))
    async with ChainLog(in_memory(db_path)) as chainlog:
        chainlog.log_request(entry(model="own"))
    assert await stored(db_path) == ["own", *names(0, 5)]
    check_law(chainlog.statistics())
