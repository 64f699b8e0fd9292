"""What every benchmark uses: how figures are summed up, the requests that are logged, the place for files."""

from __future__ import annotations

import os
import platform
import random
import shutil
import sqlite3
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

import msgspec

from chainlog_async import RequestLogEntry

CACHE = Path(__file__).resolve().parents[1] / ".cache"
"""Files that are worth keeping between runs, and the databases of the run that is under way; git ignores it."""

COLUMNS = (
    "timestamp, chain_name, provider_id, model, prompt_tokens, completion_tokens, total_tokens, latency_ms, "
    "http_status, attempts, error_message"
)

INSERT_ROW = f"INSERT INTO request_logs ({COLUMNS}) VALUES ({', '.join('?' * 11)})"  # noqa: S608  # no input in it
"""One row, as the original stores it."""

Row = tuple[int, str, str, str, int, int, int, int, int, int, str | None]
"""One request in the order of `COLUMNS`."""


class Spread(msgspec.Struct, frozen=True):
    """A figure that was taken several times."""

    median: float
    p25: float
    p75: float
    lowest: float
    highest: float
    rounds: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Raises `ValueError` when there are no values."""
        ordered = sorted(values)
        return cls(
            statistics.median(ordered),
            percentile(ordered, 0.25),
            percentile(ordered, 0.75),
            ordered[0],
            ordered[-1],
            len(ordered),
        )


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value below which that share of the sorted values lies. Raises `ValueError` when there are none."""
    if not ordered:
        raise ValueError("there are no values")
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def ratios(values: Sequence[float], base: Sequence[float]) -> Spread:
    """Each value to the base value of the same round: what slows the machine down in a round slows both down."""
    return Spread.of([value / other for value, other in zip(values, base, strict=True)])


class Effort(msgspec.Struct, frozen=True):
    """How much time a run may take."""

    quick: bool
    rounds: int
    caller_s: float
    """Time for one contender in one round of the caller's cost, in seconds."""
    throughput_rows: int
    load_s: float
    """Time for which a saturated loop is measured, in seconds."""
    sizes: tuple[int, ...]
    """Rows of the databases that are read."""
    reads: int
    waiting: int
    """Entries that wait while memory is measured."""
    busy_reads_s: float
    """Time for which a saturated loop is asked questions, in seconds."""


FULL = Effort(
    quick=False,
    rounds=3,
    caller_s=0.6,
    throughput_rows=100_000,
    load_s=4.0,
    sizes=(10_000, 1_000_000, 10_000_000),
    reads=2_000,
    waiting=1_000_000,
    busy_reads_s=8.0,
)
QUICK = Effort(
    quick=True,
    rounds=2,
    caller_s=0.15,
    throughput_rows=20_000,
    load_s=2.0,
    sizes=(10_000, 100_000),
    reads=400,
    waiting=100_000,
    busy_reads_s=2.0,
)


class Machine(msgspec.Struct, frozen=True):
    """What the figures were taken on, and what else it was doing."""

    processor: str
    cores: int
    memory_gib: float
    system: str
    python: str
    sqlite: str
    load_before: float
    """Processes that were running or waiting, on average of the minute before the run."""


def this_machine() -> Machine:
    """Asks the system."""
    return Machine(
        processor=_processor(),
        cores=os.cpu_count() or 1,
        memory_gib=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        sqlite=sqlite3.sqlite_version,
        load_before=round(os.getloadavg()[0], 2),
    )


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


@contextmanager
def folder() -> Iterator[Path]:
    """A folder on the disk that the repository is on, gone afterwards; /tmp may well be in memory."""
    CACHE.mkdir(exist_ok=True)
    path = Path(mkdtemp(prefix="run-", dir=CACHE))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def sample_rows(count: int, *, start_ms: int = 1_772_000_000_000) -> list[Row]:
    """Requests as a gateway has them.

    Few chains and models, some asked far more often than others (each with a share of one by its rank); latencies of a
    log-normal distribution around a second; most succeed, one in fifty has an error.
    """
    rng = random.Random(429)
    models = [(f"provider-{number % 8}", f"vendor/model-{number}-instruct") for number in range(20)]
    shares = [1 / rank for rank in range(1, 21)]
    now = start_ms
    rows: list[Row] = []
    for _ in range(count):
        now += rng.randrange(20)
        ((provider, model),) = rng.choices(models, shares)
        (chain,) = rng.choices(range(4), shares[:4])
        prompt, completion = rng.randrange(4_000), rng.randrange(800)
        failed = rng.random() < 0.02
        rows.append(
            (
                now,
                f"chain-{chain}",
                provider,
                model,
                prompt,
                completion,
                prompt + completion,
                round(rng.lognormvariate(7, 0.9)),
                503 if failed else 200,
                1 + int(rng.random() * 1.2),
                "the provider is overloaded, try again later" if failed else None,
            )
        )
    return rows


def entry_of(row: Row) -> RequestLogEntry:
    """The row as an entry."""
    return RequestLogEntry(
        timestamp=row[0],
        chain_name=row[1],
        provider_id=row[2],
        model=row[3],
        prompt_tokens=row[4],
        completion_tokens=row[5],
        total_tokens=row[6],
        latency_ms=row[7],
        http_status=row[8],
        attempts=row[9],
        error_message=row[10],
    )


def say(text: str = "") -> None:
    """Prints a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of the processes that are measured: nothing in it configures the log, nothing asks the net."""
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith(("CHAINLOG_", "LANGFUSE"))}
    return {
        **kept,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "HF_HUB_OFFLINE": "1",
        "OTEL_BSP_MAX_QUEUE_SIZE": "2000000",
        "PYTHONDONTWRITEBYTECODE": "1",
        **(extra or {}),
    }
