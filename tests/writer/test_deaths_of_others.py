"""What a running writer does for those that are killed beside it: it writes what they left, and spares the living."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from chainlog_async import ChainLog
from chainlog_async.buffer.journal_manager import JournalManager
from chainlog_async.buffer.queue import EntryQueue
from tests.support.entries import entry
from tests.support.faults import journal_files, leave_dead_journal, until_health
from tests.support.writing import (
    check_law,
    check_totals,
    locked,
    log_all,
    names,
    settings_for,
    stored,
    until,
    until_stored,
    warnings_of,
)

WORKER = """
import asyncio, sys
from chainlog_async import ChainLog, RequestLogEntry
from chainlog_async.settings import Settings

async def main(db_path):
    async with ChainLog(Settings(db_path=db_path)) as chainlog:
        print("open", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        for number in range(200):
            assert chainlog.log_request(RequestLogEntry(
                chain_name="default", provider_id="killed", model=f"killed-{number}", latency_ms=1, http_status=200))
        print("logged", flush=True)
        await asyncio.sleep(3600)

asyncio.run(main(sys.argv[1]))
"""


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """The writer looks ten times a second, not once a minute."""
    monkeypatch.setattr("chainlog_async.writer.writer.LOOK_AGAIN_S", 0.1)


async def test_a_killed_worker_s_entries_are_written_by_a_living_one(tmp_path: Path) -> None:
    """Two processes have the log open and one is killed: the other writes its entries, without a restart, once."""
    db_path = tmp_path / "log.db"
    async with ChainLog(settings_for(db_path, busy_timeout_ms=20)) as chainlog:
        worker = await asyncio.to_thread(
            subprocess.Popen,
            [sys.executable, "-c", WORKER, str(db_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert worker.stdin is not None
        assert worker.stdout is not None
        assert await asyncio.to_thread(worker.stdout.readline) == "open\n"
        async with locked(db_path):
            worker.stdin.write("go\n")
            worker.stdin.flush()
            assert await asyncio.to_thread(worker.stdout.readline) == "logged\n"
            worker.kill()
            assert await asyncio.to_thread(worker.wait) == -signal.SIGKILL
        worker.stdin.close()
        worker.stdout.close()
        await until_stored(db_path, 200)
        assert await stored(db_path) == [f"killed-{number}" for number in range(200)]
        await until(lambda: len(journal_files(db_path)) == 1)
        assert chainlog.statistics().replayed == 200
        assert chainlog.health().status == "ok"
    check_law(chainlog.statistics())
    assert journal_files(db_path) == []
    await asyncio.to_thread(check_totals, db_path)


async def test_the_journal_of_a_living_writer_is_left_alone(tmp_path: Path) -> None:
    """Its entries wait for a lock while the other looks again and again: it writes them itself, once."""
    db_path = tmp_path / "log.db"
    async with (
        ChainLog(settings_for(db_path, busy_timeout_ms=5)) as waiting,
        ChainLog(settings_for(db_path, busy_timeout_ms=5)) as looking,
    ):
        async with locked(db_path):
            log_all(waiting, names(0, 50))
            await until(lambda: waiting.statistics().retries >= 3)
            await asyncio.sleep(0.3)
        await waiting.flush()
        leave_dead_journal(db_path, names(50, 60))
        await until_stored(db_path, 60)
        assert await stored(db_path) == names(0, 60)
        await until(lambda: waiting.statistics().replayed + looking.statistics().replayed == 10)
        assert (waiting.statistics().written, looking.statistics().written) == (50, 0)


async def test_a_deleted_lock_does_not_make_a_living_writer_dead(tmp_path: Path) -> None:
    """It makes a new one within a second, so only a journal that has none for longer is taken."""
    db_path = tmp_path / "log.db"
    queue = EntryQueue(max_rows=10, max_bytes=1_000, max_batch_rows=10, drop_oldest=False)
    journals = JournalManager(queue, settings_for(db_path))
    await journals.open(db_path)
    assert await journals.take_dead(pytest.fail) == []
    writer_id = leave_dead_journal(db_path, names(0, 5)).name.split(".")[0]
    assert await journals.take_dead(pytest.fail) == []
    assert [lease.writer_id for lease in await journals.take_dead(pytest.fail)] == [writer_id]
    queue.end_journal()
    await journals.close(forget=False)


async def test_a_journal_that_becomes_readable_is_written_and_health_recovers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """While it cannot be read the log says so once, and new entries are written."""
    db_path = tmp_path / "log.db"
    segment = leave_dead_journal(db_path, names(0, 5))
    content = segment.read_bytes()
    segment.unlink()
    segment.mkdir()
    async with ChainLog(settings_for(db_path)) as chainlog:
        await chainlog.write(entry(model="new"))
        assert "within a minute" in await until_health(chainlog, "degraded")
        await asyncio.sleep(0.3)
        segment.rmdir()
        segment.write_bytes(content)
        await until_stored(db_path, 6)
        assert await until_health(chainlog, "ok") == ""
        assert await stored(db_path) == ["new", *names(0, 5)]
    assert sum("a journal was skipped" in line for line in warnings_of(caplog)) == 1
