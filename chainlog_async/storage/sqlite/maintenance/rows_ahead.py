"""Rows of a clock that was ahead: which are from the future, and where in the order of age they belong.

The oldest row is the one with the earliest timestamp, whenever it arrived: an old log that was imported today is old. A
timestamp in the future tells nothing about age. Such a row counts as old as the row that arrived just before it, so it
neither outlives the rows around it nor pushes out new ones.
"""

from __future__ import annotations

import aiosqlite

from .pages import fetch_int

MAX_CLOCK_SKEW_MS = 60_000
"""How far in the future a timestamp may be and still be believed, in ms: clocks of several machines differ a little."""

# Rows of the future (ahead) that arrived one after the other share the age of the row before them, and are the oldest
# of all when there is none.
BY_AGE = """
WITH ahead AS (
  SELECT id FROM (SELECT id, timestamp FROM request_logs WHERE id >= :searched_to ORDER BY id LIMIT :searched)
  WHERE timestamp > :latest
), row_before AS (
  SELECT id, timestamp AS age FROM request_logs
  WHERE id IN (SELECT (SELECT MAX(id) FROM request_logs WHERE id < ahead.id) FROM ahead) AND timestamp <= :latest
), known AS (
  SELECT id, NULL AS age FROM ahead UNION ALL SELECT id, age FROM row_before
), runs AS (
  SELECT id, age, COUNT(age) OVER (ORDER BY id) AS run FROM known
), dated AS (
  SELECT id, age IS NULL AS is_ahead, MAX(age) OVER (PARTITION BY run) AS age FROM runs
)
SELECT id FROM (
  SELECT id, age FROM (
    SELECT id, timestamp AS age FROM request_logs WHERE timestamp <= :latest ORDER BY timestamp, id LIMIT :rows
  )
  UNION ALL SELECT id, age FROM dated WHERE is_ahead
)
ORDER BY age, id LIMIT :rows
"""

FIRST_AHEAD = """
SELECT MIN(id) FILTER (WHERE timestamp > :latest), MAX(id)
FROM (SELECT id, timestamp FROM request_logs WHERE id >= :searched_to ORDER BY id LIMIT :searched)
"""


async def has_rows_ahead(connection: aiosqlite.Connection, now: int) -> bool:
    """Returns whether rows are from the future, as of `now` (ms since the epoch, UTC). Raises `sqlite3.Error`."""
    newest = await fetch_int(connection, "SELECT COALESCE(MAX(timestamp), 0) FROM request_logs")
    return newest > now + MAX_CLOCK_SKEW_MS


class AheadSearch:
    """Remembers up to which id there is no row of the future, because no index is in the order of arrival and time."""

    def __init__(self) -> None:
        self._connection: aiosqlite.Connection | None = None
        self._latest = self._searched_to = 0

    async def find_first(self, connection: aiosqlite.Connection, latest: int, rows: int) -> int | None:
        """Returns the id of the first row later than `latest`, or None if the next `rows` rows have none."""
        if connection is not self._connection or latest < self._latest:
            # Another file was opened, or the clock was set back.
            self._searched_to = 0
        self._connection, self._latest = connection, latest
        bounds = {"latest": latest, "searched_to": self._searched_to, "searched": rows}
        ((first, last),) = await connection.execute_fetchall(FIRST_AHEAD, bounds)
        if first is not None:
            self._searched_to = int(first)
            return self._searched_to
        if last is not None:
            self._searched_to = int(last) + 1
        return None
