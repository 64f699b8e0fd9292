"""What a request pays for its log inside a gateway that is busy with other things.

Between two calls, a gateway runs other code and touches other memory, so the caches hold little of what a call needs.
One process under uvicorn answers in short phases, with and without logging in turn. Each phase with it is compared with
the phases around it, by the CPU time of the loop's thread per request; and every call is timed where it happens.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from time import perf_counter_ns, thread_time

import anyio
import msgspec

from benchmarks.contenders.gateway_logging import Chainlog, ChainlogInMemory, Strategy
from benchmarks.harness.common import Effort, Row, Spread, entry_of, folder, percentile, say
from benchmarks.harness.databases import make_database, open_async
from benchmarks.harness.gateway import Board, serve
from benchmarks.harness.releases import BEFORE
from benchmarks.harness.worker import Answers, Worker, WorkerError
from benchmarks.suites.saturated import CONNECTIONS
from chainlog_async import RequestLogger
from chainlog_async.entry.line import encode_line
from chainlog_async.settings import Settings

WARMUP_S = 1.0
SETTLE_S = 0.1
PHASE_S = 0.2


class EncodeOnly(Strategy):
    """The entry is built, encoded and validated, then discarded."""

    async def open(self) -> None:
        return

    def log(self, row: Row) -> None:
        encode_line(entry_of(row))


class NobodyWrites(Strategy):
    """The entries wait in memory, and no writer runs."""

    async def open(self) -> None:
        settings = Settings(max_queue_size=10_000_000, max_queue_bytes=4 * 2**30)
        self._logger = RequestLogger(await open_async(self._path), settings)

    def log(self, row: Row) -> None:
        self._logger.log_request(entry_of(row))


WAYS: dict[str, type[Strategy]] = {
    "building, encoding and validating an entry": EncodeOnly,
    "and queueing it, with no writer": NobodyWrites,
    "chainlog, journal off": ChainlogInMemory,
    "chainlog, journal on": Chainlog,
    BEFORE: Chainlog,
}
"""Each of the first four does what the one above it does, and more."""


class Found(msgspec.Struct):
    """What the process says at the end."""

    unlogged_us: list[float]
    added_us: list[float]
    call_p50_us: float
    call_mean_us: float
    call_p99_us: float


class InGateway(msgspec.Struct):
    """One way, in µs per request."""

    name: str
    error: str | None = None
    call_p50_us: float | None = None
    call_mean_us: float | None = None
    call_p99_us: float | None = None
    added_us: Spread | None = None
    share: Spread | None = None
    """What was added, to the CPU time of a request that is not logged."""


def run(effort: Effort) -> list[InGateway]:
    """Every way in a process of its own."""
    return [_measure(name, 5 if effort.quick else 25) for name in WAYS]


def _measure(name: str, phases: int) -> InGateway:
    say(f"  in a busy gateway: {name}")
    # A busy loop is late for the end of a phase. The load ends anyway when its gateway does.
    seconds = 2 * (WARMUP_S + phases * (SETTLE_S + PHASE_S))
    with folder() as path:
        (path / "board").write_bytes(bytes(Board.SIZE))
        try:
            with Worker("benchmarks.suites.in_gateway", name, str(phases), str(path), contender=name) as gateway:
                port = gateway.hear(int)
                with Worker("benchmarks.harness.load", str(port), str(CONNECTIONS), str(seconds)):
                    found = gateway.hear(Found)
        except WorkerError as error:
            return InGateway(name, error=str(error))
    unlogged = sum(found.unlogged_us) / len(found.unlogged_us)
    return InGateway(
        name,
        call_p50_us=found.call_p50_us,
        call_mean_us=found.call_mean_us,
        call_p99_us=found.call_p99_us,
        added_us=Spread.of(found.added_us),
        share=Spread.of([added / unlogged for added in found.added_us]),
    )


# -- in the process ----------------------------------------------------------------------------------------------


class FlippingBoard(Board):
    """Counts as the other does, and times the calls."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.calls_ns: list[int] = []

    def flip(self) -> None:
        """From now on requests are logged, or not logged any more."""
        self._cells[2] ^= 1

    def log(self, strategy: Strategy, row: Row) -> None:
        """One more request was answered."""
        self._cells[0] += 1
        if self._cells[2]:
            began = perf_counter_ns()
            strategy.log(row)
            self.calls_ns.append(perf_counter_ns() - began)


async def _flip(board: FlippingBoard, phases: int) -> Found:
    """Phases without and with logging in turn; the first and the last are without."""
    await asyncio.sleep(WARMUP_S)
    took: list[float] = []
    for _ in range(phases):
        await asyncio.sleep(SETTLE_S)
        requests, cpu_s = board.requests, thread_time()
        await asyncio.sleep(PHASE_S)
        took.append(1e6 * (thread_time() - cpu_s) / (board.requests - requests))
        board.flip()
    added = [took[turn] - (took[turn - 1] + took[turn + 1]) / 2 for turn in range(1, phases, 2)]
    calls = sorted(board.calls_ns)
    mean = sum(calls) / len(calls)
    return Found(took[::2], added, percentile(calls, 0.5) / 1e3, mean / 1e3, percentile(calls, 0.99) / 1e3)


async def _main(name: str, phases: int, path: Path, answers: Answers) -> None:
    board = FlippingBoard(path / "board")
    await make_database(path / "log.db")
    strategy = WAYS[name](path / "log.db")
    await strategy.open()

    async def flip() -> None:
        # The load has to be there first: a loop that idles is another one.
        while not board.requests:  # noqa: ASYNC110  # there is no event for it
            await asyncio.sleep(0.01)
        answers.send(await _flip(board, phases))
        # Nothing is drained: what is left is of no interest.
        os._exit(0)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(flip)
        await serve(strategy, board, answers)


def main() -> None:
    """Runs until the phases are over."""
    name, phases, path = sys.argv[1:4]
    answers = Answers()
    try:
        asyncio.run(_main(name, int(phases), Path(path), answers))
    except Exception as error:  # noqa: BLE001  # the table shows it
        answers.refuse(error)


if __name__ == "__main__":
    main()
