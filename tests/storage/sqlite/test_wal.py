"""The write-ahead log: bounded, watched while somebody reads, and small again afterwards."""

from __future__ import annotations

import asyncio
import logging
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from chainlog_async import ChainLog
from tests.support.entries import entry
from tests.support.faults import beside_it, until_health
from tests.support.writing import check_totals, log_all, names, settings_for, stored, until

pytestmark = pytest.mark.usefixtures("short_pauses")

LIMIT = 64 * 1024


def wal_size(db_path: Path) -> int:
    """Size of the log on disk, in bytes."""
    return beside_it(db_path, "-wal").stat().st_size


@pytest.mark.usefixtures("no_rollups")
async def test_a_slow_reader_is_noticed_and_the_log_shrinks_once_it_goes(tmp_path: Path) -> None:
    """While a reader pins an old state health is degraded and says so; when it goes, the log is cut to its limit."""
    db_path = tmp_path / "log.db"
    async with ChainLog(settings_for(db_path, wal_limit_bytes=LIMIT)) as chainlog:
        await chainlog.write(entry())
        with closing(sqlite3.connect(db_path, isolation_level=None, check_same_thread=False)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT COUNT(*) FROM request_logs").fetchone()
            for start in range(0, 6_000, 500):
                log_all(chainlog, names(start, start + 500))
                await chainlog.flush()
            reason = await until_health(chainlog, "degraded")
            assert "end that reader" in reason
            statistics = chainlog.statistics()
            assert statistics.wal_bytes > 4 * LIMIT
            assert statistics.checkpoints_partial >= 1
            assert len(await stored(db_path)) == 6_001
            # The log of the migrations may have been long enough for one before there was a reader.
            complete = chainlog.statistics().checkpoints_complete
            reader.execute("COMMIT")
        await until(lambda: chainlog.statistics().checkpoints_complete > complete)
        # The log is begun anew with the next commit, and cut then.
        await chainlog.write(entry())
        await until(lambda: chainlog.statistics().wal_bytes <= LIMIT + 32 * 1024)
        assert wal_size(db_path) <= LIMIT + 32 * 1024
        assert await until_health(chainlog, "ok") == ""


HOLD_CHECKPOINTS = """
import fcntl, sys
with open(sys.argv[1], "r+b") as file:
    # The byte that SQLite locks for a checkpoint: https://www.sqlite.org/walformat.html#locks
    fcntl.lockf(file, fcntl.LOCK_EX, 1, 121)
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.mark.usefixtures("no_rollups")
async def test_a_checkpoint_that_another_process_prevents_is_not_taken_for_one(tmp_path: Path) -> None:
    """While another process is stuck in one health says so, and none is counted as complete; once it goes, one is."""
    db_path = tmp_path / "log.db"
    async with ChainLog(settings_for(db_path, wal_limit_bytes=LIMIT)) as chainlog:
        await chainlog.write(entry())
        command = [sys.executable, "-c", HOLD_CHECKPOINTS, str(beside_it(db_path, "-shm"))]
        process = await asyncio.create_subprocess_exec(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdout
        assert await process.stdout.readline() == b"held\n"
        try:
            log_all(chainlog, names(0, 1_000))
            await chainlog.flush()
            assert "another process is checkpointing it" in await until_health(chainlog, "degraded")
            before = chainlog.statistics()
            await until(lambda: chainlog.statistics().checkpoints_partial > before.checkpoints_partial + 2)
            assert chainlog.statistics().checkpoints_complete == before.checkpoints_complete
        finally:
            await process.communicate(b"\n")
        assert await until_health(chainlog, "ok") == ""
        assert chainlog.statistics().checkpoints_complete > before.checkpoints_complete
        assert await stored(db_path) == ["llama-3.1-8b-instant", *names(0, 1_000)]


async def test_without_a_slow_reader_the_log_stays_small(tmp_path: Path) -> None:
    """Many thousands of rows leave a log of a few megabytes, which is SQLite's own habit, and health stays ok."""
    db_path = tmp_path / "log.db"
    async with ChainLog(settings_for(db_path)) as chainlog:
        for start in range(0, 30_000, 3_000):
            log_all(chainlog, names(start, start + 3_000))
            await chainlog.flush()
            assert chainlog.health().status == "ok"
        assert await asyncio.to_thread(wal_size, db_path) < 8 * 1024 * 1024
    # At the end nobody else has it open: it is moved into the database.
    assert not beside_it(db_path, "-wal").exists()


KILLED = """
import asyncio, os, signal, sys
from chainlog_async import ChainLog, RequestLogEntry
from chainlog_async.storage.sqlite.maintenance import rounds
from chainlog_async.settings import Settings

rounds.MAINTENANCE_INTERVAL_S = 0.02

async def main():
    async with ChainLog(Settings(db_path=sys.argv[1])) as chainlog:
        for number in range(200):
            chainlog.log_request(RequestLogEntry(
                chain_name="c", provider_id="p", model=f"m{number}", latency_ms=1, http_status=200))
            if number == 100:
                await chainlog.flush()
                os.unlink(sys.argv[1] + "-wal")
        await chainlog.flush()
        while not any("-wal was deleted" in reason for reason in chainlog.health().reasons):
            await asyncio.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


async def test_a_deleted_log_is_saved_into_the_database(tmp_path: Path) -> None:
    """What was committed to a -wal that somebody deleted is in the database a moment later, and outlives a kill."""
    db_path = tmp_path / "log.db"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", KILLED, str(db_path))
    assert await asyncio.wait_for(process.wait(), 40) == -signal.SIGKILL
    async with ChainLog(settings_for(db_path)) as chainlog:
        await chainlog.write(entry(model="next"))
    assert await stored(db_path) == [*names(0, 200), "next"]
    await asyncio.to_thread(check_totals, db_path)


@pytest.mark.parametrize(("version", "notes"), [((3, 51, 2), 1), ((3, 51, 3), 0)])
async def test_health_tells_of_an_sqlite_with_the_bug(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    version: tuple[int, int, int],
    notes: int,
) -> None:
    """It is a note that says what is at risk and what helps: health stays ok, and the log has one line, no warning."""
    monkeypatch.setattr(sqlite3, "sqlite_version_info", version)
    monkeypatch.setattr("chainlog_async.storage.sqlite.version._has_told", False)
    caplog.set_level(logging.INFO)
    for _ in range(2):
        async with ChainLog(settings_for(tmp_path / "log.db")) as chainlog:
            health = chainlog.health()
            assert health.status == "ok"
            assert len(health.notes) == notes
            assert all("a single one is safe. pip install 'pysqlite3" in note for note in health.notes)
    lines = [record for record in caplog.records if "WAL-reset bug" in record.getMessage()]
    assert [line.levelname for line in lines] == ["INFO"] * notes
