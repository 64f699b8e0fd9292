"""A gateway that is 100 % busy: how much of its log is in the database, how late, and what logging costs it.

The gateway (`harness/gateway.py`), the load (`harness/load.py`) and this module, which looks at the database from
outside, are three processes. A gateway first answers without logging for a while, then with it, so the cost of logging
is seen within one process, seconds apart. "Persisted" is what another SQLite connection sees at the moment the load
ends, before anything is drained.
"""

from __future__ import annotations

import sqlite3
import threading
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from time import perf_counter, sleep
from typing import Self

import msgspec

from benchmarks.contenders.gateway_logging import STRATEGIES
from benchmarks.harness.common import Effort, Spread, folder, percentile, say
from benchmarks.harness.gateway import Board, Report
from benchmarks.harness.load import Load
from benchmarks.harness.releases import BEFORE
from benchmarks.harness.worker import Worker, WorkerError

CONNECTIONS = 50
WARMUP_S = 0.5
SAMPLE_S = 0.005

SHORTER = "6000"
"""How far the plain loop counts for a request that is a quarter as long as the others."""

SUBJECTS = {
    "uvicorn, asyncio": ("uvicorn", "asyncio"),
    "uvicorn, uvloop": ("uvicorn", "uvloop"),
    "plain Python, asyncio": ("25000", "asyncio"),
    "plain Python, uvloop": ("25000", "uvloop"),
    "plain Python, shorter requests": (SHORTER, "asyncio"),
}
"""With each, how far the plain loop counts per request."""

WITH_RELEASE_BEFORE = ("uvicorn, asyncio", "plain Python, asyncio")


class Trial(msgspec.Struct):
    """One run of one strategy."""

    requests_per_s: float
    offered: int
    persisted: int
    age_p50_s: float
    age_p99_s: float
    age_max_s: float
    lag_p50_ms: float
    lag_p99_ms: float
    lag_added_ms: float
    """The 99th percentile of the loop's lag, less the one before the logging began."""
    loop_cpu: float
    """CPU time of the loop's thread to the time that passed; near 1, or it was not saturated."""
    latency_p50_ms: float = 0.0
    latency_p99_ms: float = 0.0
    load_cpu: float = 0.0
    requests_ratio: float = 0.0
    """Requests/s as a share of what the same process answered before the logging began."""
    cpu_ratio: float = 0.0
    """`requests_ratio` by the CPU time of the loop's thread per request; other processes do not count."""
    latency_ratio: float = 0.0
    """The 99th percentile of latency to that before the logging began; of the loop's lag where nobody asks."""
    statistics: dict[str, object] | None = None

    @property
    def share(self) -> float:
        """Of the entries offered, how much is in the database."""
        return self.persisted / max(self.offered, 1)


class SaturatedResult(msgspec.Struct):
    """One strategy on one subject, over all rounds."""

    subject: str
    strategy: str
    error: str | None = None
    requests_per_s: Spread | None = None
    share: Spread | None = None
    age_p50_s: Spread | None = None
    age_p99_s: Spread | None = None
    age_max_s: Spread | None = None
    lag_p50_ms: Spread | None = None
    lag_p99_ms: Spread | None = None
    loop_cpu: Spread | None = None
    load_cpu: Spread | None = None
    latency_p99_ms: Spread | None = None
    lag_added_ms: Spread | None = None
    requests_ratio: Spread | None = None
    cpu_ratio: Spread | None = None
    latency_ratio: Spread | None = None
    trials: list[Trial] = []


class Saturated(msgspec.Struct):
    """The table."""

    results: list[SaturatedResult]
    seconds: float
    flush_interval_s: float = 0.1


