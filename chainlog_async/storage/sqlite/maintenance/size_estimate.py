"""How large the log itself is, beside what is kept for ever: totals, buckets and what is rolled up of them."""

from __future__ import annotations

from dataclasses import dataclass

import aiosqlite

from .purge import MIN_PURGE_ROWS

MIN_LOG_SHARE = 10
"""The log may always fill one part in so many of the bound, however large all the rest is."""

# Rows from all over the log, each with what it takes in the table and in the indexes of 0001 and 0007: their keys, the
# time, the id and the headers of records and cells. Pages of an index that is not filled in order are less full.
BYTES_PER_ROW = """
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
    LENGTH(CAST(COALESCE(error_message, '') || COALESCE(metadata, '') || COALESCE(attempt_trail, '') AS BLOB)) AS texts,
    8 * ((ttft_ms IS NOT NULL) + (cost_usd IS NOT NULL)) AS details,
    (http_status >= 400) + (request_id IS NOT NULL) AS partial_indexes
  FROM sample CROSS JOIN request_logs USING (id)
)
SELECT AVG(43 + names + caller + 2 * request_id + texts + details + 17 * (1 + partial_indexes)) FROM lengths
"""


@dataclass(frozen=True, slots=True)
class Surplus:
    """What a database is too large by."""

    rows: int
    """About how many of the oldest rows have to go; rather too few than too many, so look again."""
    reason: str | None
    """Why that is not enough, in words, with the remedy; None when it is."""


async def find_surplus(connection: aiosqlite.Connection, rows: int, used: int, max_bytes: int) -> Surplus:
    """What makes `used` bytes, of which `rows` rows are a part, more than `max_bytes`. Raises `sqlite3.Error`.

    Rows may go as long as the log fills more than its share of `max_bytes`, see `MIN_LOG_SHARE`: were it to make room
    for what cannot be deleted, all of it would be gone one day.
    """
    if used <= max_bytes:
        return Surplus(0, None)
    ((row_bytes,),) = await connection.execute_fetchall(BYTES_PER_ROW)
    if row_bytes is None:
        return Surplus(0, _reason(used, max_bytes, 0))
    may_go = max(rows - int(max_bytes / MIN_LOG_SHARE / row_bytes), 0)
    # Not so few that it would take for ever: rows share pages, and only an empty page counts.
    have_to_go = max(int((used - max_bytes) / row_bytes), MIN_PURGE_ROWS)
    if have_to_go <= may_go:
        return Surplus(have_to_go, None)
    return Surplus(may_go, _reason(used, max_bytes, int(rows * row_bytes)))


def _reason(used: int, max_bytes: int, log_bytes: int) -> str:
    return (
        f"the database has {used} bytes, more than the {max_bytes} that it may have, but only about {log_bytes} of "
        f"them are the log, which keeps a share of one part in {MIN_LOG_SHARE}; totals and buckets are kept for ever: "
        "allow it more (retention_bytes), or log fewer distinct callers and models"
    )
