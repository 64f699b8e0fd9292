"""Growth: the oldest rows go when the log is too old, too long or too large. Totals stay as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiosqlite

from .slices import END_OF_TIME, Slices, give_back, number, used_bytes

if TYPE_CHECKING:
    from .settings import Settings

VACUUM_ABOVE_PAGES = 1_024
"""Free pages that are kept for new rows; what is above them goes back to the file system."""

MS_PER_DAY = 86_400_000

# Two bounds, neither of which takes a scan: were the totals too high, they alone would have rows deleted that may stay.
ROWS_LEFT = """
SELECT COALESCE(MIN(
  (SELECT total_requests FROM usage_summary) - (SELECT total_requests FROM pruned_summary),
  (SELECT MAX(id) FROM request_logs) - (SELECT MIN(id) FROM request_logs) + 1
), 0)
"""
OLDER_THAN = "SELECT EXISTS (SELECT 1 FROM request_logs WHERE timestamp < ?)"


class Retention:
    """The writer's part: what the settings say is too much, a slice between two batches."""

    def __init__(self, settings: Settings) -> None:
        self._max_age_ms = settings.retention_days * MS_PER_DAY
        self._max_rows = settings.retention_rows
        self._max_bytes = settings.retention_bytes
        self._slices = Slices()

    async def prune_slice(self, connection: aiosqlite.Connection, now: int) -> bool:
        """Deletes some of what is too much at the time `now` (ms since the epoch, UTC). True when there is more.

        Raises `sqlite3.Error`.
        """
        most = self._slices.rows
        rows, before = await self._what_is_too_much(connection, now)
        # A file may be too large, or the totals wrong, without a row to delete: then there is nothing more to do.
        deleted = await self._slices.delete_oldest(connection, rows, before=before) if rows else 0
        gave_back = await give_back(connection, keep_pages=VACUUM_ABOVE_PAGES)
        return deleted == most or gave_back

    async def _what_is_too_much(self, connection: aiosqlite.Connection, now: int) -> tuple[int, int]:
        """How many rows may be deleted at once, and from before which time they must be; no rows when all may stay."""
        if self._max_rows:
            too_many = await number(connection, ROWS_LEFT) - self._max_rows
            if too_many > 0:
                return too_many, END_OF_TIME
        if self._max_bytes and await used_bytes(connection) > self._max_bytes:
            return self._slices.rows, END_OF_TIME
        too_old = now - self._max_age_ms
        if self._max_age_ms and await number(connection, OLDER_THAN, (too_old,)):
            return self._slices.rows, too_old
        return 0, END_OF_TIME
