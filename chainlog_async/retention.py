"""Growth: the oldest rows go when the log is too old, too long or too large. Totals stay as they are."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from .store import Store

if TYPE_CHECKING:
    from .settings import Settings

SLICE_S = 0.02
"""How long one deletion may hold the write lock, about, in seconds; its number of rows is adapted to that."""

FEWEST_ROWS, MOST_ROWS = 50, 10_000

VACUUM_ABOVE_PAGES = 1_024
"""Free pages that are kept for new rows; what is above them goes back to the file system."""

VACUUM_PAGES = 256
"""How many pages one round gives back."""

MS_PER_DAY = 86_400_000

PRUNE_OLDEST = """
DELETE FROM request_logs WHERE id IN (
  SELECT id FROM request_logs WHERE timestamp < ? ORDER BY timestamp, id LIMIT ?
)
"""
ROWS_LEFT = "SELECT u.total_requests - p.total_requests FROM usage_summary AS u JOIN pruned_summary AS p USING (id)"
OLDER_THAN = "SELECT 1 FROM request_logs WHERE timestamp < ? LIMIT 1"
END_OF_TIME = 2**63 - 1


class Retention:
    """Deletes in slices that never hold the lock for long."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._max_age_ms = settings.retention_days * MS_PER_DAY
        self._max_rows = settings.retention_rows
        self._max_bytes = settings.retention_bytes
        self._slice_rows = 500

    async def prune_slice(self, now: int) -> bool:
        """Deletes some of what is too much at the time `now` (ms since the epoch, UTC). True when there is more.

        Raises `sqlite3.Error`.
        """
        before, rows = await self._what_is_too_much(now)
        if rows:
            await self._delete(before, min(rows, self._slice_rows))
        gave_back = await self._give_back()
        return rows > self._slice_rows or gave_back

    async def _what_is_too_much(self, now: int) -> tuple[int, int]:
        """Rows older than the first are too many by at least the second; (0, 0) when all may stay."""
        if self._max_rows:
            left = await self._number(ROWS_LEFT)
            if left > self._max_rows:
                return END_OF_TIME, left - self._max_rows
        if self._max_bytes and await self._used_bytes() > self._max_bytes:
            return END_OF_TIME, self._slice_rows + 1
        if self._max_age_ms:
            too_old = now - self._max_age_ms
            if await self._store.query(OLDER_THAN, (too_old,)):
                return too_old, self._slice_rows + 1
        return 0, 0

    async def _delete(self, before: int, rows: int) -> None:
        started = monotonic()
        await self._store.query(PRUNE_OLDEST, (before, rows))
        if rows == self._slice_rows:
            factor = SLICE_S / max(monotonic() - started, 0.001)
            self._slice_rows = int(min(max(self._slice_rows * min(factor, 2.0), FEWEST_ROWS), MOST_ROWS))

    async def _give_back(self) -> bool:
        """Whether free pages went back to the file system; a file made without auto_vacuum keeps them for new rows."""
        free = await self._number("PRAGMA freelist_count")
        if free <= VACUUM_ABOVE_PAGES or await self._number("PRAGMA auto_vacuum") != 2:
            return False
        await self._store.query(f"PRAGMA incremental_vacuum({VACUUM_PAGES})")
        return True

    async def _used_bytes(self) -> int:
        pages = await self._number("PRAGMA page_count") - await self._number("PRAGMA freelist_count")
        return pages * await self._number("PRAGMA page_size")

    async def _number(self, sql: str) -> int:
        (value,) = await self._store.numbers(sql)
        return value
