"""Reads of small and large logs while a writer is busy: what grows with the log, and what does not."""

from __future__ import annotations

import asyncio
import sqlite3
import statistics
import sys
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from time import perf_counter, perf_counter_ns

import msgspec

from benchmarks.harness.big_database import big_file, copy_of
from benchmarks.harness.common import Effort, Spread, entry_of, folder, percentile, sample_rows, say
from benchmarks.harness.worker import Worker, WorkerError, answer_commands
from chainlog_async import ChainLog
from chainlog_async.settings import Settings
from chainlog_async.storage.sqlite.reader_pool import ReaderPool

WRITES_PER_S = 2_000
ORIGINAL_SUMMARY = "SELECT COUNT(*), SUM(CASE WHEN attempts > 1 THEN 1 ELSE 0 END), AVG(latency_ms) FROM request_logs"
"""How 429chain asks for the summary: a scan of the log."""

HOP = "the thread hop alone (SELECT 1)"
ORIGINAL = "429chain's summary query"


class Times(msgspec.Struct):
    """How long one question took, in µs."""

    p50: float
    p99: float


class ReadRound(msgspec.Struct):
    """One turn on one database."""

    times: dict[str, Times]
    written_per_s: float
    """What the writer committed meanwhile."""


class ReadResult(msgspec.Struct):
    """One question to one database, in µs."""

    rows: int
    question: str
    p50: Spread
    p99: Spread
    without_hop: Spread
    """The median, less that of the thread hop in the same turn."""


class Reads(msgspec.Struct):
    """The table."""

    results: list[ReadResult]
    errors: dict[int, str]
    written_per_s: dict[int, Spread]


def run(effort: Effort) -> Reads:
    """Asks every database in every round, each in a process of its own that also writes to it."""
    paths = {rows: big_file(rows) for rows in effort.sizes}
    rounds: dict[int, list[ReadRound]] = {rows: [] for rows in paths}
    errors: dict[int, str] = {}
    with folder() as place:
        workers: dict[int, Worker] = {}
        try:
            for rows, path in paths.items():
                own = place / str(rows)
                own.mkdir()
                workers[rows] = Worker("benchmarks.suites.reads", str(copy_of(path, own)), str(effort.reads))
                workers[rows].hear(bool)
            for turn in range(effort.rounds):
                say(f"  reads, round {turn + 1} of {effort.rounds}")
                for rows, worker in workers.items():
                    rounds[rows].append(worker.ask("round", ReadRound))
        except WorkerError as error:
            errors[rows] = str(error)
        finally:
            for worker in workers.values():
                worker.close()
    results = [_result(rows, question, turns) for rows, turns in rounds.items() if turns for question in turns[0].times]
    written = {rows: Spread.of([turn.written_per_s for turn in turns]) for rows, turns in rounds.items() if turns}
    return Reads(results, errors, written)


def _result(rows: int, question: str, turns: list[ReadRound]) -> ReadResult:
    times = [turn.times[question] for turn in turns]
    hops = [turn.times[HOP].p50 for turn in turns]
    return ReadResult(
        rows,
        question,
        Spread.of([one.p50 for one in times]),
        Spread.of([one.p99 for one in times]),
        Spread.of([one.p50 - hop for one, hop in zip(times, hops, strict=True)]),
    )


# -- in the process that reads and writes ------------------------------------------------------------------------


async def _work() -> None:
    path, reads = Path(sys.argv[1]), int(sys.argv[2])

    async def handle(_: str) -> ReadRound:
        # Growth must not begin to prune in the middle.
        async with ChainLog(Settings(db_path=path, retention_bytes=0)) as chainlog:
            writing = asyncio.create_task(_write(chainlog))
            before, started = chainlog.statistics().written, perf_counter()
            times = await _ask(chainlog, reads)
            written = (chainlog.statistics().written - before) / (perf_counter() - started)
            writing.cancel()
        times[ORIGINAL] = await asyncio.to_thread(_ask_like_the_original, path)
        return ReadRound(times, written)

    await answer_commands(handle)


async def _write(chainlog: ChainLog) -> None:
    rows = sample_rows(1_000, start_ms=1_790_000_000_000)
    while True:
        for row in rows:
            for _ in range(WRITES_PER_S // 100):
                chainlog.log_request(entry_of(row))
            await asyncio.sleep(0.01)


async def _ask(chainlog: ChainLog, reads: int) -> dict[str, Times]:
    """In turn, with a little time between, so that writing goes on."""
    usage = chainlog.usage
    # What every question pays, asked alone.
    readers = ReaderPool(chainlog.settings.db_path)

    async def hop() -> object:
        return await readers.fetch("SELECT 1")

    questions: dict[str, Callable[[], Awaitable[object]]] = {
        HOP: hop,
        "one provider": lambda: usage.get_provider_usage("provider-3"),
        "all providers": usage.get_all_provider_usage,
        "all chains": usage.get_all_chain_usage,
        "summary": usage.get_summary_stats,
        "recent 50": lambda: usage.get_recent_requests(50),
    }
    took: dict[str, list[int]] = {name: [] for name in questions}
    for number in range(reads // 4):
        for name, ask in questions.items():
            started = perf_counter_ns()
            await ask()
            took[name].append(perf_counter_ns() - started)
        if number % 5 == 0:
            await asyncio.sleep(0.01)
    await readers.aclose()
    return {name: _times(values[len(values) // 20 :]) for name, values in took.items()}


def _ask_like_the_original(path: Path) -> Times:
    took: list[int] = []
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA cache_size = -64000")
        connection.execute(ORIGINAL_SUMMARY).fetchall()
        until = perf_counter() + 2
        while len(took) < 2 or (len(took) < 20 and perf_counter() < until):
            started = perf_counter_ns()
            connection.execute(ORIGINAL_SUMMARY).fetchall()
            took.append(perf_counter_ns() - started)
    return _times(took)


def _times(took: list[int]) -> Times:
    ordered = sorted(took)
    return Times(statistics.median(ordered) / 1e3, percentile(ordered, 0.99) / 1e3)


if __name__ == "__main__":
    asyncio.run(_work())
