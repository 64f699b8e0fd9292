"""Deletes the oldest rows a few at a time, so that other writers never wait long for the lock."""

from __future__ import annotations

from time import monotonic

import aiosqlite

from chainlog_async.common.clock import END_OF_TIME

from .pages import fetch_int

PURGE_TRANSACTION_S = 0.02
"""Target duration of one deletion between two batches, in seconds; the number of rows adapts to it."""

MIN_PURGE_ROWS, MAX_PURGE_ROWS = 50, 10_000


PRUNE_OLDEST = """
DELETE FROM request_logs WHERE id IN (
  SELECT id FROM request_logs WHERE timestamp < ? ORDER BY timestamp, id LIMIT ?
)
"""


class OldestRowsPurge:
    """Deletions whose size adapts to how long the previous ones took."""

    def __init__(self, slice_s: float = PURGE_TRANSACTION_S) -> None:
        """`slice_s` is roughly how long one deletion may hold the write lock, in seconds."""
        self._slice_s = slice_s
        self.rows = 500
        """Most rows of the next deletion."""

    async def delete_oldest(self, connection: aiosqlite.Connection, at_most: int, *, before: int = END_OF_TIME) -> int:
        """Deletes the oldest rows in one transaction. Returns how many were deleted, 0 when none are left.

        Deletes at most `at_most` rows, all older than `before` (ms since the epoch, UTC). Totals are kept: a trigger
        adds deleted rows to the tables ``pruned_…``. Raises `sqlite3.Error`.
        """
        rows = min(at_most, self.rows)
        started = monotonic()
        await connection.execute_fetchall(PRUNE_OLDEST, (before, rows))
        took_s = monotonic() - started
        deleted = await fetch_int(connection, "SELECT changes()")
        if deleted == self.rows:
            faster = min(self._slice_s / max(took_s, 0.001), 2.0)
            self.rows = int(min(max(self.rows * faster, MIN_PURGE_ROWS), MAX_PURGE_ROWS))
        return deleted
