"""Brings over what rows alone do not give: what was pruned is still in totals and buckets, and stays in them.

Everything that the rows gave is compared with what the file has; where it differs, the file's numbers are taken. So it
can be done again at any time.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from decimal import Decimal
from typing import cast

import aiosqlite
import asyncpg

from chainlog_async.common.clock import DAY_MS
from chainlog_async.common.progress import Progress
from chainlog_async.requests.stored_row import whole_number
from chainlog_async.storage.postgres.url import PostgresUrl
from chainlog_async.usage.sums import USAGE_SUMS

from .tags import copy_tag_lines

NAMES = ("chain_name", "provider_id", "model", "caller")
HISTOGRAMS = ("latencies", "ttfts", "failed_latencies", "failed_ttfts")

Line = dict[str, object]
Key = tuple[object, ...]

_KEY = ", ".join(("start", *NAMES))
SQLITE_SUMS = f"""
SELECT {_KEY}, {", ".join(f"SUM({name})" for name in USAGE_SUMS)}
FROM usage_buckets WHERE start >= :since AND start < :until GROUP BY {_KEY}
"""  # noqa: S608  # built from constants of this module
SQLITE_BINS = f"""
SELECT {_KEY}, 'latencies', 'failed_latencies', number, requests - errors - cancelled, errors + cancelled
FROM usage_buckets JOIN duration_bins USING (upper_ms) WHERE start >= :since AND start < :until
UNION ALL
SELECT {_KEY}, 'ttfts', 'failed_ttfts', number, requests - failed, failed
FROM ttft_buckets JOIN duration_bins USING (upper_ms) WHERE start >= :since AND start < :until
"""  # noqa: S608  # built from constants of this module
POSTGRES_SUMS = f"""
SELECT {_KEY}, {", ".join(USAGE_SUMS)}
FROM {{s}}.usage_buckets JOIN {{s}}.usage_groups USING (group_id) WHERE start >= $1 AND start < $2
"""  # noqa: S608  # built from constants of this module

_COLUMNS = (*USAGE_SUMS, *HISTOGRAMS)
_TYPES = dict.fromkeys(USAGE_SUMS, "numeric") | dict.fromkeys(HISTOGRAMS, "bigint[]")
# Lines come as JSON objects, one parameter for all of them.
SET_LINES = f"""
WITH lines AS (
  SELECT {{s}}.group_of(chain_name, provider_id, model, caller) AS group_id, *
  FROM jsonb_to_recordset($1::text::jsonb) AS line (
    start bigint, {", ".join(f"{name} text" for name in NAMES)},
    {", ".join(f"{name} {_TYPES[name]}" for name in _COLUMNS)}
  )
), groups AS (
  INSERT INTO {{s}}.usage_groups (group_id, {", ".join(NAMES)})
  SELECT DISTINCT group_id, {", ".join(NAMES)} FROM lines ON CONFLICT (group_id) DO NOTHING
), forgotten AS (
  DELETE FROM {{s}}.rolled_up AS r USING (SELECT DISTINCT start FROM lines) AS changed
  WHERE r.start = changed.start / r.width * r.width
)
INSERT INTO {{s}}.usage_buckets (start, group_id, {", ".join(_COLUMNS)})
SELECT start, group_id, {", ".join(_COLUMNS)} FROM lines
ON CONFLICT (start, group_id) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in _COLUMNS)}
"""  # noqa: S608  # built from constants of this module

_ATTEMPTS = "provider_id, model, tries, successes, rate_limited, failures, last_error, last_error_status, last_error_at"
SQLITE_ATTEMPTS = f"SELECT start, {_ATTEMPTS} FROM attempt_buckets WHERE start >= :since AND start < :until"  # noqa: S608  # constants
SET_ATTEMPTS = """
INSERT INTO {s}.attempt_buckets AS b (
  start, provider_id, model, tries, successes, rate_limited, failures, last_error, last_error_status, last_error_at
)
SELECT * FROM jsonb_to_recordset($1::text::jsonb) AS line (
  start bigint, provider_id text, model text, tries bigint, successes bigint, rate_limited bigint, failures bigint,
  last_error text, last_error_status integer, last_error_at bigint
)
ON CONFLICT (start, provider_id, model) DO UPDATE SET
  tries = excluded.tries, successes = excluded.successes, rate_limited = excluded.rate_limited,
  failures = excluded.failures, last_error = excluded.last_error, last_error_status = excluded.last_error_status,
  last_error_at = excluded.last_error_at
WHERE (b.tries, b.successes, b.rate_limited, b.failures)
  <> (excluded.tries, excluded.successes, excluded.rate_limited, excluded.failures)
