"""Growth: the oldest rows go when the log is too old, too long or too large. Totals stay as they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiosqlite

from chainlog_async.common.clock import DAY_MS, END_OF_TIME

from .pages import Pages, fetch_int, give_back, look_at_pages
from .purge import MAX_PURGE_ROWS, OldestRowsPurge
from .size_estimate import find_surplus

if TYPE_CHECKING:
    from chainlog_async.settings import Settings

VACUUM_ABOVE_PAGES = 1_024
"""Free pages that are kept for new rows; what is above them goes back to the file system."""

# Two bounds, neither of which takes a scan: were the totals too high, they alone would have rows deleted that may stay.
ROWS_LEFT = """
SELECT COALESCE(MIN(
  (SELECT total_requests FROM usage_summary) - (SELECT total_requests FROM pruned_summary),
  (SELECT MAX(id) FROM request_logs) - (SELECT MIN(id) FROM request_logs) + 1
), 0)
"""
OLDER_THAN = "SELECT EXISTS (SELECT 1 FROM request_logs WHERE timestamp < ?)"


@dataclass(frozen=True, slots=True)
class _Excess:
    rows: int
    """So many of the oldest may go."""
    before: int = END_OF_TIME
    """But only those from before that time."""
    is_estimate: bool = False
    """Whether it takes another look to know that it was enough."""


class Retention:
    """The writer's part: what the settings say is too much, a slice between two batches."""

    def __init__(self, settings: Settings) -> None:
        self._max_age_ms = settings.retention_days * DAY_MS
        self._max_rows = settings.retention_rows
        self._max_bytes = settings.retention_bytes
        self._purge = OldestRowsPurge()
        self.too_large: str | None = None
        """Why the database stays larger than it may be, in words, with the remedy; None when it does not."""

    async def prune_slice(self, connection: aiosqlite.Connection, now: int) -> bool:
        """Deletes some of what is too much at the time `now` (ms since the epoch, UTC). True when there is more.

        Raises `sqlite3.Error`.
        """
        pages = await look_at_pages(connection)
        self.too_large = None
        excess = await self._find_excess(connection, pages, now)
        most = self._purge.rows
        # A file may be too large, or the totals wrong, without a row to delete: then there is nothing more to do.
        deleted = (
            0 if excess is None else await self._purge.delete_oldest(connection, excess.rows, before=excess.before)
        )
        if deleted:
            pages = await look_at_pages(connection)
        gave_back = await give_back(connection, pages, keep_pages=VACUUM_ABOVE_PAGES)
        return deleted == most or (deleted > 0 and excess is not None and excess.is_estimate) or gave_back

    async def _find_excess(self, connection: aiosqlite.Connection, pages: Pages, now: int) -> _Excess | None:
        if self._max_rows:
            too_many = await fetch_int(connection, ROWS_LEFT) - self._max_rows
            if too_many > 0:
                return _Excess(too_many)
        if self._max_bytes and pages.used_bytes > self._max_bytes:
            rows = await fetch_int(connection, ROWS_LEFT)
            surplus = await find_surplus(connection, rows, pages.used_bytes, self._max_bytes)
            if surplus.rows:
                return _Excess(surplus.rows, is_estimate=True)
            self.too_large = surplus.reason
        too_old = now - self._max_age_ms
        if self._max_age_ms and await fetch_int(connection, OLDER_THAN, (too_old,)):
            return _Excess(MAX_PURGE_ROWS, before=too_old)
        return None
