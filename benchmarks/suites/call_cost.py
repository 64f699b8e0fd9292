"""What the gateway pays per request: nanoseconds of its event loop's thread, and bytes while the entry waits."""

from __future__ import annotations

import asyncio
import gc
import resource
import statistics
import sys
import tracemalloc
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from time import perf_counter, perf_counter_ns, thread_time
from typing import Any, Self

import msgspec

from benchmarks.harness.common import Effort, Row, Spread, entry_of, folder, percentile, ratios, sample_rows, say
from benchmarks.harness.worker import Worker, WorkerError, answer_commands, hush

BURST = 500
"""Records handed over one after the other, without a pause; then everything is drained."""

OURS = "chainlog, journal on"


class CallRound(msgspec.Struct):
    """One contender's turn, in ns."""

    hand_over: float
    """Per call, mean over a burst, median of the bursts."""
    both: float
    """`hand_over` with the building of the record included."""
    p50: float
    p99: float
    p999: float
    loop_us: float
    """CPU time of the event loop's thread, µs per request, from the first record of a burst until nothing waits."""
    build_entry: float = 0.0
    """A `RequestLogEntry` from values at hand; only for this library."""


class Memory(msgspec.Struct):
    """What entries that wait take."""

    bytes_per_entry: float
    """As Python's allocator counts."""
    entries: int
    resident_bytes_per_entry: float
    """Growth of the whole process over the first half of them."""


class CallerResult(msgspec.Struct):
    """One contender over all rounds, in ns and bytes."""

    name: str
    error: str | None = None
    hand_over: Spread | None = None
    both: Spread | None = None
    p50: Spread | None = None
    p99: Spread | None = None
    p999: Spread | None = None
    loop_us: Spread | None = None
    build_entry: Spread | None = None
    memory: Memory | None = None
    ratio_hand_over: Spread | None = None
    """To this library with its journal on, round by round."""
    ratio_both: Spread | None = None


class CallPart(msgspec.Struct):
    """One step of a call, in ns."""

    name: str
    took: Spread


class CallersCost(msgspec.Struct):
    """The table."""

    contenders: list[CallerResult]
    parts: list[CallPart] = []
    """Of a call of this library."""


def run(effort: Effort) -> CallersCost:
    """Measures every contender in every round, then the memory, one after the other."""
    from benchmarks.contenders.handover import CALLERS

    rounds: dict[str, list[CallRound]] = {name: [] for name in CALLERS}
    memory: dict[str, Memory] = {}
    with _Workers(list(CALLERS), effort) as workers:
        errors = workers.errors
        for name, worker in workers.items():
            try:
                worker.hear(bool)
            except WorkerError as error:
                errors[name] = str(error)
        for turn in range(2 * effort.rounds + 1):
            say(f"  caller's cost, round {turn + 1} of {2 * effort.rounds + 1}")
            for name, worker in workers.items():
                if name not in errors:
                    try:
                        rounds[name].append(worker.ask("round", CallRound))
                    except WorkerError as error:
                        errors[name] = str(error)
        for name, worker in workers.items():
            if name not in errors:
                try:
                    memory[name] = worker.ask("memory", Memory)
                except WorkerError as error:
                    errors[name] = str(error)
    contenders = [_result(name, rounds[name], rounds[OURS], memory, errors) for name in CALLERS]
    return CallersCost(contenders, _parts(effort))


def _parts(effort: Effort) -> list[CallPart]:
    # The release before, which runs this module too, has other steps.
    from benchmarks.suites import call_steps

    try:
        return call_steps.run(effort)
    except WorkerError as error:
        say(f"  the steps of a call could not be measured: {error}")
        return []


