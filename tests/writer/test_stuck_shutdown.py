"""A process must come to its end: with a locked database, with one that never answers, with a full queue."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

import pytest

from chainlog_async import ChainLog
from tests.support.entries import entry
from tests.support.faults import journal_files
from tests.support.writing import Locked, check_totals, execute, names, query, settings_for, stored

pytestmark = pytest.mark.usefixtures("short_pauses")

GATEWAY = """
import asyncio, sqlite3, sys, threading, time
from chainlog_async import ChainLog, RequestLogEntry
from chainlog_async.settings import Settings

path, how, max_queue_size = sys.argv[1], sys.argv[2], int(sys.argv[3])
stuck = threading.Event()

def never_answer():
    stuck.set()
    time.sleep(3600)

async def main():
    settings = Settings(db_path=path, shutdown_timeout_ms=300, max_batch_size=10, max_queue_size=max_queue_size,
                        journal_max_bytes=65536, read_timeout_ms=3_600_000)
    async with ChainLog(settings) as chainlog:
        connection = chainlog.request_logger.connection
        await connection.create_function("never_answer", 0, never_answer)
        hang = "CREATE TEMP TRIGGER hang BEFORE INSERT ON {} BEGIN SELECT never_answer(); END"
        if how == "stuck":
            await connection.execute_fetchall(hang.format("request_logs"))
        if "refused row" in how:
            await connection.execute_fetchall(
                "CREATE TEMP TRIGGER refuse BEFORE INSERT ON request_logs BEGIN SELECT RAISE(ABORT, 'no'); END")
        if how == "stuck with a refused row":
            await connection.execute_fetchall(hang.format("rejected_entries"))
        print("open", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        accepted = 0
        for number in range(int(sys.argv[4])):
            accepted += chainlog.log_request(RequestLogEntry(
                chain_name="c", provider_id="p", model=f"m{number}", latency_ms=1, http_status=200))
        if how.startswith("stuck"):
            await asyncio.to_thread(stuck.wait)
        while how.startswith("damaged") and chainlog.health().status != "failed":
            await asyncio.sleep(0.002)
    statistics = chainlog.statistics()
    assert statistics.submitted == statistics.written + statistics.pending + sum(statistics.dropped.values())
    print(accepted, statistics.pending, statistics.dropped, flush=True)

asyncio.run(main())
"""


@contextmanager
def gateway(db_path: Path, how: str, *, max_queue_size: int, entries: int) -> Iterator[subprocess.Popen[bytes]]:
    """A process with a log that is open; it logs and ends when it is told to go."""
    command = [sys.executable, "-c", GATEWAY, str(db_path), how, str(max_queue_size), str(entries)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        try:
            yield process
        finally:
            process.kill()


def end(process: subprocess.Popen[bytes]) -> tuple[str, float]:
    """Lets it go; gives what it said last, and how long it took to be gone, in seconds."""
    began = monotonic()
    output, errors = process.communicate(b"go\n", timeout=30)
    assert process.returncode == 0, errors.decode()
    return output.decode().strip(), monotonic() - began


@pytest.mark.parametrize("how", ["locked", "stuck", "stuck with a refused row"])
async def test_what_a_stuck_end_leaves_is_written_once_by_the_next_start(tmp_path: Path, how: str) -> None:
    """`shutdown_timeout_ms` bites, the process is gone, what is left is in the journal, and then in the database."""
    db_path = tmp_path / "log.db"
    with gateway(db_path, how, max_queue_size=100_000, entries=100) as process:
        lock = await asyncio.to_thread(Locked, db_path) if how == "locked" else None
        said, took_s = await asyncio.to_thread(end, process)
        if lock:
            await asyncio.to_thread(lock.release)
    assert said == "100 100 {}"
    # 0.3 s to drain; a database that does not answer is given 1.5 s more.
    assert took_s < 8
    assert journal_files(db_path) != []
    async with ChainLog(settings_for(db_path)) as chainlog:
        await chainlog.write(entry(model="next"))
        assert chainlog.statistics().replayed == 100
    assert await stored(db_path) == [*names(0, 100), "next"]
    assert journal_files(db_path) == []
    await asyncio.to_thread(check_totals, db_path)


async def test_a_full_queue_does_not_hold_up_the_end(tmp_path: Path) -> None:
    """With journal and memory full, what memory had is counted as lost, and what the journal had is written later."""
    db_path = tmp_path / "log.db"
    with gateway(db_path, "locked", max_queue_size=50, entries=3_000) as process:
        lock = await asyncio.to_thread(Locked, db_path)
        said, took_s = await asyncio.to_thread(end, process)
        await asyncio.to_thread(lock.release)
    accepted, pending, *_ = (int(word) for word in said.split(" {")[0].split())
    assert "'shutdown': 50" in said
    assert f"'queue_full': {3_000 - accepted}" in said
    assert pending == accepted - 50
    assert took_s < 8
    async with ChainLog(settings_for(db_path)) as chainlog:
        await chainlog.flush()
        await chainlog.write(entry(model="next"))
        assert chainlog.statistics().replayed == pending
    assert len(await stored(db_path)) == pending + 1


async def test_damage_that_a_refused_row_meets_does_not_hold_up_the_end(tmp_path: Path) -> None:
    """Where a refused row cannot be put aside because the file is damaged, the process ends; the journal has all."""
    db_path = tmp_path / "log.db"
    with gateway(db_path, "damaged with a refused row", max_queue_size=100, entries=100) as process:
        await asyncio.to_thread(_overwrite_table, db_path, "rejected_entries")
        said, took_s = await asyncio.to_thread(end, process)
    assert said == "100 100 {}"
    assert took_s < 8
    assert len(journal_files(db_path)) == 2


def _overwrite_table(db_path: Path, table: str) -> None:
    execute(db_path, "PRAGMA wal_checkpoint(TRUNCATE)")
    ((root,),) = query(db_path, "SELECT rootpage FROM sqlite_master WHERE name = ?", table)
    ((page_size,),) = query(db_path, "PRAGMA page_size")
    with db_path.open("r+b") as file:
        file.seek((int(str(root)) - 1) * int(str(page_size)))
        file.write(b"\xa5" * int(str(page_size)))
