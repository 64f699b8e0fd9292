"""Hours in minutes: one writer that lives from beginning to end, two that are killed now and then, and faults."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiosqlite

from chainlog_async import ChainLog
from chainlog_async.common.database_files import journal_folder
from chainlog_async.storage.sqlite import connection as database
from chainlog_async.storage.sqlite import open as storage_open

from .life import Logging, Plan, log_until_killed, recover, start
from .verify import Finding, verify

CACHE_KIB = 2_000
"""SQLite's own cache, which would go on growing to its bound of 64 MB for longer than the soak, and hide a leak."""

FLAT_KIB = 8 * 1024
"""By so much may the memory of the second half exceed that of the second quarter."""


@dataclass
class Limits:
    """What the living writer's connections are told: the largest number of pages, or 0 for none."""

    pages: int = 0
    connections: list[aiosqlite.Connection] = field(default_factory=list)

    async def initialize(self, *arguments: object, **named: object) -> aiosqlite.Connection:
        """Stands in for `initialize_database`: a full disk is full for the next connection as well."""
        connection = await database.initialize_database(*arguments, **named)  # type: ignore[arg-type]  # handed on
        self.connections.append(connection)
        await self._limit(connection)
        return connection

    async def set(self, pages: int) -> None:
        """From now on."""
        self.pages = pages
        for connection in self.connections:
            try:
                await self._limit(connection)
            except ValueError:
                self.connections.remove(connection)

    async def _limit(self, connection: aiosqlite.Connection) -> None:
        # Below what there is, SQLite sets it to what there is.
        await connection.execute_fetchall(f"PRAGMA max_page_count = {self.pages or 2**30}")


async def live_on(plan: Plan, commands: int, report: Path) -> None:
    """The writer that is never killed: logs, obeys the commands full, free and end, and reports every half second."""
    limits = Limits()
    database.CACHE_KIB = CACHE_KIB
    storage_open.initialize_database = limits.initialize  # type: ignore[attr-defined]  # the process is the soak's own
    os.set_blocking(commands, False)
    async with ChainLog(plan.make_settings()) as chainlog:
        logging = Logging(chainlog, plan.acks, "steady")
        command = b""
        with report.open("w") as reports:
            while command != b"e":
                for _ in range(150):
                    logging.log()
                    await asyncio.sleep(0.003)
                reports.write(f"{_rss_kib()}\n")
                reports.flush()
                command = _read(commands)
                if command:
                    await limits.set(1 if command == b"f" else 0)
        await chainlog.flush()
    statistics = chainlog.statistics()
    accounted = statistics.written + statistics.pending + sum(statistics.dropped.values())
    kept = statistics.submitted == accounted == statistics.written == logging.accepted
    report.with_suffix(".end").write_text(
        f"{'kept' if kept else 'broken'}: {statistics.submitted:,} submitted, {statistics.written:,} written, "
        f"{statistics.pending} pending, dropped {statistics.dropped}, {statistics.retries} retries"
    )


def _read(commands: int) -> bytes:
    try:
        return os.read(commands, 1)
    except BlockingIOError:
        return b""


def _rss_kib() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


