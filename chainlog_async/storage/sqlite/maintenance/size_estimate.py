"""Estimates how much of the database the log takes, apart from totals, buckets and rollups, which are never deleted."""

from __future__ import annotations

from dataclasses import dataclass

import aiosqlite

from chainlog_async.storage.sqlite.indexes import MAY_HAVE_FAILED

from .purge import MIN_PURGE_ROWS

MIN_LOG_SHARE = 10
"""The log may always take one part in so many of the limit, however large the rest is."""

# A sample of rows from the whole log, each with the bytes it takes in the table and its indexes (0001 and 0007): keys,
# time, id, and headers of records and cells. Index pages that are not filled in order are less full.
BYTES_PER_ROW = f"""
WITH RECURSIVE places (place) AS (
  VALUES (0) UNION ALL SELECT place + 1 FROM places WHERE place < 63
), bounds AS (
  SELECT (SELECT MIN(id) FROM request_logs) AS first, (SELECT MAX(id) FROM request_logs) AS last
), sample AS (
  SELECT (
    SELECT id FROM request_logs WHERE id >= first + (last - first) * place / 63 ORDER BY id LIMIT 1
  ) AS id
  FROM places, bounds
), lengths AS (
  SELECT
    LENGTH(CAST(chain_name AS BLOB)) + LENGTH(CAST(provider_id AS BLOB)) + LENGTH(CAST(model AS BLOB)) AS names,
    LENGTH(CAST(COALESCE(caller, '') AS BLOB)) AS caller, LENGTH(CAST(COALESCE(request_id, '') AS BLOB)) AS request_id,
    LENGTH(CAST(
      COALESCE(error_message, '') || COALESCE(metadata, '') || COALESCE(attempt_trail, '') || COALESCE(tags, '')
      || COALESCE(finish_reason, '') || COALESCE(service_tier, '') || COALESCE(response_id, '')
      || COALESCE(session_id, '') AS BLOB
    )) AS texts,
    8 * ((ttft_ms IS NOT NULL) + (cost_usd IS NOT NULL)) AS details,
    ({MAY_HAVE_FAILED})
      + (request_id IS NOT NULL) AS partial_indexes
  FROM sample CROSS JOIN request_logs USING (id)
)
SELECT AVG(43 + names + caller + 2 * request_id + texts + details + 17 * (1 + partial_indexes)) FROM lengths
"""  # noqa: S608  # built of the constant above


@dataclass(frozen=True, slots=True)
class Surplus:
    """By how much a database exceeds its limit."""

    rows: int
    """An estimate, rather too low than too high, of how many of the oldest rows to delete."""
    reason: str | None
    """Why that is not enough, with the remedy; None when it is."""


async def bytes_per_row(connection: aiosqlite.Connection) -> float | None:
    """Estimates how many bytes a row takes with its index entries; None without rows. Raises `sqlite3.Error`."""
    ((row_bytes,),) = await connection.execute_fetchall(BYTES_PER_ROW)
    return None if row_bytes is None else float(row_bytes)


async def find_surplus(connection: aiosqlite.Connection, rows: int, used: int, max_bytes: int) -> Surplus:
    """Estimates how many of the `rows` rows to delete for `used` bytes to fit into `max_bytes`. Raises `sqlite3.Error`.

    Rows are only deleted while the log takes more than its share of `max_bytes` (see `MIN_LOG_SHARE`): if it made room
    for what is never deleted, nothing of it would be left one day.
    """
    if used <= max_bytes:
        return Surplus(0, None)
    row_bytes = await bytes_per_row(connection)
    if row_bytes is None:
        return Surplus(0, _reason(used, max_bytes, 0))
    may_go = max(rows - int(max_bytes / MIN_LOG_SHARE / row_bytes), 0)
    # Not too few at a time: rows share pages, and only empty pages free space.
    have_to_go = max(int((used - max_bytes) / row_bytes), MIN_PURGE_ROWS)
    if have_to_go <= may_go:
        return Surplus(have_to_go, None)
    return Surplus(may_go, _reason(used, max_bytes, int(rows * row_bytes)))


def _reason(used: int, max_bytes: int, log_bytes: int) -> str:
    return (
        f"the database has {used} bytes, more than its limit of {max_bytes}, but only about {log_bytes} of them are "
        f"the log, which always keeps {100 // MIN_LOG_SHARE} % of the limit; totals and buckets are never deleted: "
        "raise retention_bytes, or log fewer distinct callers and models"
    )
