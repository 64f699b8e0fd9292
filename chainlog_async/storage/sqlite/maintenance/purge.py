"""Deletes the oldest rows a few at a time, so that other writers never wait long for the lock."""

from __future__ import annotations

from time import monotonic

import aiosqlite

from chainlog_async.common.clock import END_OF_TIME

from .pages import fetch_int
from .rows_ahead import BY_AGE, MAX_CLOCK_SKEW_MS, AheadSearch, has_rows_ahead

PURGE_TRANSACTION_S = 0.02
"""Target duration of one deletion between two batches, in seconds; the number of rows adapts to it."""

MIN_PURGE_ROWS, MAX_PURGE_ROWS = 50, 10_000

ROWS_SEARCHED_PER_DELETED = 2
"""In the order of arrival, rows of the future are searched for faster than rows are deleted, and so found in time."""

_BY_TIME = "SELECT id FROM request_logs WHERE timestamp < :before ORDER BY timestamp, id LIMIT :rows"


def _deletion(ids: str) -> str:
    return f"DELETE FROM request_logs WHERE id IN ({ids})"  # noqa: S608  # put together from constants of this file


class OldestRowsPurge:
    """Deletions whose size adapts to how long the previous ones took."""

    def __init__(self, slice_s: float = PURGE_TRANSACTION_S) -> None:
        """`slice_s` is roughly how long one deletion may hold the write lock, in seconds."""
        self._slice_s = slice_s
        self._search = AheadSearch()
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
