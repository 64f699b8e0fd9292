"""A gateway that is 100 % busy: what of its log is in the database, how late, and what the logging costs it.

The gateway (`subject.py`), the load (`load.py`) and this, which looks at the database from outside, are three
processes. What is persisted is what another SQLite connection sees at the moment when the load ends, before anything
is drained.
"""

from __future__ import annotations

import sqlite3
import threading
from bisect import bisect_left
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from time import perf_counter, sleep
from typing import Self

import msgspec

from .common import Effort, Spread, folder, percentile, ratios, say
from .strategies import STRATEGIES
from .subject import Counter, Report
from .worker import Worker, WorkerError

CONNECTIONS = 50
WARMUP_S = 1.0
SAMPLE_S = 0.005

BASE = "no logging"

SUBJECTS = {
    "uvicorn, asyncio": ("uvicorn", "asyncio"),
    "uvicorn, uvloop": ("uvicorn", "uvloop"),
    "plain Python, asyncio": ("10000", "asyncio"),
    "plain Python, uvloop": ("10000", "uvloop"),
    "plain Python, a quarter of the work": ("2500", "asyncio"),
}
"""With each, how far the plain loop counts per request."""


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
    lag_max_ms: float
    loop_cpu: float
    """CPU time of the loop's thread to the time that passed; near 1, or it was not saturated."""
    latency_p50_ms: float = 0.0
    latency_p99_ms: float = 0.0
    load_cpu: float = 0.0
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
    requests_ratio: Spread | None = None
    """Requests/s as a share of the same round's without logging."""
    latency_ratio: Spread | None = None
    """The 99th percentile of latency to the same round's without logging; of the loop's lag where nobody asks."""
    lag_added_ms: Spread | None = None
    """The 99th percentile of the loop's lag, less the same round's without logging."""
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
        self._counter = Counter(path / "offered")
        self.times: list[float] = []
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
                self.offered.append(self._counter.value)
                self.persisted.append(persisted)
                self.times.append(perf_counter())

    def at(self, moment: float) -> int:
        """The index of the last look before the moment."""
        return max(bisect_left(self.times, moment) - 1, 0)

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
        for subject, (kind, loop) in SUBJECTS.items():
            if effort.quick and (turn or subject == "plain Python, uvloop"):
                continue
            say(f"  saturated loop, round {turn + 1} of {effort.rounds}: {subject}")
            for strategy in strategies[turn:] + strategies[:turn]:
                try:
                    trial = _trial(kind, loop, strategy, effort.load_s)
                    trials.setdefault((subject, strategy), []).append(trial)
                except WorkerError as error:
                    errors[subject, strategy] = str(error)
    results = [
        _result(subject, strategy, trials, errors.get((subject, strategy)))
        for subject in SUBJECTS
        for strategy in strategies
        if (subject, strategy) in trials or (subject, strategy) in errors
    ]
    return Saturated(results, effort.load_s)


def _trial(kind: str, loop: str, strategy: str, seconds: float) -> Trial:
    with folder() as path:
        (path / "offered").write_bytes(bytes(8))
        with Worker("benchmarks.subject", kind, loop, strategy, str(path)) as subject:
            port = subject.hear(int)
            with Sampler(path) as sampler:
                load, begins, ends = _load(port, seconds) if kind == "uvicorn" else _wait(seconds)
            report = subject.end(Report)
    return _judge(sampler, report, load, begins, ends)


class _Load(msgspec.Struct):
    requests: int = 0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    cpu_share: float = 0.0


class _Moment(msgspec.Struct):
    at: float


def _load(port: int, seconds: float) -> tuple[_Load, float, float]:
    with Worker("benchmarks.load", str(port), str(CONNECTIONS), str(WARMUP_S), str(seconds)) as load:
        begins, ends = load.hear(_Moment).at, load.hear(_Moment).at
        return load.hear(_Load), begins, ends


def _wait(seconds: float) -> tuple[_Load, float, float]:
    sleep(WARMUP_S)
    begins = perf_counter()
    sleep(seconds)
    return _Load(), begins, perf_counter()


def _judge(sampler: Sampler, report: Report, load: _Load, begins: float, ends: float) -> Trial:
    first, last = sampler.at(begins), sampler.at(ends)
    ages = sampler.ages(begins, ends)
    probes = [probe for probe in report.probes if begins <= probe.at <= ends]
    if len(probes) < 2:
        raise WorkerError("the event loop was hardly ever free to look at itself")
    lags = sorted(probe.late_s * 1e3 for probe in probes)
    return Trial(
        requests_per_s=(sampler.offered[last] - sampler.offered[first]) / (sampler.times[last] - sampler.times[first]),
        offered=sampler.offered[last],
        persisted=sampler.persisted[last],
        age_p50_s=percentile(ages, 0.5),
        age_p99_s=percentile(ages, 0.99),
        age_max_s=ages[-1],
        lag_p50_ms=percentile(lags, 0.5),
        lag_p99_ms=percentile(lags, 0.99),
        lag_max_ms=lags[-1],
        loop_cpu=(probes[-1].cpu_s - probes[0].cpu_s) / (probes[-1].at - probes[0].at),
        latency_p50_ms=load.p50_ms,
        latency_p99_ms=load.p99_ms,
        load_cpu=load.cpu_share,
        statistics=report.statistics,
    )


def _result(
    subject: str, strategy: str, trials: dict[tuple[str, str], list[Trial]], error: str | None
) -> SaturatedResult:
    own = trials.get((subject, strategy), [])
    base = trials.get((subject, BASE), [])
    if error is not None or not own or len(base) != len(own):
        return SaturatedResult(subject, strategy, error=error or "there is nothing to compare it with", trials=own)

    def spread(field: str) -> Spread:
        return Spread.of(_values(own, field))

    tail = "latency_p99_ms" if own[0].latency_p99_ms else "lag_p99_ms"
    lag_added = [one.lag_p99_ms - other.lag_p99_ms for one, other in zip(own, base, strict=True)]
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
        loop_cpu=spread("loop_cpu"),
        load_cpu=spread("load_cpu"),
        latency_p99_ms=spread("latency_p99_ms"),
        requests_ratio=ratios(_values(own, "requests_per_s"), _values(base, "requests_per_s")),
        latency_ratio=ratios(_values(own, tail), _values(base, tail)),
        lag_added_ms=Spread.of(lag_added),
        trials=own,
    )


def _values(trials: Sequence[Trial], field: str) -> list[float]:
    return [float(getattr(trial, field)) for trial in trials]