"""
FORGET_ATTEMPTS = """
DELETE FROM {s}.rolled_up WHERE width = 86400000 AND start = $1
"""

_TOTALS = (
    "total_requests",
    "total_tokens",
    "total_prompt_tokens",
    "total_completion_tokens",
    "last_request_timestamp",
    "total_cost_nano",
)
_NAMED = {
    "usage_by_provider": "provider_id",
    "pruned_by_provider": "provider_id",
    "usage_by_chain": "chain_name",
    "pruned_by_chain": "chain_name",
}
BEFORE_BUCKETS = """
SELECT provider_id, total_requests, total_tokens, total_prompt_tokens, total_completion_tokens
FROM pruned_before_buckets
"""
_SUMMARIES = ("usage_summary", "pruned_summary")
RECOUNT = "SELECT {s}.recount_totals()"
NEXT_BUCKET = "SELECT MIN(start) FROM usage_buckets WHERE start >= ?"
NEXT_ATTEMPT = "SELECT MIN(start) FROM attempt_buckets WHERE start >= ?"


async def copy_totals(
    source: aiosqlite.Connection, target: asyncpg.Connection, url: PostgresUrl, on_progress: Progress
) -> int:
    """Makes totals and buckets those of the file. Returns how many lines were not what the rows gave.

    Raises the errors of both drivers.
    """
    changed = 0
    for day in await days_of(source):
        on_progress("comparing usage", 0, None)
        lines = await differing_lines(source, target, url, day)
        if lines:
            await target.execute(url.sql(SET_LINES), json.dumps(lines))
        span = {"since": day, "until": day + DAY_MS}
        attempts = [tuple(row) for row in await source.execute_fetchall(SQLITE_ATTEMPTS, span)]
        if attempts:
            names = ("start", *_ATTEMPTS.split(", "))
            values = [dict(zip(names, row, strict=True)) for row in attempts]
            tag = await target.execute(url.sql(SET_ATTEMPTS), json.dumps(values))
            set_now = int(tag.split()[-1])
            if set_now:
                await target.execute(url.sql(FORGET_ATTEMPTS), day)
            changed += set_now
        changed += len(lines) + await copy_tag_lines(source, target, url, day)
    async with target.transaction():
        for table, name in _NAMED.items():
            changed += await _set_named(source, target, url, table, name)
        await _set_before_buckets(source, target, url)
        for table in _SUMMARIES:
            await _set_summary(source, target, url, table)
    await target.execute(url.sql(RECOUNT))
    return changed


async def days_of(source: aiosqlite.Connection) -> list[int]:
    """The days (ms, UTC) that have buckets."""
    days: set[int] = set()
    for sql in (NEXT_BUCKET, NEXT_ATTEMPT):
        begin = 0
        while True:
            ((first,),) = await source.execute_fetchall(sql, (begin,))
            if first is None:
                break
            day = int(first) // DAY_MS * DAY_MS
            days.add(day)
            begin = day + DAY_MS
    return sorted(days)


async def differing_lines(
    source: aiosqlite.Connection, target: asyncpg.Connection, url: PostgresUrl, day: int
) -> list[Line]:
    """The lines of the file's buckets of a day that PostgreSQL does not have like that."""
    span = {"since": day, "until": day + DAY_MS}
    kept = {row[:5]: row[5:] for row in map(tuple, await target.fetch(url.sql(POSTGRES_SUMS), day, day + DAY_MS))}
    lines: dict[Key, Line] = {}
    for row in map(tuple, await source.execute_fetchall(SQLITE_SUMS, span)):
        key, sums = row[:5], [whole_number(value) for value in row[5:]]
        if not _alike(kept.get(key), sums):
            lines[key] = dict(zip(("start", *NAMES, *USAGE_SUMS), (*key, *sums), strict=True))
    if not lines:
        return []
    histograms = _histograms(lines.keys(), [tuple(row) for row in await source.execute_fetchall(SQLITE_BINS, span)])
    return [{**line, **histograms[key]} for key, line in lines.items()]


def _histograms(keys: Collection[Key], rows: Sequence[tuple[object, ...]]) -> dict[Key, dict[str, list[int]]]:
    """The histograms of these lines: see migrations/0002 of PostgreSQL for what a number is."""
    found: dict[Key, dict[str, list[int]]] = {key: {name: [] for name in HISTOGRAMS} for key in keys}
    for *key, answered, unanswered, number, answers, failures in rows:
        for name, count in ((answered, answers), (unanswered, failures)):
            if count and tuple(key) in found:
                found[tuple(key)][str(name)].append(512 * int(str(count)) + int(str(number)))
    return found


def _alike(kept: Sequence[object] | None, sums: Sequence[int]) -> bool:
    return kept is not None and [int(cast("Decimal", one)) for one in kept] == list(sums)


async def _set_named(
    source: aiosqlite.Connection, target: asyncpg.Connection, url: PostgresUrl, table: str, name: str
) -> int:
    columns = ", ".join((name, *_TOTALS))
    rows = await source.execute_fetchall(f"SELECT {columns} FROM {table}")  # noqa: S608  # constants
    changed = 0
    sets = ", ".join(f"{column} = excluded.{column}" for column in _TOTALS)
    sql = f"""
      INSERT INTO {{s}}.{table} AS t ({columns}) VALUES ($1, $2, $3, $4, $5, $6, $7)
      ON CONFLICT ({name}) DO UPDATE SET {sets}
      WHERE ({", ".join(f"t.{column}" for column in _TOTALS)})
        IS DISTINCT FROM ({", ".join(f"excluded.{column}" for column in _TOTALS)})
    """  # noqa: S608  # built from constants of this module
    for row in rows:
        numbers = [whole_number(value or 0) for value in row[1:]]
        changed += int((await target.execute(url.sql(sql), row[0], *numbers)).split()[-1])
    return changed


async def _set_before_buckets(source: aiosqlite.Connection, target: asyncpg.Connection, url: PostgresUrl) -> None:
    rows = [tuple(row) for row in await source.execute_fetchall(BEFORE_BUCKETS)]
    await target.execute(url.sql("DELETE FROM {s}.pruned_before_buckets"))
    await target.executemany(url.sql("INSERT INTO {s}.pruned_before_buckets VALUES ($1, $2, $3, $4, $5)"), rows)


async def _set_summary(source: aiosqlite.Connection, target: asyncpg.Connection, url: PostgresUrl, table: str) -> None:
    ((requests, waterfalls, latency),) = await source.execute_fetchall(
        f"SELECT total_requests, waterfall_requests, total_latency_ms FROM {table} WHERE id = 1"  # noqa: S608  # constants
    )
    sql = f"UPDATE {{s}}.{table} SET total_requests = $1, waterfall_requests = $2, total_latency_ms = $3"  # noqa: S608  # constants
    await target.execute(url.sql(sql), requests, waterfalls, whole_number(latency))