class _Workers(dict[str, Worker]):
    def __init__(self, names: Sequence[str], effort: Effort) -> None:
        super().__init__()
        self.errors: dict[str, str] = {}
        """Why a contender cannot take part."""
        for name in names:
            arguments = (name, str(effort.caller_s), str(effort.waiting))
            try:
                self[name] = Worker("benchmarks.suites.call_cost", *arguments, contender=name)
            except WorkerError as error:
                self.errors[name] = str(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.values():
            worker.close()


def _result(
    name: str, rounds: list[CallRound], ours: list[CallRound], memory: dict[str, Memory], errors: dict[str, str]
) -> CallerResult:
    if name in errors or not rounds:
        return CallerResult(name, error=errors.get(name, "it gave no answer"))

    def spread(field: str) -> Spread:
        return Spread.of([getattr(one, field) for one in rounds])

    return CallerResult(
        name,
        hand_over=spread("hand_over"),
        both=spread("both"),
        p50=spread("p50"),
        p99=spread("p99"),
        p999=spread("p999"),
        loop_us=spread("loop_us"),
        build_entry=spread("build_entry") if rounds[0].build_entry else None,
        memory=memory.get(name),
        ratio_hand_over=ratios([one.hand_over for one in rounds], [one.hand_over for one in ours]) if ours else None,
        ratio_both=ratios([one.both for one in rounds], [one.both for one in ours]) if ours else None,
    )


# -- in the contender's process ----------------------------------------------------------------------------------


async def _work() -> None:
    from benchmarks.contenders.handover import CALLERS, Chainlog

    hush()
    name, seconds, waiting = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
    with folder() as path:
        caller = CALLERS[name](path, waiting)
        await caller.open()
        rows = sample_rows(BURST)

        async def handle(command: str) -> object:
            if command == "memory":
                return await _memory(caller, rows, waiting if isinstance(caller, Chainlog) else waiting // 20)
            return await _round(caller, rows, seconds, builds_entries=isinstance(caller, Chainlog))

        await answer_commands(handle)
        await caller.close()


async def _round(caller: Any, rows: list[Row], seconds: float, *, builds_entries: bool) -> CallRound:
    await _bursts(caller, rows, seconds / 10, _hand_over_burst)
    hand_over = await _bursts(caller, rows, seconds * 0.3, _hand_over_burst)
    cpu_s = thread_time()
    both = await _bursts(caller, rows, seconds * 0.3, _both_burst)
    cpu_s = thread_time() - cpu_s
    calls: list[int] = []
    await _bursts(caller, rows, seconds * 0.4, partial(_timed_burst, calls=calls))
    overhead = _clock_overhead()
    ordered = sorted(max(call - overhead, 0) for call in calls)
    return CallRound(
        hand_over=statistics.median(hand_over),
        both=statistics.median(both),
        p50=percentile(ordered, 0.5),
        p99=percentile(ordered, 0.99),
        p999=percentile(ordered, 0.999),
        loop_us=cpu_s / (len(both) * len(rows)) * 1e6,
        build_entry=_build_entry(rows) if builds_entries else 0.0,
    )


async def _bursts(caller: Any, rows: list[Row], seconds: float, burst: Any) -> list[float]:
    """As many bursts as there is time for, at least three; nothing waits when the next one begins."""
    took: list[float] = []
    until = perf_counter() + seconds
    while len(took) < 3 or perf_counter() < until:
        took.append(burst(caller, rows))
        await caller.drain()
    return took


def _hand_over_burst(caller: Any, rows: list[Row]) -> float:
    records = [caller.build(row) for row in rows]
    hand_over = caller.hand_over
    started = perf_counter_ns()
    for record in records:
        hand_over(record)
    return (perf_counter_ns() - started) / len(records)


def _both_burst(caller: Any, rows: list[Row]) -> float:
    both = caller.build_and_hand_over
    started = perf_counter_ns()
    for row in rows:
        both(row)
    return (perf_counter_ns() - started) / len(rows)


def _timed_burst(caller: Any, rows: list[Row], calls: list[int]) -> float:
    records = [caller.build(row) for row in rows]
    hand_over = caller.hand_over
    for record in records:
        started = perf_counter_ns()
        hand_over(record)
        calls.append(perf_counter_ns() - started)
    return 0.0


def _clock_overhead() -> int:
    """What two looks at the clock take, and the list that keeps the figure, in ns."""
    gaps: list[int] = []
    for _ in range(2_000):
        started = perf_counter_ns()
        gaps.append(perf_counter_ns() - started)
    return int(statistics.median(gaps))


def _build_entry(rows: list[Row]) -> float:
    took: list[float] = []
    for _ in range(20):
        started = perf_counter_ns()
        for row in rows:
            entry_of(row)
        took.append((perf_counter_ns() - started) / len(rows))
    return statistics.median(took)


async def _memory(caller: Any, rows: list[Row], waiting: int) -> Memory:
    """Hands over while nothing is taken out: first as the process grows, then as Python's allocator counts."""
    caller.hold()
    half = waiting // 2
    try:
        gc.collect()
        resident = _resident()
        for number in range(half):
            caller.build_and_hand_over(rows[number % len(rows)])
        resident = _resident() - resident
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        for number in range(half):
            caller.build_and_hand_over(rows[number % len(rows)])
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    finally:
        caller.let_go()
    return Memory((after - before) / half, waiting, resident / half)


def _resident() -> int:
    """Memory that the process has, in bytes."""
    status = Path("/proc/self/statm").read_text(encoding="ascii")
    return int(status.split()[1]) * resource.getpagesize()


if __name__ == "__main__":
    asyncio.run(_work())
