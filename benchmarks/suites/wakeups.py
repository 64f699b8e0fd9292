"""How often a saturated event loop and the writer's thread wake each other, per batch: calls of futex, by `perf stat`.

`python -m benchmarks.suites.wakeups` needs Linux, perf, and the right to trace system calls (as root). The loop makes
requests that count for a while and send and receive by a pair of sockets, and logs them. Each way takes turns with the
others in one process. Counts hardly depend on what else the machine does.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from statistics import median
from typing import TYPE_CHECKING
from unittest.mock import patch

import msgspec

from benchmarks.harness.common import entry_of, folder, sample_rows, say
from benchmarks.harness.counting import count_up
from chainlog_async import ChainLog
from chainlog_async.common import gil_yield
from chainlog_async.settings import Settings
from chainlog_async.storage.sqlite.storage import _WRITE_BATCH, SqliteStorage

if TYPE_CHECKING:
    from chainlog_async.entry.batch import Batch

EVENT = "syscalls:sys_enter_futex"
TASKS = 20
WORK = 6_000
"""How far a task counts for one request."""

Commit = Callable[[SqliteStorage, "Batch"], Awaitable[None]]


class Phase(msgspec.Struct):
    """What one way did in one turn."""

    futexes_per_batch: float
    batch_ms: float
    """From the hand-over to the thread until the loop knows of the commit, median."""
    cpu_us: float
    """Of the loop's thread, for a request."""
    requests_per_batch: float


async def _pausing(commit: Commit, storage: SqliteStorage, batch: Batch) -> None:
    # Runs as soon as the task waits for the thread.
    asyncio.get_running_loop().call_soon(time.sleep, gil_yield.PAUSE_S)
    await commit(storage, batch)


async def _without_rows(_: Commit, storage: SqliteStorage, batch: Batch) -> None:
    payload = b"[" + batch.lines[:-1].replace(b"\n", b",") + b"]"
    connection = storage.connection
    run, parameters = connection._conn.execute, (batch.writer_id, batch.start, batch.end, payload)  # noqa: SLF001
    # The shortest way there is.
    await connection._execute(run, _WRITE_BATCH, parameters)  # type: ignore[no-untyped-call]  # noqa: SLF001


@contextmanager
def _committing(way: Callable[[Commit, SqliteStorage, Batch], Awaitable[None]]) -> Iterator[None]:
    commit = SqliteStorage.commit

    async def instead(storage: SqliteStorage, batch: Batch) -> None:
        await way(commit, storage, batch)

    with patch.object(SqliteStorage, "commit", instead):
        yield


@contextmanager
def _switching(seconds: float) -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(seconds)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


@contextmanager
def _as_it_is() -> Iterator[None]:
    yield


@contextmanager
def _pausing_more(interval_s: float) -> Iterator[None]:
    with _committing(_pausing), patch.object(gil_yield, "INTERVAL_S", interval_s):
        yield


WAYS: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "as it is": _as_it_is,
    "never pausing": lambda: patch.object(gil_yield, "MAX_SHARE", 0.0),
    "a pause at the hand-over too": lambda: _committing(_pausing),
    "and every ms instead of every 2 ms": lambda: _pausing_more(0.001),
    "and every 4 ms": lambda: _pausing_more(0.004),
    "pauses of 200 µs": lambda: patch.object(gil_yield, "PAUSE_S", 200e-6),
    "no fetchall in the thread": lambda: _committing(_without_rows),
    "setswitchinterval 0.5 ms": lambda: _switching(0.0005),
    "setswitchinterval 20 ms": lambda: _switching(0.02),
}


class Loop:
    """The saturated loop."""

    def __init__(self, chainlog: ChainLog) -> None:
        self._chainlog = chainlog
        self.requests = 0

    async def ask_for_work(self) -> None:
        """One task: requests without a pause."""
        here, there = socket.socketpair()
        rows = sample_rows(1_000)
        with here, there:
            while True:
                for row in rows:
                    here.send(b"question" * 20)
                    count_up(WORK)
                    there.recv(1_000)
                    await asyncio.sleep(0)
                    self._chainlog.log_request(entry_of((time.time_ns() // 1_000_000, *row[1:])))
                    self.requests += 1

    async def phase(self, wanted: int) -> Phase:
        """Counts for so many batches."""
        took: list[float] = []

        async def timed(commit: Commit, storage: SqliteStorage, batch: Batch) -> None:
            began = time.perf_counter()
            await commit(storage, batch)
            took.append(1e3 * (time.perf_counter() - began))

        with _committing(timed):
            perf = await asyncio.create_subprocess_exec(
                "perf", "stat", "-x", ",", "-e", EVENT, "-p", str(os.getpid()), stderr=subprocess.PIPE
            )
            await asyncio.sleep(0.3)
            requests, cpu_s, batches = self.requests, time.thread_time(), len(took)
            while len(took) < batches + wanted:  # noqa: ASYNC110  # there is no event for it
                await asyncio.sleep(0.02)
            requests, cpu_s, batches = self.requests - requests, time.thread_time() - cpu_s, len(took) - batches
            perf.send_signal(signal.SIGINT)
            _, counted = await perf.communicate()
        (line,) = [line for line in counted.decode().splitlines() if EVENT in line]
        # perf begins a little later than the batches that are counted, and ends a little later.
        return Phase(int(line.split(",")[0]) / len(took), median(took), 1e6 * cpu_s / requests, requests / batches)


async def measure(batches: int, rounds: int) -> dict[str, list[Phase]]:
    """Every way in every round."""
    found: dict[str, list[Phase]] = {name: [] for name in WAYS}
    with folder() as path:
        async with ChainLog(Settings(db_path=path / "log.db")) as chainlog:
            loop = Loop(chainlog)
            tasks = [asyncio.create_task(loop.ask_for_work()) for _ in range(TASKS)]
            for _ in range(rounds):
                for name, way in WAYS.items():
                    with way():
                        found[name].append(await loop.phase(batches))
            for task in tasks:
                task.cancel()
    return found


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, default=20, help="in each turn")
    arguments = parser.parse_args()
    found = asyncio.run(measure(arguments.batches, arguments.rounds))
    say(f"Python {sys.version.split()[0]}")
    say(f"{'':40}{'futex calls a batch':>22}{'batch, ms':>12}{'CPU of a request, µs':>24}{'rows':>8}")
    for name, phases in found.items():
        futexes = sorted(one.futexes_per_batch for one in phases)
        spread = f"{median(futexes):.0f} [{futexes[0]:.0f}-{futexes[-1]:.0f}]"
        batch, cpu, rows = (
            median(getattr(one, field) for one in phases) for field in ("batch_ms", "cpu_us", "requests_per_batch")
        )
        say(f"{name:40}{spread:>22}{batch:>12.1f}{cpu:>24.1f}{rows:>8.0f}")


if __name__ == "__main__":
    main()
