"""Brings over usage by tag: which values are counted by themselves, before the rows; and what pruned rows left."""

from __future__ import annotations

import json

import aiosqlite
import asyncpg

from chainlog_async.common.clock import DAY_MS
from chainlog_async.requests.stored_row import whole_number
from chainlog_async.storage.postgres.url import PostgresUrl
from chainlog_async.usage.sums import USAGE_SUMS

NAMES = ("chain_name", "provider_id", "model", "caller")
KEY = ("start", "tag_key", "tag_value", *NAMES)

_COLUMNS = ", ".join((*KEY, *USAGE_SUMS))
VALUES = "SELECT tag_key, tag_value FROM tag_values"
SQLITE_LINES = f"SELECT {_COLUMNS} FROM tag_buckets WHERE start >= ? AND start < ?"  # noqa: S608  # constants
POSTGRES_LINES = f"""
SELECT {_COLUMNS} FROM {{s}}.tag_buckets JOIN {{s}}.usage_groups USING (group_id) WHERE start >= $1 AND start < $2
"""  # noqa: S608  # built from constants of this module
ADD_VALUES = """
INSERT INTO {s}.tag_values (tag_key, tag_value)
SELECT v ->> 0, v ->> 1 FROM jsonb_array_elements($1::text::jsonb) AS value (v) ON CONFLICT DO NOTHING
"""
SET_LINES = f"""
WITH lines AS (
  SELECT {{s}}.group_of(chain_name, provider_id, model, caller) AS group_id, *
  FROM jsonb_to_recordset($1::text::jsonb) AS line (
    start bigint, tag_key text, tag_value text, {", ".join(f"{name} text" for name in NAMES)},
    {", ".join(f"{name} numeric" for name in USAGE_SUMS)}
  )
), groups AS (
  INSERT INTO {{s}}.usage_groups (group_id, {", ".join(NAMES)})
  SELECT DISTINCT group_id, {", ".join(NAMES)} FROM lines ON CONFLICT (group_id) DO NOTHING
), forgotten AS (
  DELETE FROM {{s}}.rolled_up AS r USING (SELECT DISTINCT start FROM lines) AS changed
  WHERE r.start = changed.start / r.width * r.width
)
INSERT INTO {{s}}.tag_buckets (start, group_id, tag_key, tag_value, {", ".join(USAGE_SUMS)})
SELECT start, group_id, tag_key, tag_value, {", ".join(USAGE_SUMS)} FROM lines
ON CONFLICT (start, tag_key, tag_value, group_id) DO UPDATE
SET {", ".join(f"{name} = excluded.{name}" for name in USAGE_SUMS)}
"""  # noqa: S608  # built from constants of this module

Line = dict[str, object]


async def copy_tag_values(source: aiosqlite.Connection, target: asyncpg.Connection, url: PostgresUrl) -> None:
    """Makes the same values known as in the file, so that the same ones are counted as others.

    Raises the errors of both drivers.
    """
    values = [list(row) for row in await source.execute_fetchall(VALUES)]
    if values:
        await target.execute(url.sql(ADD_VALUES), json.dumps(values))


async def copy_tag_lines(source: aiosqlite.Connection, target: asyncpg.Connection, url: PostgresUrl, day: int) -> int:
    """Makes the buckets of a day those of the file. Returns how many were not what the rows gave."""
    lines = await differing_tag_lines(source, target, url, day)
    if lines:
        await target.execute(url.sql(SET_LINES), json.dumps(lines))
    return len(lines)


async def differing_tag_lines(
    source: aiosqlite.Connection, target: asyncpg.Connection, url: PostgresUrl, day: int
) -> list[Line]:
    """The buckets of a day of the file that PostgreSQL does not have like that."""
    places = len(KEY)
    kept = {
        tuple(row[:places]): list(map(int, row[places:]))
        for row in map(tuple, await target.fetch(url.sql(POSTGRES_LINES), day, day + DAY_MS))
    }
    lines: list[Line] = []
    for row in map(tuple, await source.execute_fetchall(SQLITE_LINES, (day, day + DAY_MS))):
        sums = [whole_number(value) for value in row[places:]]
        if kept.get(row[:places]) != sums:
            lines.append(dict(zip((*KEY, *USAGE_SUMS), (*row[:places], *sums), strict=True)))
    return lines
