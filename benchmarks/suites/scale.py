"""What a row costs, and so what one box holds; checked against a large file."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec

from benchmarks.harness.big_database import big_file
from benchmarks.harness.common import Effort
from benchmarks.suites.throughput import LIMIT, OURS, Throughput

DAYS = 30
SECONDS = DAYS * 86_400


class Load(msgspec.Struct):
    """A constant load for thirty days."""

    requests_per_s: int
    rows: int
    bytes_on_disk: float
    cpu_share: float
    """Of one core, for everything that the log does."""
    gil_share: float
    """Of the time, with the GIL held, at the most."""
    days_in_retention_bytes: float
    """How far back the log reaches with `retention_bytes` at its default."""


class Scale(msgspec.Struct):
    """The table."""

    bytes_per_row: float
    """Of the largest file, indexes and all."""
    bytes_per_row_small: float
    """Of a file of ten thousand rows: what one would have reckoned with."""
    measured_rows: int
    cpu_us: float
    """µs of CPU per row, from the call to the commit."""
    sql_us: float
    """Of these, µs inside SQLite, where the GIL is free."""
    gil_us: float
    """The rest; the journal's write, where it is free too, included."""
    loads: list[Load]
    error: str | None = None


def run(effort: Effort, throughput: Throughput) -> Scale:
    """Reckons from the file sizes, and from the CPU times of the throughput benchmark."""
    from chainlog_async.settings import Settings

    small, large = min(effort.sizes), max(effort.sizes)
    per_row_small, per_row = _bytes_per_row(big_file(small)), _bytes_per_row(big_file(large))
    by_name = {contender.name: contender for contender in throughput.contenders}
    ours, limit = by_name[OURS].process_us, by_name[LIMIT].loop_us
    if ours is None or limit is None:
        return Scale(per_row, per_row_small, large, 0, 0, 0, [], error="there is no throughput to reckon with")
    gil_us = ours.median - limit.median
    retention_bytes = int(Settings.model_fields["retention_bytes"].default)
    loads = [
        Load(
            rate,
            rate * SECONDS,
            rate * SECONDS * per_row,
            rate * ours.median / 1e6,
            rate * gil_us / 1e6,
            retention_bytes / per_row / rate / 86_400,
        )
        for rate in (100, 1_000, 5_000)
    ]
    return Scale(per_row, per_row_small, large, ours.median, limit.median, gil_us, loads)


def _bytes_per_row(path: Path) -> float:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        ((rows,),) = connection.execute("SELECT total_requests FROM usage_summary").fetchall()
    return path.stat().st_size / int(rows)
