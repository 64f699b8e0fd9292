"""Compares what is kept with what is counted. Everything here raises the driver's errors."""

from __future__ import annotations

from collections.abc import Sequence

from chainlog_async.admin.verify.differences import Difference, compare_lines, time_text, value_of
from chainlog_async.admin.verify.totals import TotalsByKey, compare
from chainlog_async.common.clock import DAY_MS, HOUR_MS, QUARTER_MS
from chainlog_async.usage.percentiles import UPPERS
from chainlog_async.usage.sums import USAGE_SUMS

from . import verify_sql as sql
from .session import Session


async def compare_totals(session: Session, rows: sql.Rows) -> list[Difference]:
    """Totals by provider, by chain and of all, with the rows."""
    found: list[Difference] = []
    for name, columns, kept, counted in (
        ("usage_by_provider", sql.USAGE_COLUMNS, sql.KEPT_BY_PROVIDER, rows.by_name("provider_id")),
        ("usage_by_chain", sql.USAGE_COLUMNS, sql.KEPT_BY_CHAIN, rows.by_name("chain_name")),
        ("usage_summary", sql.SUMMARY_COLUMNS, sql.KEPT_SUMMARY, rows.summary()),
    ):
        found += compare(name, columns, await _read(session, kept), await _read(session, counted))
    return found


async def compare_all_time(session: Session) -> list[Difference]:
    """Totals of combinations with the buckets, and the number of rows of each day with the rows."""
    found: list[Difference] = []
    for name, columns, kept, counted in (
        ("usage_totals", sql.ALL_TIME_SUMS, sql.KEPT_ALL_TIME, sql.COUNTED_ALL_TIME),
        ("attempt_totals", sql.TRIES[:-1], sql.KEPT_ALL_TRIES, sql.COUNTED_ALL_TRIES),
    ):
        found += compare(name, columns, await _read(session, kept), await _read(session, counted))
    kept_days, counted_days = await _read(session, sql.KEPT_DAYS), await _read(session, sql.COUNTED_DAYS)
    found += compare("log_days", ("rows",), _by_time(kept_days), _by_time(counted_days))
    return found


async def compare_older(session: Session, rows: sql.Rows, since: int) -> list[Difference]:
    """Usage before a time (ms, UTC), of which rows were pruned, as a whole by provider."""
    before = f"before {time_text(since)}, provider "
    kept, counted = await _read(session, sql.KEPT_OLDER, since), await _read(session, rows.older(), since)
    return list(
        compare(
            "usage_buckets",
            sql.OLDER_COLUMNS,
            {f"{before}{name}": sums for name, sums in kept.items()},
            {f"{before}{name}": sums for name, sums in counted.items()},
        )
    )


async def compare_usage(session: Session, since: int, until: int) -> list[Difference]:
    """Usage by quarter of an hour between two times (ms, UTC): sums, and each bin of each histogram."""
    found: list[Difference] = []
    for start, *rest in await session.fetch(sql.DIFFERING_USAGE, since, until):
        names, numbers = rest[:4], rest[4:]
        found += compare_lines("usage_buckets", _name(start, names), USAGE_SUMS, numbers)
    for start, *rest in await session.fetch(sql.DIFFERING_HISTOGRAMS, since, until):
        histogram, upper = rest[4], UPPERS[int(str(rest[5]))]
        name = f"{_name(start, rest[:4])}, up to {upper} ms"
        found += compare_lines("usage_buckets", name, (str(histogram),), rest[6:])
    return found


async def compare_tags(session: Session, since: int, until: int) -> list[Difference]:
    """Usage by tag and hour between two times (ms, UTC), from the first whole hour on."""
    found: list[Difference] = []
    first = -(-since // HOUR_MS) * HOUR_MS
    for start, key, value, *rest in await session.fetch(sql.DIFFERING_TAGS, first, until):
        name = f"{_name(start, rest[:4])}, tag {key}:{value}"
        found += compare_lines("tag_buckets", name, USAGE_SUMS, rest[4:])
    return found


async def compare_attempts(session: Session, since: int, until: int) -> list[Difference]:
    """Attempts by quarter of an hour between two times (ms, UTC)."""
    found: list[Difference] = []
    for start, provider, model, *numbers in await session.fetch(sql.DIFFERING_ATTEMPTS, since, until):
        name = _name(start, (None, provider, model, None))
        found += compare_lines("attempt_buckets", name, sql.TRIES, numbers)
    return found


async def compare_rollups(session: Session, day: int) -> list[Difference]:
    """What is rolled up of a day (ms, UTC) with its buckets."""
    found: list[Difference] = []
    for width, start, dimension, *numbers in await session.fetch(sql.ROLLUPS, day, day + DAY_MS):
        name = f"{time_text(int(str(start)))}, {_width_text(int(str(width)))}, by {dimension}"
        found += compare_lines("rollups", name, sql.ROLLUP_COLUMNS, numbers)
    for tries in await session.fetch(sql.ROLLED_UP_TRIES, day):
        found += compare_lines("rollups", f"{time_text(day)}, attempts of the day", sql.TRIES, tries)
    return found


async def _read(session: Session, query: str, *arguments: object) -> TotalsByKey:
    return {value_of(row[0]): tuple(map(value_of, row[1:])) for row in await session.fetch(query, *arguments)}


def _by_time(rows: TotalsByKey) -> TotalsByKey:
    return {time_text(int(str(day))): numbers for day, numbers in rows.items()}


def _name(start: object, names: Sequence[object]) -> str:
    told = zip(("chain", "provider", "model", "caller"), names, strict=True)
    return ", ".join((time_text(int(str(start))), *(f"{what} {name}" for what, name in told if name)))


def _width_text(width: int) -> str:
    return "15 min" if width == QUARTER_MS else f"{width // HOUR_MS} h"
