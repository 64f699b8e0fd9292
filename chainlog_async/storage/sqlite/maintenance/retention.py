"""Retention: deletes the oldest rows by age, number or size of the database. Totals are kept.

The age limit goes by timestamps alone. The other two go by `purge`'s order, in which a timestamp in the future does not
make a row young.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiosqlite

from chainlog_async.common.clock import DAY_MS

from .pages import Pages, fetch_int, free_pages, read_pages
from .purge import MAX_PURGE_ROWS, OldestRowsPurge
from .size_estimate import find_surplus

if TYPE_CHECKING:
    from chainlog_async.settings import Settings

VACUUM_ABOVE_PAGES = 1_024
"""Free pages kept for new rows; further ones are returned to the file system."""

# The smaller of two upper bounds, neither of which needs a scan. Totals that are wrong and too high would otherwise
# have rows deleted that should be kept.
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
    """How many of the oldest rows to delete at most."""
    before: int | None = None
    """Only rows with earlier timestamps are deleted, in ms since the epoch, UTC; None sets no limit."""
    is_estimate: bool = False
    """Whether the size must be checked again afterwards."""


class Retention:
    """Deletes what exceeds the settings' limits, a few rows between two batches."""

    def __init__(self, settings: Settings) -> None:
        self._max_age_ms = settings.retention_days * DAY_MS
        self._max_rows = settings.retention_rows
        self._max_bytes = settings.retention_bytes
        self._purge = OldestRowsPurge()
        self.too_large: str | None = None
        """Why the database stays larger than its limit, with the remedy; None when it does not."""

    async def purge_some(self, connection: aiosqlite.Connection, now: int) -> bool:
        """Deletes some rows beyond the limits, as of `now` (ms since the epoch, UTC). Returns whether there are more.

        Raises `sqlite3.Error`.
        """
        pages = await read_pages(connection)
        self.too_large = None
        excess = await self._find_excess(connection, pages, now)
        most = self._purge.rows
        # The file may be too large, or the totals wrong, without any row left to delete.
        deleted = 0
        if excess is not None and excess.before is not None:
            deleted = await self._purge.delete_before(connection, excess.rows, excess.before)
        elif excess is not None:
            deleted = await self._purge.delete_oldest(connection, excess.rows, now)
        if deleted:
            pages = await read_pages(connection)
        gave_back = await free_pages(connection, pages, keep_pages=VACUUM_ABOVE_PAGES)
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
