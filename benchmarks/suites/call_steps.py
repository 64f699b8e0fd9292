"""Where a call of `log_request` spends its time: its steps measured one by one, on the same entries, in turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from time import perf_counter_ns
from typing import Any

from benchmarks.harness.common import Effort, Spread, entry_of, folder, sample_rows
from benchmarks.harness.databases import make_database
from benchmarks.harness.worker import Worker, answer_commands, hush
from benchmarks.suites.call_cost import CallPart
from chainlog_async import RequestLogger, initialize_database
from chainlog_async.buffer.journal import Journal
from chainlog_async.entry.line import _decode_line, _encode, encode_line
from chainlog_async.entry.redaction import Redactor
from chainlog_async.settings import Settings
from chainlog_async.storage.sqlite.connection import close_connection

ENTRIES = 500
TURNS = 20

Parts = dict[str, float]


def run(effort: Effort) -> list[CallPart]:
    """In a process of its own. Raises `WorkerError`."""
    with Worker("benchmarks.suites.call_steps") as worker:
        worker.hear(bool)
        rounds = [worker.ask("round", Parts) for _ in range(2 * effort.rounds + 1)]
    return [CallPart(name, Spread.of([one[name] for one in rounds])) for name in rounds[0]]


# -- in the process ----------------------------------------------------------------------------------------------


async def _work() -> None:
    hush()
    with folder() as path:
        await make_database(path / "log.db")
        connection = await initialize_database(path / "log.db")
        try:
            in_memory, journaled = _logger(connection), _logger(connection)
            journal = Journal(path, "benchmark", max_bytes=2**30, segment_bytes=2**26)
            journaled._queue.begin_segment(lambda: journal)  # noqa: SLF001  # no writer runs that would do it

            async def handle(_: str) -> object:
                return _round(in_memory, journaled)

            await answer_commands(handle)
        finally:
            await close_connection(connection)


def _logger(connection: Any) -> RequestLogger:
    return RequestLogger(connection, Settings(max_batch_size=1_000))


def _round(in_memory: RequestLogger, journaled: RequestLogger) -> Parts:
    entries = [entry_of(row) for row in sample_rows(ENTRIES)]
    lines = [encode_line(entry) for entry in entries]
    redact = Redactor()
    steps: dict[str, tuple[Callable[[Any], object], Sequence[object]]] = {
        "nothing": (lambda _: None, entries),
        "encode": (_encode, entries),
        "check": (_decode_line, lines),
        "line": (lambda entry: encode_line(entry, redact), entries),
        "put": (in_memory._queue.put, lines),  # noqa: SLF001  # a step of the call
        "call": (in_memory.log_request, entries),
        "journaled": (journaled.log_request, entries),
    }
    took = dict.fromkeys(steps, float("inf"))
    for _ in range(TURNS):
        for name, (step, items) in steps.items():
            started = perf_counter_ns()
            for item in items:
                step(item)
            took[name] = min(took[name], (perf_counter_ns() - started) / ENTRIES)
            for logger in (in_memory, journaled):
                _empty(logger)
    return {
        "encoding the entry as JSON (msgspec)": took["encode"] - took["nothing"],
        "decoding the line strictly, which validates it (msgspec)": took["check"] - took["nothing"],
        "what msgspec cannot check, and error messages": took["line"] - took["encode"] - took["check"],
        "the queue: lock, bounds, accounting": took["put"] - took["nothing"],
        "the call itself": took["call"] - took["line"] - took["put"] + took["nothing"],
        "the write to the journal": took["journaled"] - took["call"],
        "log_request without the journal": took["call"] - took["nothing"],
        "log_request with it": took["journaled"] - took["nothing"],
    }


def _empty(logger: RequestLogger) -> None:
    queue = logger._queue  # noqa: SLF001  # as the writer does
    while (batch := queue.take()) is not None:
        queue.mark_committed(batch)


if __name__ == "__main__":
    asyncio.run(_work())
