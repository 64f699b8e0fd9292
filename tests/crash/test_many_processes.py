"""What is promised to several processes that write to one file at once: nothing is lost, doubled or out of order."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.writing import check_totals, models, query

PROCESSES = 4
ENTRIES = 5_000

WRITER = """
import asyncio, sys
from chainlog_async import ChainLog, RequestLogEntry
from chainlog_async.settings import Settings

path, name, count, journal = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4] == "True"

async def main():
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    async with ChainLog(Settings(db_path=path, max_batch_size=100, flush_interval_ms=5, journal=journal)) as chainlog:
        for number in range(count):
            assert chainlog.log_request(RequestLogEntry(
                chain_name="default", provider_id=name, model=f"{name}-{number}", latency_ms=1, http_status=200,
                prompt_tokens=number, completion_tokens=1,
            ))
            if number % 50 == 0:
                await asyncio.sleep(0)
            if number % 1_000 == 999:
                await chainlog.flush()
    statistics = chainlog.statistics()
    print(statistics.written, statistics.pending, statistics.dropped, flush=True)

asyncio.run(main())
"""


def write_together(db_path: Path, *, processes: int, count: int, journal: bool) -> list[str]:
    """Starts that many writers, lets them all go at once, and gives the last line of each."""
    with ExitStack() as stack:
        writers = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", WRITER, str(db_path), f"p{number}", str(count), str(journal)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for number in range(processes)
        ]
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
        for writer in writers:
            assert writer.stdin is not None
            writer.stdin.write("go\n")
            writer.stdin.flush()
        answers = [writer.communicate(timeout=50)[0].strip() for writer in writers]
        assert [writer.returncode for writer in writers] == [0] * processes
    return answers


@pytest.mark.parametrize("journal", [False, True], ids=["memory", "journal"])
def test_processes_that_share_a_fresh_file_lose_and_double_nothing(tmp_path: Path, journal: bool) -> None:
    """Four writers that start at once on a file that does not exist yet: every entry once, the totals right."""
    db_path = tmp_path / "log.db"
    answers = write_together(db_path, processes=PROCESSES, count=ENTRIES, journal=journal)
    assert answers == [f"{ENTRIES} 0 {{}}"] * PROCESSES
    written = models(db_path)
    assert len(written) == PROCESSES * ENTRIES
    for number in range(PROCESSES):
        own = [model for model in written if model.startswith(f"p{number}-")]
        assert own == [f"p{number}-{entry}" for entry in range(ENTRIES)]
    check_totals(db_path)
    totals = query(db_path, "SELECT provider_id, total_requests, total_tokens FROM usage_by_provider ORDER BY 1")
    assert totals == [(f"p{number}", ENTRIES, ENTRIES * (ENTRIES - 1) // 2 + ENTRIES) for number in range(PROCESSES)]
    assert query(db_path, "SELECT total_requests FROM usage_summary") == [(PROCESSES * ENTRIES,)]


def test_processes_that_start_together_migrate_once(tmp_path: Path) -> None:
    """Six short lives on a fresh file: each opens it, whoever makes the tables, and all of their entries are there."""
    db_path = tmp_path / "log.db"
    assert write_together(db_path, processes=6, count=3, journal=True) == ["3 0 {}"] * 6
    assert sorted(models(db_path)) == sorted(f"p{number}-{entry}" for number in range(6) for entry in range(3))
    check_totals(db_path)
