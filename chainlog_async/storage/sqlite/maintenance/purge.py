"""Deletes the oldest rows a few at a time, so that other writers never wait long for the lock.

The oldest row is the one with the earliest timestamp, whenever it arrived: an old log that was imported today is old. A
timestamp in the future, from a clock that was ahead, tells nothing about age. Such a row counts as old as the row that
arrived just before it, so it neither outlives the rows around it nor pushes out new ones.
"""

from __future__ import annotations

from time import monotonic

import aiosqlite

from chainlog_async.common.clock import END_OF_TIME

from .pages import fetch_int

PURGE_TRANSACTION_S = 0.02
"""Target duration of one deletion between two batches, in seconds; the number of rows adapts to it."""

MIN_PURGE_ROWS, MAX_PURGE_ROWS = 50, 10_000

MAX_CLOCK_SKEW_MS = 60_000
"""How far in the future a timestamp may be and still be believed, in ms: clocks of several machines differ a little."""

ROWS_SEARCHED_PER_DELETED = 2
"""In the order of arrival, rows of the future are searched for faster than rows are deleted, and so found in time."""

_BY_TIME = "SELECT id FROM request_logs WHERE timestamp < :before ORDER BY timestamp, id LIMIT :rows"

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


def _deletion(ids: str) -> str:
    return f"DELETE FROM request_logs WHERE id IN ({ids})"  # noqa: S608  # put together from constants of this file


async def has_rows_ahead(connection: aiosqlite.Connection, now: int) -> bool:
    """Returns whether rows are from the future, as of `now` (ms since the epoch, UTC). Raises `sqlite3.Error`."""
    newest = await fetch_int(connection, "SELECT COALESCE(MAX(timestamp), 0) FROM request_logs")
    return newest > now + MAX_CLOCK_SKEW_MS


class OldestRowsPurge:
    """Deletions whose size adapts to how long the previous ones took."""

    def __init__(self, slice_s: float = PURGE_TRANSACTION_S) -> None:
        """`slice_s` is roughly how long one deletion may hold the write lock, in seconds."""
        self._slice_s = slice_s
        self._search = _SearchAhead()
        self.rows = 500
        """Most rows of the next deletion."""

    async def delete_before(self, connection: aiosqlite.Connection, at_most: int, before: int) -> int:
        """Deletes the oldest rows in one transaction. Returns how many were deleted, 0 when none are left.

        Deletes at most `at_most` rows, all with timestamps before `before` (ms since the epoch, UTC). Totals are kept:
        a trigger adds deleted rows to the tables ``pruned_…``. Raises `sqlite3.Error`.
        """
        rows = min(at_most, self.rows)
        return await self._delete(connection, _BY_TIME, {"before": before, "rows": rows})

    async def delete_oldest(self, connection: aiosqlite.Connection, at_most: int, now: int) -> int:
        """Like `delete_before`, for rows of any time; those from the future are as old as their arrival says.

        What is the future is as of `now` (ms since the epoch, UTC). Raises `sqlite3.Error`.
        """
        if not await has_rows_ahead(connection, now):
            return await self.delete_before(connection, at_most, END_OF_TIME)
        rows = min(at_most, self.rows)
        latest, searched = now + MAX_CLOCK_SKEW_MS, ROWS_SEARCHED_PER_DELETED * rows
        first = await self._search.find_first(connection, latest, searched)
        if first is None:
            return await self.delete_before(connection, at_most, latest + 1)
        found = {"latest": latest, "searched_to": first, "searched": searched}
        return await self._delete(connection, BY_AGE, found | {"rows": rows})

    async def _delete(self, connection: aiosqlite.Connection, ids: str, parameters: dict[str, int]) -> int:
        started = monotonic()
        await connection.execute_fetchall(_deletion(ids), parameters)
        took_s = monotonic() - started
        deleted = await fetch_int(connection, "SELECT changes()")
        if deleted == self.rows:
            faster = min(self._slice_s / max(took_s, 0.001), 2.0)
            self.rows = int(min(max(self.rows * faster, MIN_PURGE_ROWS), MAX_PURGE_ROWS))
        return deleted


class _SearchAhead:
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
