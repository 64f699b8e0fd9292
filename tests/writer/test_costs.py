"""What an entry and a batch may cost, by counting: times belong to the benchmarks, for a test machine may be busy."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import aiosqlite
import pytest

from chainlog_async import ChainLog
from chainlog_async.common.cancellation import run_in_thread
from chainlog_async.entry.batch import Batch
from chainlog_async.entry.line import encode_line
from chainlog_async.settings import Settings
from chainlog_async.storage.sqlite.maintenance.pages import PAGES
from chainlog_async.storage.sqlite.open import open_database
from chainlog_async.storage.sqlite.queries import totals
from chainlog_async.storage.sqlite.storage import SqliteStorage
from tests.support.entries import entry
from tests.support.writing import in_memory, settings_for, stored, until

ROWS = 100

HEAVY = ("pydantic", "pydantic_settings", "yaml", "starlette", "uvicorn", "click", "rich", "httpx")
"""What only some of the users need, and everybody would wait for."""


class Counted:
    """What goes to the connections of aiosqlite, in order."""

    def __init__(self) -> None:
        self.hand_overs: list[str] = []
        self.statements: list[str] = []

    def clear(self) -> None:
        """Forgets what was counted so far."""
        self.hand_overs.clear()
        self.statements.clear()

    @property
    def batches(self) -> list[str]:
        """The statements that carry a batch."""
        return [sql for sql in self.statements if sql.startswith("INSERT INTO batches")]


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    """Counts every hand-over to a connection's thread, and every statement of every connection opened from now on."""
    counted = Counted()
    execute, connect = aiosqlite.Connection._execute, sqlite3.connect

    async def counting(
        connection: aiosqlite.Connection, function: Callable[..., object], *arguments: object, **named: object
    ) -> object:
        counted.hand_overs.append(function.__name__)
        return await execute(connection, function, *arguments, **named)  # type: ignore[no-untyped-call]  # aiosqlite's

    class CountingConnection(sqlite3.Connection):
        # Not set_trace_callback: it is called for every statement inside a trigger too, with the outer one's text.
        def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
            counted.statements.append(sql.strip())
            return super().execute(sql, *parameters)

    monkeypatch.setattr(aiosqlite.Connection, "_execute", counting)
    monkeypatch.setattr(sqlite3, "connect", partial(connect, factory=CountingConnection))
    return counted


