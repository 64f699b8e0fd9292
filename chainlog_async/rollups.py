"""Adding buckets up once their hour is over, a step between two batches: what makes a month cheap to read.

Buckets are right at every moment, by triggers; rollups are a copy that may lag behind or be missing. A trigger forgets
the ones that a late row makes wrong, and readers take the buckets instead until they are made anew.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping

import aiosqlite

from .window import HOUR_MS, QUARTER_MS

SPANS = ((21_600_000, HOUR_MS), (86_400_000, 21_600_000))
"""The longer widths, each with that of its parts, in ms."""

DIMENSIONS = ("all", "chain", "provider", "model", "caller", "each")

GRACE_MS = 300_000
"""How long after its end an hour is left alone, in ms: requests are logged a little after they end."""

LOOK_EVERY_MS = 60_000
"""Time between two looks for work once there was none, in ms."""

LOOK_AT_ALL_EVERY_MS = 600_000
"""Time between two looks that begin at the oldest bucket, in ms: rows may come in late."""

ABANDONED_AFTER_MS = 60_000
"""When work that somebody took and did not finish is taken by another, in ms."""

NEXT_HOUR = """
WITH RECURSIVE hours (start) AS (
  SELECT MIN(start) / 3600000 * 3600000 FROM usage_buckets WHERE start >= :after
  UNION ALL
  SELECT (SELECT MIN(start) FROM usage_buckets WHERE start >= hours.start + 3600000) / 3600000 * 3600000
  FROM hours WHERE start < :until
)
SELECT start FROM hours
WHERE start + 3600000 <= :until AND NOT EXISTS (
  SELECT 1 FROM rolled_up
  WHERE width = 3600000 AND rolled_up.start = hours.start AND (taken_by IS NULL OR taken_at > :abandoned)
)
LIMIT 1
"""

# A span is due when it is over and all its parts that hold anything are rolled up.
NEXT_SPAN = """
WITH RECURSIVE parts (number) AS (
  VALUES (0) UNION ALL SELECT number + 1 FROM parts WHERE (number + 1) * :part_width < :width
)
SELECT span FROM (
  SELECT DISTINCT start / :width * :width AS span FROM rolled_up
  WHERE width = :part_width AND taken_by IS NULL AND start >= :after
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

TAKE = "INSERT OR REPLACE INTO rolled_up (width, start, taken_by, taken_at) VALUES (:width, :start, :taker, :now)"
# From here on, what is logged for that time makes it invalid.
PROGRESS = "UPDATE rollup_progress SET rolled_until = MAX(rolled_until, :start + :width) WHERE id = 1"
ROLL_UP_HOUR = "INSERT INTO hours_to_roll_up (start, dimension) VALUES (:start, :dimension)"
ROLL_UP_SPAN = """
INSERT INTO spans_to_roll_up (start, width, part_width, dimension) VALUES (:start, :width, :part_width, :dimension)
"""
# Not when a late row, or another taker, came in between.
FINISH = "UPDATE rolled_up SET taken_by = NULL WHERE width = :width AND start = :start AND taken_by = :taker"


class Rollups:
    """One writer's share of the work; several writers on one file do not get in each other's way."""

    def __init__(self) -> None:
        self._taker = secrets.token_hex(8)
        self._item: dict[str, object] | None = None
        self._dimensions: list[str] = []
        self._begin_at = 0
        # Where this look goes on, by width. It takes nothing twice: while late rows come in, each of them makes what
        # was just done invalid.
        self._after: dict[int, int] = {}
        self._look_at = self._look_at_all_at = 0

    async def advance(self, connection: aiosqlite.Connection, now: int) -> bool:
        """One step, of some tens of ms, at the time `now` (ms since the epoch, UTC). True when there is more to do.

        Raises `sqlite3.Error`; the step is then done again, or left to others.
        """
        if self._item is None:
            if now < self._look_at:
                return False
            self._item = await self._take_next(connection, now)
            if self._item is None:
                self._look_at = now + LOOK_EVERY_MS
                return False
            self._dimensions = list(DIMENSIONS)
        try:
            await self._step(connection, self._item)
        except BaseException:
            self._item = None
            raise
        if not self._dimensions:
            await connection.execute_fetchall(FINISH, self._item)
            self._item = None
        return True

    async def _step(self, connection: aiosqlite.Connection, item: Mapping[str, object]) -> None:
        statement = ROLL_UP_HOUR if item["width"] == HOUR_MS else ROLL_UP_SPAN
        await connection.execute_fetchall(statement, {**item, "dimension": self._dimensions.pop()})

    async def _take_next(self, connection: aiosqlite.Connection, now: int) -> dict[str, object] | None:
        if now >= self._look_at_all_at:
            self._begin_at, self._look_at_all_at = 0, now + LOOK_AT_ALL_EVERY_MS
        item: dict[str, object] = {
            "taker": self._taker,
            "now": now,
            "until": now - GRACE_MS,
            "abandoned": now - ABANDONED_AFTER_MS,
        }
        for width, part_width, query in ((HOUR_MS, QUARTER_MS, NEXT_HOUR), *((*span, NEXT_SPAN) for span in SPANS)):
            item |= {"width": width, "part_width": part_width, "after": self._after.get(width, self._begin_at)}
            for (start,) in await connection.execute_fetchall(query, item):
                item["start"] = start
                self._after[width] = int(start) + width
                await connection.execute_fetchall(TAKE, item)
                await connection.execute_fetchall(PROGRESS, item)
                return item
        self._after.clear()
        # Whole days, so that none of the longest spans is cut.
        self._begin_at = max(0, now // SPANS[-1][0] - 2) * SPANS[-1][0]
        return None
