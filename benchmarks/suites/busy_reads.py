"""How long a read takes in a process whose event loop is 100 % busy, with this release and with the one before.

Requests are logged meanwhile. Each question is asked by a task of that loop, as by a dashboard mounted in the gateway.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import perf_counter, time_ns

import msgspec

from benchmarks.harness.common import Effort, entry_of, folder, percentile, sample_rows, say
from benchmarks.harness.counting import count_up
from benchmarks.harness.gateway import CLIENTS
from benchmarks.harness.releases import BEFORE
from benchmarks.harness.worker import Worker, WorkerError, answer_commands
from chainlog_async import ChainLog
from chainlog_async.settings import Settings

OURS = "chainlog, journal on"

WORK = 25_000
"""How far a client counts for one request, as in the saturated loops."""


Took = dict[str, list[float]]


class BusyRead(msgspec.Struct):
    """One question to one release, in ms."""

    contender: str
    question: str
    error: str | None = None
    times: int = 0
    p50_ms: float | None = None
    p95_ms: float | None = None


def run(effort: Effort) -> list[BusyRead]:
    """Both releases, each in a process of its own."""
    found: list[BusyRead] = []
    for contender in (OURS, BEFORE):
        say(f"  reads in a saturated process: {contender}")
        with folder() as path:
            try:
                seconds = str(effort.busy_reads_s)
                with Worker("benchmarks.suites.busy_reads", seconds, str(path), contender=contender) as worker:
                    worker.hear(bool)
                    took = worker.ask("round", Took)
            except WorkerError as error:
                found.append(BusyRead(contender, "-", error=str(error)))
                continue
        for question, times in took.items():
            times.sort()
            p50, p95 = percentile(times, 0.5), percentile(times, 0.95)
            found.append(BusyRead(contender, question, times=len(times), p50_ms=p50, p95_ms=p95))
    return found


# -- in the process ----------------------------------------------------------------------------------------------


async def _work() -> None:
    seconds, path = float(sys.argv[1]), Path(sys.argv[2])

    async def handle(_: str) -> Took:
        async with ChainLog(Settings(db_path=path / "log.db")) as chainlog:
            clients = [asyncio.create_task(_ask_for_work(chainlog)) for _ in range(CLIENTS)]
            # Connections are opened by the first questions, which are not counted.
            await _ask(chainlog, seconds / 4)
            took = await _ask(chainlog, seconds)
            for client in clients:
                client.cancel()
        return took

    await answer_commands(handle)


async def _ask_for_work(chainlog: ChainLog) -> None:
    rows = sample_rows(1_000)
    while True:
        for row in rows:
            for _ in range(4):
                count_up(WORK // 4)
                await asyncio.sleep(0)
            chainlog.log_request(entry_of((time_ns() // 1_000_000, *row[1:])))


async def _ask(chainlog: ChainLog, seconds: float) -> Took:
    questions: dict[str, Callable[[], Awaitable[object]]] = {
        "summary": chainlog.usage.get_summary_stats,
        "all providers": chainlog.usage.get_all_provider_usage,
        "recent 50": chainlog.usage.get_recent_requests,
    }
    took: Took = {name: [] for name in questions}
    until = perf_counter() + seconds
    while perf_counter() < until:
        for name, ask in questions.items():
            began = perf_counter()
            await ask()
            took[name].append(1e3 * (perf_counter() - began))
            await asyncio.sleep(0.01)
    return took


if __name__ == "__main__":
    asyncio.run(_work())
