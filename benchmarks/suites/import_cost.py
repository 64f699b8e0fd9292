"""What it costs to import the package, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from time import perf_counter

import msgspec

from benchmarks.harness.common import Effort, Spread, environment

# Not getrusage: its peak is inherited from the process that started this one.
_RESIDENT = "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmRSS')))"


class Imports(msgspec.Struct):
    """More than bare Python."""

    milliseconds: Spread
    megabytes: Spread


def run(effort: Effort) -> Imports:
    """Starts Python with and without the import, in turn."""
    took: list[float] = []
    memory: list[float] = []
    _start("import chainlog_async")
    for _ in range(5 * effort.rounds):
        bare_s, bare_kib = _start("pass")
        full_s, full_kib = _start("import chainlog_async")
        took.append((full_s - bare_s) * 1e3)
        memory.append((full_kib - bare_kib) / 1024)
    return Imports(Spread.of(took), Spread.of(memory))


def _start(statement: str) -> tuple[float, int]:
    started = perf_counter()
    done = subprocess.run(  # noqa: S603  # our own words
        [sys.executable, "-c", f"{statement}\n{_RESIDENT}"],
        capture_output=True,
        check=True,
        # With its byte code kept, as in every start but the first.
        env={**environment(), "PYTHONDONTWRITEBYTECODE": ""},
    )
    return perf_counter() - started, int(done.stdout)
