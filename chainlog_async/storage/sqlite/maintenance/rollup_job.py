"""Sums up buckets into rollups once their time is over, which makes a month cheap to read.

Triggers keep buckets correct at every moment. Rollups are derived from them, and may lag behind or be missing: a
trigger invalidates those that a late row makes wrong, and readers use the buckets until they are rebuilt.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from time import monotonic

import aiosqlite

from chainlog_async.common.clock import DAY_MS
from chainlog_async.storage.base import StorageFault
from chainlog_async.storage.sqlite.errors import classify
from chainlog_async.usage.dimensions import DIMENSIONS, SPANS

ROLLUP_GRACE_MS = 300_000
"""How long after its end a quarter of an hour is rolled up, in ms: requests are logged shortly after they end."""

ROLLUP_STEP_S = 0.02
"""Target duration of one step, and time after which no further step starts between two batches, in seconds."""

SEARCH_INTERVAL_MS = 60_000
"""Time between two searches for work once there was none, in ms."""

SEARCH_ALL_INTERVAL_MS = 600_000
"""Time between two searches that start at the oldest bucket, in ms: rows may arrive late."""

SEARCH_WINDOW_MS = 30 * DAY_MS
"""How much time one search covers, in ms. Whole days, so that no span is split; years would delay a batch."""

CLAIM_TIMEOUT_MS = 60_000
"""Age at which a span that a writer claimed and did not finish may be claimed by another, in ms."""

FIRST_BUCKET = "SELECT MIN(start) FROM usage_buckets WHERE start >= ?"

NEXT_QUARTER = """
WITH RECURSIVE quarters (start) AS (
  SELECT MIN(start) FROM usage_buckets WHERE start >= :after
  UNION ALL
  SELECT (SELECT MIN(start) FROM usage_buckets WHERE start > quarters.start) FROM quarters WHERE start < :until
)
SELECT start FROM quarters
WHERE start + :width <= :until AND NOT EXISTS (
  SELECT 1 FROM rolled_up
  WHERE width = :width AND rolled_up.start = quarters.start AND (taken_by IS NULL OR taken_at > :abandoned)
)
LIMIT 1
"""

# A span is due when it is over and all its parts that have buckets are rolled up.
NEXT_SPAN = """
WITH RECURSIVE parts (number) AS (
  VALUES (0) UNION ALL SELECT number + 1 FROM parts WHERE (number + 1) * :part_width < :width
)
SELECT span AS start FROM (
  SELECT DISTINCT start / :width * :width AS span FROM rolled_up
  WHERE width = :part_width AND taken_by IS NULL AND start >= :after AND start < :until
)
WHERE span + :width <= :until AND NOT EXISTS (
  SELECT 1 FROM rolled_up
  WHERE width = :width AND start = span AND (taken_by IS NULL OR taken_at > :abandoned)
)
AND NOT EXISTS (
  SELECT 1 FROM parts
  WHERE EXISTS (
    SELECT 1 FROM usage_buckets
    WHERE start >= span + number * :part_width AND start < span + (number + 1) * :part_width
  )
  AND NOT EXISTS (
    SELECT 1 FROM rolled_up
    WHERE width = :part_width AND start = span + number * :part_width AND taken_by IS NULL
  )
)
LIMIT 1
"""


def _taking(query: str) -> str:
    """The statement that claims the span the query finds; from then on a trigger watches for late rows."""
    return f"""
      INSERT OR REPLACE INTO rolled_up (width, start, dimensions, taken_by, taken_at)
      SELECT :width, start, 0, :taker, :now FROM ({query}) RETURNING start
    """  # noqa: S608  # built from constants of this module


TAKE_QUARTER, TAKE_SPAN = _taking(NEXT_QUARTER), _taking(NEXT_SPAN)
# From the buckets if a part lacks the dimension: quarters of an hour are not kept for single combinations.
ROLL_UP = """
INSERT INTO to_roll_up (start, width, part_width, dimension)
SELECT :start, :width, IIF(
  EXISTS (
    SELECT 1 FROM rolled_up
    WHERE width = :part_width AND start >= :start AND start < :start + :width AND NOT dimensions & bit
  ), 0, :part_width
), dimension
FROM json_each(:dimensions) CROSS JOIN rollup_dimensions ON dimension = value
"""
# Unless a late row or another writer came in between.
FINISH = """
UPDATE rolled_up SET taken_by = NULL, dimensions = (
  SELECT COALESCE(SUM(bit), 0) FROM rollup_dimensions WHERE EXISTS (
    SELECT 1 FROM usage_rollups AS rolled
    WHERE rolled.width = :width AND rolled.dimension = rollup_dimensions.dimension AND rolled.start = :start
  )
)
WHERE width = :width AND start = :start AND taken_by = :taker
"""


class RollupJob:
    """Rolls up what this writer claims; several writers on one file do not interfere with each other."""

    def __init__(self, *, advance_s: float = ROLLUP_STEP_S) -> None:
        self._advance_s = advance_s
        self._at_once = 1
        self._taker = secrets.token_hex(8)
        self._item: dict[str, int] | None = None
        self._dimensions: list[str] = []
        # Where this search continues: in which window, and after which start by width. It claims nothing twice, because
        # late rows may keep invalidating what was just rolled up.
        self._window: int | None = None
        self._after: dict[int, int] = {}
        self._search_at = self._search_all_at = 0

    async def advance(self, connection: aiosqlite.Connection, now: int) -> bool:
        """Does some steps of a few ms each, as of `now` (ms since the epoch, UTC). Returns whether there is more to do.

        Raises `sqlite3.Error`; unfinished work is then continued, or left to a later search or another writer.
        """
        end = monotonic() + self._advance_s
        while self._has_more(now):
            item = self._item or await self._take_next(connection, now)
            if item is not None:
                await self._step(connection, item)
            if monotonic() >= end:
                break
        return self._has_more(now)

    def _has_more(self, now: int) -> bool:
        return self._item is not None or now >= self._search_at

    async def _step(self, connection: aiosqlite.Connection, item: Mapping[str, int]) -> None:
        dimensions = self._dimensions[: self._at_once]
        began = monotonic()
        try:
            await connection.execute_fetchall(ROLL_UP, {**item, "dimensions": json.dumps(dimensions)})
            del self._dimensions[: len(dimensions)]
            if not self._dimensions:
                await connection.execute_fetchall(FINISH, {**item, "taker": self._taker})
                self._item = None
        except Exception as error:
            # After a lock by another process this span is continued. One that can never be rolled up must not block all
            # others: it waits for the next search.
            if classify(error) is not StorageFault.BUSY:
                self._item = None
            raise
        took_s = monotonic() - began
        if took_s > self._advance_s:
            self._at_once = max(self._at_once // 2, 1)
        elif took_s < self._advance_s / 4:
            self._at_once = min(2 * self._at_once, len(DIMENSIONS))

    async def _take_next(self, connection: aiosqlite.Connection, now: int) -> dict[str, int] | None:
        """Claims the next span to roll up; None if it cannot be claimed, or at the end of the window or the search."""
        window = await self._find_window(connection, now)
        if window is None:
            return None
        times = {
            "now": now,
            "until": min(now - ROLLUP_GRACE_MS, window + SEARCH_WINDOW_MS),
            "abandoned": now - CLAIM_TIMEOUT_MS,
        }
        for part_width, width in SPANS:
            item = {"width": width, "part_width": part_width}
            after = {"after": self._after.get(width, window)}
            query = NEXT_SPAN if part_width else NEXT_QUARTER
            for (start,) in await connection.execute_fetchall(query, item | times | after):
                taken = await self._take(connection, item | times | {"after": start, "until": start + width})
                self._after[width] = start + width
                if not taken:
                    return None
                self._item = item | {"start": start}
                self._dimensions = [name for name in DIMENSIONS if part_width or name != "each"]
                return self._item
        self._after.clear()
        self._window = window + SEARCH_WINDOW_MS
        if self._window >= now - ROLLUP_GRACE_MS:
            self._end_search(now)
        return None

    async def _take(self, connection: aiosqlite.Connection, span: Mapping[str, int]) -> bool:
        """Whether the span could be claimed; another writer may have been faster, or late rows may have arrived."""
        take = TAKE_SPAN if span["part_width"] else TAKE_QUARTER
        return bool(await connection.execute_fetchall(take, {**span, "taker": self._taker}))

    async def _find_window(self, connection: aiosqlite.Connection, now: int) -> int | None:
        """The start of the window, its first day with buckets; None when there is none, which ends the search."""
        if self._after:
            return self._window
        if self._window is None:
            self._window = max(0, now // DAY_MS - 2) * DAY_MS
            if now >= self._search_all_at:
                self._window, self._search_all_at = 0, now + SEARCH_ALL_INTERVAL_MS
        ((first,),) = await connection.execute_fetchall(FIRST_BUCKET, (self._window,))
        if first is None or first >= now - ROLLUP_GRACE_MS:
            self._end_search(now)
            return None
        self._window = int(first) // DAY_MS * DAY_MS
        return self._window

    def _end_search(self, now: int) -> None:
        self._window = None
        self._search_at = now + SEARCH_INTERVAL_MS
