"""Rows committed per second while the event loop has nothing else to do."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from collections.abc import Awaitable, Callable
from contextlib import closing
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from time import perf_counter, process_time, thread_time

import msgspec

from benchmarks.harness.common import INSERT_ROW, Effort, Row, Spread, entry_of, folder, ratios, sample_rows, say
from benchmarks.harness.databases import WRITE_BATCH, lines_of, make_database, open_async, open_plainly
from benchmarks.harness.releases import BEFORE
from benchmarks.harness.worker import Worker, WorkerError, answer_commands
from chainlog_async import ChainLog
from chainlog_async.settings import Settings

BATCH = 1_000
"""Rows in one batch, for every contender that has batches."""

MAX_PENDING_ENTRIES = 5 * BATCH
"""Entries that may wait before the producer waits too."""

LIMIT = "bare sqlite3, the same statement (limit)"
NO_BUCKETS = "the same, without usage over time"
OURS = "chainlog, journal on"

BUCKET_TRIGGERS = (
    "update_usage_buckets update_ttft_buckets update_attempt_buckets update_attempt_buckets_by_trail forget_rollups"
)
"""The triggers that keep usage over time, percentiles and the health of providers (migrations 0007 and 0008)."""


class ThroughputRound(msgspec.Struct):
    """One contender's turn."""

    rows_per_s: float
    loop_us: float
    """CPU time of the event loop's thread, µs per row."""
    process_us: float
    """CPU time of the whole process, µs per row."""


class ThroughputResult(msgspec.Struct):
    """One contender over all rounds."""

    name: str
    error: str | None = None
    rows_per_s: Spread | None = None
    loop_us: Spread | None = None
    process_us: Spread | None = None
    share_of_limit: Spread | None = None
    to_ours: Spread | None = None
    """Rows/s as a multiple of this library's with its journal on."""


class Throughput(msgspec.Struct):
    """The table."""

    contenders: list[ThroughputResult]


# -- the contenders ----------------------------------------------------------------------------------------------

Contender = Callable[[Path, list[Row], int], Awaitable[float]]
"""Writes that many rows into the database, and returns the seconds it took."""


async def _bare(path: Path, rows: list[Row], count: int, *, without: str = "") -> float:
    await make_database(path)
    lines = lines_of(rows[:BATCH])
    with closing(open_plainly(path)) as connection:
        for trigger in without.split():
            connection.execute(f"DROP TRIGGER {trigger}")
        started = perf_counter()
        for number in range(count // BATCH):
            connection.execute(WRITE_BATCH, ("limit", number, number + 1, lines))
        return perf_counter() - started


async def _one_a_transaction(path: Path, rows: list[Row], count: int) -> float:
    await make_database(path)
    with closing(open_plainly(path)) as connection:
        started = perf_counter()
        for row in islice(cycle(rows), count):
            connection.execute(INSERT_ROW, row)
        return perf_counter() - started


async def _row_by_row(path: Path, rows: list[Row], count: int) -> float:
    await make_database(path)
    connection = await open_async(path)
    try:
        started = perf_counter()
        for row in islice(cycle(rows), count):
            await connection.execute(INSERT_ROW, row)
        return perf_counter() - started
    finally:
        await connection.close()


async def _executemany(path: Path, rows: list[Row], count: int) -> float:
    await make_database(path)
    connection = await open_async(path)
    try:
        started = perf_counter()
        for _ in range(count // BATCH):
            await connection.execute("BEGIN IMMEDIATE")
            await connection.executemany(INSERT_ROW, rows[:BATCH])
            await connection.execute("COMMIT")
        return perf_counter() - started
    finally:
        await connection.close()


def _ours(*, journal: bool) -> Contender:
    async def write(path: Path, rows: list[Row], count: int) -> float:
        entries = [entry_of(row) for row in rows[:BATCH]]
        async with ChainLog(Settings(db_path=path, journal=journal)) as chainlog:
            started = perf_counter()
            for _ in range(count // BATCH):
                for entry in entries:
                    chainlog.log_request(entry)
                while chainlog.statistics().pending > MAX_PENDING_ENTRIES:  # noqa: ASYNC110  # there is no event for it
                    await asyncio.sleep(0.001)
            await chainlog.flush()
            return perf_counter() - started

    return write


CONTENDERS: dict[str, tuple[Contender, int]] = {
    LIMIT: (_bare, 1),
    NO_BUCKETS: (partial(_bare, without=BUCKET_TRIGGERS), 1),
    OURS: (_ours(journal=True), 1),
    "chainlog, journal off": (_ours(journal=False), 1),
    BEFORE: (_ours(journal=True), 1),
    "aiosqlite, executemany, 1,000 a batch": (_executemany, 1),
    "aiosqlite, row by row": (_row_by_row, 5),
    "sqlite3, one row a transaction (429chain)": (_one_a_transaction, 5),
}
"""With each, by how much fewer rows it writes than the others, because it is slow."""


def run(effort: Effort) -> Throughput:
    """Lets every contender write in every round, into a database of its own."""
    rounds: dict[str, list[ThroughputRound]] = {name: [] for name in CONTENDERS}
    errors: dict[str, str] = {}
    turns = 2 * effort.rounds - 1
    for turn in range(turns):
        say(f"  throughput, round {turn + 1} of {turns}")
        for name, (_, fewer) in CONTENDERS.items():
            rows = effort.throughput_rows // fewer
            try:
                with Worker("benchmarks.suites.throughput", name, str(rows), contender=name) as worker:
                    worker.hear(bool)
                    rounds[name].append(worker.ask("round", ThroughputRound))
            except WorkerError as error:
                errors[name] = str(error)
    return Throughput([_result(name, rounds, errors.get(name)) for name in CONTENDERS])


def _result(name: str, rounds: dict[str, list[ThroughputRound]], error: str | None) -> ThroughputResult:
    if error is not None:
        return ThroughputResult(name, error=error)
    rates = {other: [one.rows_per_s for one in turns] for other, turns in rounds.items()}
    comparable = {other for other in (LIMIT, OURS) if len(rates[other]) == len(rates[name])}
    return ThroughputResult(
        name,
        rows_per_s=Spread.of(rates[name]),
        loop_us=Spread.of([one.loop_us for one in rounds[name]]),
        process_us=Spread.of([one.process_us for one in rounds[name]]),
        share_of_limit=ratios(rates[name], rates[LIMIT]) if LIMIT in comparable else None,
        to_ours=ratios(rates[name], rates[OURS]) if OURS in comparable else None,
    )


# -- in the contender's process ----------------------------------------------------------------------------------


async def _work() -> None:
    name, count = sys.argv[1], int(sys.argv[2])
    contender, _ = CONTENDERS[name]
    rows = sample_rows(BATCH)

    async def handle(_: str) -> ThroughputRound:
        with folder() as path:
            thread, process = thread_time(), process_time()
            took = await contender(path / "log.db", rows, count)
            thread, process = thread_time() - thread, process_time() - process
            with closing(sqlite3.connect(path / "log.db")) as connection:
                ((stored,),) = connection.execute("SELECT COUNT(*) FROM request_logs")
            if stored != count:
                raise AssertionError(f"{stored} of {count} rows were stored")
            return ThroughputRound(count / took, thread / count * 1e6, process / count * 1e6)

    await answer_commands(handle)


if __name__ == "__main__":
    asyncio.run(_work())