@pytest.fixture
def no_maintenance(monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts the rounds between the batches off till after the test: they have statements of their own."""
    monkeypatch.setattr("chainlog_async.storage.sqlite.maintenance.rounds.MAINTENANCE_INTERVAL_S", 3_600.0)


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The size of every write to a file that the package makes in this process, without SQLite's own."""
    sizes: list[int] = []

    def counting(name: str) -> Callable[..., int]:
        write = getattr(os, name)

        def count(descriptor: int, data: bytes, *rest: int) -> int:
            sizes.append(len(data))
            return int(write(descriptor, data, *rest))

        return count

    for name in ("write", "pwrite"):
        monkeypatch.setattr(os, name, counting(name))
    return sizes


@pytest.mark.usefixtures("no_maintenance")
@pytest.mark.parametrize("make", [settings_for, in_memory])
async def test_a_batch_is_one_statement_and_one_hand_over(
    make: Callable[..., Settings], tmp_path: Path, counted: Counted
) -> None:
    """However many rows a batch has, the thread is handed one call, and SQLite is given one statement."""
    async with ChainLog(make(tmp_path / "observability.db", flush_interval_ms=60_000)) as chainlog:
        await chainlog.write(entry())
        counted.clear()
        for batch in range(1, 4):
            for _ in range(ROWS):
                chainlog.log_request(entry())
            await chainlog.flush()
            assert chainlog.statistics().batches == 1 + batch
            assert len(counted.hand_overs) == batch, counted.hand_overs
            assert counted.statements == counted.batches
            assert len(counted.batches) == batch
        assert chainlog.statistics().written == 1 + 3 * ROWS


@pytest.mark.usefixtures("no_maintenance")
async def test_a_backlog_is_written_in_full_batches(tmp_path: Path, counted: Counted) -> None:
    """What waits goes in as few statements as `max_batch_size` allows."""
    async with ChainLog(settings_for(tmp_path / "observability.db", max_batch_size=ROWS)) as chainlog:
        await chainlog.write(entry())
        counted.clear()
        for _ in range(5 * ROWS):
            chainlog.log_request(entry())
        await chainlog.flush()
        assert len(counted.batches) == len(counted.hand_overs) == 5


@pytest.mark.usefixtures("no_maintenance")
async def test_a_lone_entry_goes_at_once_and_alone(tmp_path: Path) -> None:
    """After a quiet spell an entry does not wait for others: it is committed although the interval is an hour."""
    path = tmp_path / "observability.db"
    async with ChainLog(settings_for(path, flush_interval_ms=60_000)) as chainlog:
        chainlog.log_request(entry(model="alone"))
        await until(lambda: chainlog.statistics().written == 1)
        assert await stored(path) == ["alone"]
        assert chainlog.statistics().batches == 1


async def test_a_round_of_maintenance_is_one_statement_and_one_look_at_the_files(
    tmp_path: Path, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as there is nothing to do, the rounds between the batches cost a saturated loop next to nothing."""
    monkeypatch.setattr("chainlog_async.storage.sqlite.maintenance.rounds.MAINTENANCE_INTERVAL_S", 0.0)
    settings = settings_for(tmp_path / "observability.db")
    storage = SqliteStorage(await open_database(settings), settings)
    await storage.start()
    line = encode_line(entry()) + b"\n"
    await storage.commit(Batch("writer", 0, line, 1))
    # The first rounds look for hours to roll up.
    for _ in range(20):
        await storage.maintain(is_behind=False)
    looks: list[str] = []

    async def counting(function: Callable[..., object], *arguments: object) -> object:
        looks.append(function.__name__)
        return await run_in_thread(function, *arguments)

    monkeypatch.setattr("chainlog_async.storage.sqlite.write_connection.run_in_thread", counting)
    counted.clear()
    await storage.maintain(is_behind=False)
    assert looks == ["look_at_files"]
    assert counted.statements == [PAGES.strip()]
    assert counted.hand_overs == ["_execute_fetchall"]
    await storage.aclose()


@pytest.mark.usefixtures("no_maintenance")
async def test_a_read_is_one_statement_and_one_hand_over(tmp_path: Path, counted: Counted) -> None:
    """Once its connection is open, a question costs one trip to the thread; nothing is set up or ended around it."""
    async with ChainLog(settings_for(tmp_path / "observability.db")) as chainlog:
        await chainlog.write(entry())
        await chainlog.usage.get_summary_stats()
        counted.clear()
        await chainlog.usage.get_summary_stats()
        assert counted.statements == [totals.SUMMARY]
        assert counted.hand_overs == ["_execute_fetchall"]


async def test_with_the_journal_an_entry_is_one_write_or_none(
    tmp_path: Path, writes: list[int], journal_write: str
) -> None:
    """`log_request` makes exactly one write of exactly the line, and none where the file is mapped."""
    async with ChainLog(settings_for(tmp_path / "observability.db")) as chainlog:
        # The first one makes the file.
        chainlog.log_request(entry())
        writes.clear()
        before = chainlog.statistics().pending_bytes
        for _ in range(ROWS):
            chainlog.log_request(entry())
        assert len(writes) == (ROWS if journal_write == "pwrite" else 0)
        assert sum(writes) == (chainlog.statistics().pending_bytes - before if journal_write == "pwrite" else 0)


async def test_without_the_journal_an_entry_is_no_write(tmp_path: Path, writes: list[int]) -> None:
    """In memory an entry costs no system call."""
    async with ChainLog(in_memory(tmp_path / "observability.db")) as chainlog:
        for _ in range(ROWS):
            chainlog.log_request(entry())
        assert writes == []


LOG_UNDER_STRACE = """
import asyncio, os, sys
from chainlog_async import ChainLog, RequestLogEntry
from chainlog_async.settings import Settings

async def main():
    how = {"journal": False} if sys.argv[2] == "off" else {"journal_write": sys.argv[2]}
    async with ChainLog(Settings(db_path=sys.argv[1], **how)) as chainlog:
        entry = RequestLogEntry(
            chain_name="c", provider_id="p", model="m", latency_ms=1, http_status=200, timestamp=1_772_400_000_000
        )
        chainlog.log_request(entry)
        os.getppid()
        for _ in range(100):
            chainlog.log_request(entry)
        os.getppid()

asyncio.run(main())
"""


def calls_between_marks(trace: Path) -> Iterator[str]:
    """The names of the system calls of the main thread between the two calls of getppid."""
    thread, marks = "", 0
    for line in trace.read_text(encoding="utf-8", errors="replace").splitlines():
        pid, _, call = line.partition(" ")
        call = call.strip()
        if call.startswith("getppid("):
            thread, marks = pid, marks + 1
        elif marks == 1 and pid == thread and (name := re.match(r"(\w+)\(", call)):
            yield name.group(1)


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
@pytest.mark.parametrize(("journal", "expected"), [("pwrite", ["pwrite64"] * 100), ("mmap", []), ("off", [])])
def test_the_system_sees_no_other_calls(journal: str, expected: list[str], tmp_path: Path) -> None:
    """Seen from outside the process, a hundred entries are a hundred writes and nothing else, or nothing at all."""
    trace = tmp_path / "trace"
    done = subprocess.run(
        ["strace", "-f", "-o", str(trace), sys.executable, "-c", LOG_UNDER_STRACE, str(tmp_path / "x.db"), journal],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode and "ptrace" in done.stderr.lower():
        pytest.skip(f"strace may not look at a process here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    # Memory for the lines and the lock of another thread come and go with the interpreter, not with the entry.
    calls = [call for call in calls_between_marks(trace) if call not in {"brk", "mmap", "munmap", "futex"}]
    assert calls == expected


def test_importing_the_package_leaves_out_what_is_heavy() -> None:
    """Whoever imports the package does not wait for the settings' validation, YAML or the extras."""
    listing = "import sys, chainlog_async; print(*sys.modules, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, check=True)
    loaded = {module.partition(".")[0] for module in done.stdout.split()}
    assert loaded.isdisjoint(HEAVY), loaded & set(HEAVY)


async def in_its_thread(connection: aiosqlite.Connection, function: Callable[..., object], *arguments: object) -> None:
    """Calls it where the connection may be used."""
    await connection._execute(function, *arguments)  # type: ignore[no-untyped-call]  # aiosqlite's


@pytest.mark.usefixtures("no_maintenance")
async def test_the_statement_is_prepared_once(tmp_path: Path) -> None:
    """Every batch is the very same text, so that the connection's cache finds it prepared."""
    async with ChainLog(settings_for(tmp_path / "observability.db")) as chainlog:
        await chainlog.write(entry())
        prepared: list[int] = []
        connection = chainlog.request_logger.connection

        def authorize(action: int, *_: object) -> int:
            # SQLite asks while it prepares a statement, and never while it runs one.
            prepared.append(action)
            return sqlite3.SQLITE_OK

        await in_its_thread(connection, connection._conn.set_authorizer, authorize)
        # Setting it makes every statement that is prepared already be prepared again, once.
        await chainlog.write(entry())
        assert prepared
        prepared.clear()
        for _ in range(5):
            await chainlog.write(entry())
        assert prepared == []
        await in_its_thread(connection, connection._conn.set_authorizer, None)