class Sampler:
    """Looks at what is offered and what is persisted, every few milliseconds, in a thread of this process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.board = Board(path / "board")
        self.times: list[float] = []
        self.requests: list[int] = []
        self.offered: list[int] = []
        self.persisted: list[int] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        uri = f"file:{self._path / 'log.db'}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, isolation_level=None, timeout=10)) as connection:
            while not self._ended.wait(SAMPLE_S):
                # In this order, so that a row that comes in between is missing rather than there too early.
                ((persisted,),) = connection.execute("SELECT total_requests FROM usage_summary").fetchall()
                self.requests.append(self.board.requests)
                self.offered.append(self.board.offered)
                self.persisted.append(persisted)
                self.times.append(perf_counter())

    def at(self, moment: float) -> int:
        """The index of the last look before the moment."""
        return max(bisect_left(self.times, moment) - 1, 0)

    def rate(self, begins: float, ends: float) -> float:
        """Requests per second between the two moments."""
        first, last = self.at(begins), self.at(ends)
        return (self.requests[last] - self.requests[first]) / (self.times[last] - self.times[first])

    def ages(self, begins: float, ends: float) -> list[float]:
        """At every look, how long the oldest entry that is not persisted has waited, sorted, in seconds."""
        found: list[float] = []
        for index in range(self.at(begins), self.at(ends) + 1):
            persisted = self.persisted[index]
            if persisted >= self.offered[index]:
                found.append(0.0)
            else:
                # It came after the look before the one that first counted it.
                came = max(bisect_left(self.offered, persisted + 1) - 1, 0)
                found.append(self.times[index] - self.times[came])
        return sorted(found)


def run(effort: Effort) -> Saturated:
    """Every strategy on every subject in every round; the order turns, so that none is always first."""
    trials: dict[tuple[str, str], list[Trial]] = {}
    errors: dict[tuple[str, str], str] = {}
    strategies = list(STRATEGIES)
    for turn in range(effort.rounds):
        order = strategies[turn:] + strategies[:turn]
        for subject, (kind, loop) in SUBJECTS.items():
            if turn >= _rounds(effort, kind, loop):
                continue
            say(f"  saturated loop, round {turn + 1} of {effort.rounds}: {subject}")
            for strategy in order:
                if strategy == BEFORE and subject not in WITH_RELEASE_BEFORE:
                    continue
                try:
                    trial = _trial(kind, loop, strategy, effort)
                    trials.setdefault((subject, strategy), []).append(trial)
                except WorkerError as error:
                    errors[subject, strategy] = str(error)
    results = [
        _result(subject, strategy, trials.get((subject, strategy), []), errors.get((subject, strategy)))
        for subject in SUBJECTS
        for strategy in strategies
        if (subject, strategy) in trials or (subject, strategy) in errors
    ]
    return Saturated(results, effort.load_s)


def _rounds(effort: Effort, kind: str, loop: str) -> int:
    """The gateway on asyncio is what counts; plain loops show the same with less noise, and uvloop hardly differs."""
    if effort.quick:
        return int(loop == "asyncio" and kind != SHORTER)
    if loop != "asyncio" or kind == SHORTER:
        return 1
    return effort.rounds if kind == "uvicorn" else effort.rounds - 1


def _trial(kind: str, loop: str, strategy: str, effort: Effort) -> Trial:
    phases = (WARMUP_S, effort.load_s / 2, WARMUP_S, effort.load_s)
    with folder() as path:
        (path / "board").write_bytes(bytes(Board.SIZE))
        with Worker("benchmarks.harness.gateway", kind, loop, strategy, str(path), contender=strategy) as subject:
            port = subject.hear(int)
            with Sampler(path) as sampler:
                drive = _load(port, phases) if kind == "uvicorn" else _wait(phases)
                _, before = next(drive), next(drive)
                sampler.board.begin_logging()
                warming, logged = next(drive), next(drive)
            report = subject.end(Report)
    return _judge(sampler, report, before, warming, logged)


def _load(port: int, phases: Sequence[float]) -> Iterator[Load]:
    lengths = [str(seconds) for seconds in phases]
    with Worker("benchmarks.harness.load", str(port), str(CONNECTIONS), *lengths) as load:
        for _ in phases:
            yield load.hear(Load)


def _wait(phases: Sequence[float]) -> Iterator[Load]:
    for seconds in phases:
        began = perf_counter()
        sleep(seconds)
        yield Load(0, began, perf_counter(), 0.0, 0.0, 0.0, 0.0)


def _judge(sampler: Sampler, report: Report, before: Load, warming: Load, logged: Load) -> Trial:
    last = sampler.at(logged.ended_at)
    # From the first entry on: what came while it warmed up may wait as well.
    ages = sampler.ages(warming.began_at, logged.ended_at)
    lags_before, loop_cpu_before = _lags(report, before)
    lags, loop_cpu = _lags(report, logged)
    tail, tail_before = (
        (logged.p99_ms, before.p99_ms) if logged.p99_ms else (percentile(lags, 0.99), percentile(lags_before, 0.99))
    )
    rate_before = sampler.rate(before.began_at, before.ended_at)
    rate = sampler.rate(logged.began_at, logged.ended_at)
    return Trial(
        requests_per_s=rate,
        offered=sampler.offered[last],
        persisted=sampler.persisted[last],
        age_p50_s=percentile(ages, 0.5),
        age_p99_s=percentile(ages, 0.99),
        age_max_s=ages[-1],
        lag_p50_ms=percentile(lags, 0.5),
        lag_p99_ms=percentile(lags, 0.99),
        lag_added_ms=percentile(lags, 0.99) - percentile(lags_before, 0.99),
        loop_cpu=loop_cpu,
        latency_p50_ms=logged.p50_ms,
        latency_p99_ms=logged.p99_ms,
        load_cpu=logged.cpu_share,
        requests_ratio=rate / rate_before,
        cpu_ratio=(loop_cpu_before / rate_before) / (loop_cpu / rate),
        latency_ratio=tail / tail_before,
        statistics=report.statistics,
    )


def _lags(report: Report, phase: Load) -> tuple[list[float], float]:
    """The loop's lags in that phase, sorted, in ms, and the share of the time that its thread worked."""
    probes = [probe for probe in report.probes if phase.began_at <= probe.at <= phase.ended_at]
    if len(probes) < 2:
        raise WorkerError("the event loop was hardly ever free to look at itself")
    busy = (probes[-1].cpu_s - probes[0].cpu_s) / (probes[-1].at - probes[0].at)
    return sorted(probe.late_s * 1e3 for probe in probes), busy


def _result(subject: str, strategy: str, trials: list[Trial], error: str | None) -> SaturatedResult:
    if error is not None or not trials:
        return SaturatedResult(subject, strategy, error=error or "there was no trial", trials=trials)

    def spread(field: str) -> Spread:
        return Spread.of([float(getattr(trial, field)) for trial in trials])

    return SaturatedResult(
        subject,
        strategy,
        requests_per_s=spread("requests_per_s"),
        share=spread("share"),
        age_p50_s=spread("age_p50_s"),
        age_p99_s=spread("age_p99_s"),
        age_max_s=spread("age_max_s"),
        lag_p50_ms=spread("lag_p50_ms"),
        lag_p99_ms=spread("lag_p99_ms"),
        lag_added_ms=spread("lag_added_ms"),
        loop_cpu=spread("loop_cpu"),
        load_cpu=spread("load_cpu"),
        latency_p99_ms=spread("latency_p99_ms"),
        requests_ratio=spread("requests_ratio"),
        cpu_ratio=spread("cpu_ratio"),
        latency_ratio=spread("latency_ratio"),
        trials=trials,
    )
