"""What a request costs, and so what one box holds."""

from __future__ import annotations

import msgspec

from benchmarks.suites.space import Space
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
    """With its indexes, in the largest log of `space`; usage over time is not in it."""
    over_time_bytes: int
    """Of usage over time in that log; it grows with the combinations of names in use, hardly with the requests."""
    measured: str
    """Which log that is."""
    cpu_us: float
    """µs of CPU per row, from the call to the commit."""
    sql_us: float
    """Of these, µs inside SQLite, where the GIL is free."""
    gil_us: float
    """The rest; the journal's write, where it is free too, included."""
    loads: list[Load]
    error: str | None = None


def run(logs: list[Space], throughput: Throughput) -> Scale:
    """Reckons from the size of the largest log, and from the CPU times of the throughput benchmark."""
    from chainlog_async.settings import Settings

    if not logs:
        return Scale(0, 0, "-", 0, 0, 0, [], error="no log was measured: make bench-space")
    log = max(logs, key=lambda one: one.requests)
    per_row = log.rest_bytes / log.requests
    by_name = {contender.name: contender for contender in throughput.contenders}
    ours, limit = by_name[OURS].process_us, by_name[LIMIT].loop_us
    if ours is None or limit is None:
        return Scale(per_row, log.over_time_bytes, log.name, 0, 0, 0, [], error="there is no throughput to reckon with")
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
    return Scale(per_row, log.over_time_bytes, log.name, ours.median, limit.median, gil_us, loads)