class Soak:
    """The processes and what befalls them."""

    def __init__(self, folder: Path, show: Callable[[str], None], ways: list[str]) -> None:
        folder.mkdir()
        (folder / "acks").mkdir()
        self.show = show
        self.ways = ways
        # A journal of small segments meets an unwritable folder soon.
        settings: dict[str, object] = {"journal_max_bytes": 8 * 1024 * 1024, "journal_segment_bytes": 64 * 1024}
        self.plan = Plan(folder / "log.db", folder / "acks", burst=3, pause_s=0.01, settings=settings)
        self.report = folder / "report"
        self.kills = 0
        self.born = 0
        self.problems: list[str] = []
        reading, self.commands = os.pipe()
        self.steady = start(lambda: asyncio.run(live_on(self.plan.writing(ways[0]), reading, self.report)))
        os.close(reading)
        self.victims = [self._bear(), self._bear()]
        self.faults: dict[str, int] = {}
        self.law = ""

    def run(self, seconds: float) -> None:
        """One fault after the other."""
        end = time.monotonic() + seconds
        faults = (self._lock, self._fill, self._forbid_journal, self._kill)
        while not self.report.exists():
            time.sleep(0.01)
        queue: list[Callable[[], None]] = []
        while (left_s := end - time.monotonic()) > 0:
            queue = queue or random.sample(faults, len(faults))
            fault = queue.pop()
            name = fault.__name__.strip("_")
            self.faults[name] = self.faults.get(name, 0) + 1
            self.show(f"soak: {left_s:.0f} s left, {self.faults}")
            fault()
            time.sleep(random.uniform(0.1, 1.5))
            if os.waitpid(self.steady, os.WNOHANG) != (0, 0):
                raise SystemExit("the steady writer ended by itself")

    def end(self) -> None:
        """Everything that was accepted is written, and everybody goes."""
        for victim in self.victims:
            self._end(victim)
        os.write(self.commands, b"e")
        code = os.waitstatus_to_exitcode(os.waitpid(self.steady, 0)[1])
        ended = self.report.with_suffix(".end")
        self.law = ended.read_text() if ended.exists() else f"unknown, for the writer ended with {code}"
        if not self.law.startswith("kept"):
            self.problems.append(f"the accounting law is {self.law}")
        self.problems += _judge_memory(self.samples())

    def samples(self) -> list[int]:
        """Memory of the steady writer, in KiB, every half second."""
        return [int(line) for line in self.report.read_text().split()]

    def _bear(self) -> int:
        self.born += 1
        name, plan = f"victim{self.born:04d}", self.plan.writing(self.ways[self.born % len(self.ways)])
        return start(lambda: asyncio.run(log_until_killed(plan, name)))

    def _end(self, victim: int) -> None:
        os.kill(victim, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(victim, 0)[1])
        if code != -signal.SIGKILL:
            self.problems.append(f"a writer ended by itself, with {code}")
        self.kills += 1

    def _kill(self) -> None:
        self._end(self.victims.pop(0))
        self.victims.append(self._bear())

    def _lock(self) -> None:
        connection = sqlite3.connect(self.plan.db_path, timeout=60, isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        time.sleep(random.uniform(0.2, 3))
        connection.execute("ROLLBACK")
        connection.close()

    def _fill(self) -> None:
        os.write(self.commands, b"f")
        time.sleep(random.uniform(1, 4))
        os.write(self.commands, b"r")

    def _forbid_journal(self) -> None:
        folder = journal_folder(self.plan.db_path)
        with unwritable(folder):
            time.sleep(random.uniform(0.5, 4))
            if random.random() < 0.5:
                self._kill()


@contextmanager
def unwritable(folder: Path) -> Iterator[None]:
    """Nothing can be made or deleted in the folder; root needs chattr for that."""
    chattr = shutil.which("chattr") if os.getuid() == 0 else None
    folder.chmod(0o500)
    if chattr:
        subprocess.run([chattr, "+i", folder], check=False, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        if chattr:
            subprocess.run([chattr, "-i", folder], check=False, stderr=subprocess.DEVNULL)
        folder.chmod(0o700)


def _judge_memory(samples: list[int]) -> list[str]:
    quarter = len(samples) // 4
    if not quarter:
        return [f"too few samples of memory: {samples}"]
    early, late = max(samples[quarter : 2 * quarter]), max(samples[2 * quarter :])
    if late > early + FLAT_KIB:
        return [f"memory grew from {early} to {late} KiB"]
    return []


def soak(folder: Path, seconds: float, show: Callable[[str], None], ways: list[str]) -> tuple[int, Finding, str]:
    """Gives the number of kills, what was found in the end, and what happened in words.

    The writer that lives writes its journal in the first of these ways, the others take turns.
    """
    writers = Soak(folder, show, ways)
    writers.run(seconds)
    writers.end()
    os.waitpid(start(lambda: asyncio.run(recover(writers.plan))), 0)
    finding = verify(writers.plan.db_path, writers.plan.acks)
    finding.problems += writers.problems
    samples = writers.samples()
    memory = f"memory {min(samples):,} to {max(samples):,} KiB, {samples[-1]:,} at the end" if samples else "no samples"
    faults = ", ".join(f"{name} {count}" for name, count in sorted(writers.faults.items()))
    return writers.kills, finding, f"soak of {seconds:g} s: {faults}; {memory}; law {writers.law}"
