"""Adding buckets up once their time is over, a step between two batches: what makes a month cheap to read.

Buckets are right at every moment, by triggers; rollups are a copy that may lag behind or be missing. A trigger forgets
the ones that a late row makes wrong, and readers take the buckets instead until they are made anew.
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

GRACE_MS = 300_000
"""How long after its end a time is left alone, in ms: requests are logged a little after they end."""

ADVANCE_S = 0.02
"""How long a step may take, and after how long no further one is begun between two batches, in seconds."""

LOOK_EVERY_MS = 60_000
"""Time between two looks for work once there was none, in ms."""

LOOK_AT_ALL_EVERY_MS = 600_000
"""Time between two looks that begin at the oldest bucket, in ms: rows may come in late."""

WINDOW_MS = 30 * DAY_MS
"""How much is looked through at once, in ms; whole days, so that no span is cut. Years would keep a batch waiting."""

ABANDONED_AFTER_MS = 60_000
"""When work that somebody took and did not finish is taken by another, in ms."""

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

# A span is due when it is over and all its parts that hold anything are rolled up.
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
    """The statement that takes what the query finds; a trigger makes late rows count from then on."""
    return f"""
      INSERT OR REPLACE INTO rolled_up (width, start, dimensions, taken_by, taken_at)
      SELECT :width, start, 0, :taker, :now FROM ({query}) RETURNING start
    """  # noqa: S608  # put together from constants of this file


TAKE_QUARTER, TAKE_SPAN = _taking(NEXT_QUARTER), _taking(NEXT_SPAN)
# Of the buckets where a part has not the dimension; of single combinations no quarters are kept.
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
# Not when a late row, or another taker, came in between.
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
    """One writer's share of the work; several writers on one file do not get in each other's way."""

    def __init__(self, *, advance_s: float = ADVANCE_S) -> None:
        self._advance_s = advance_s
        self._at_once = 1
        self._taker = secrets.token_hex(8)
        self._item: dict[str, int] | None = None
        self._dimensions: list[str] = []
        # Where this look goes on: in which window, and behind what by width. It takes nothing twice: while late rows
        # come in, each of them makes what was just done invalid.
        self._window: int | None = None
        self._after: dict[int, int] = {}
        self._look_at = self._look_at_all_at = 0

    async def advance(self, connection: aiosqlite.Connection, now: int) -> bool:
        """Some steps, of a few ms each, at the time `now` (ms since the epoch, UTC). True when there is more to do.

        Raises `sqlite3.Error`; what was begun is then gone on with, or left to a later look, or to others.
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
        return self._item is not None or now >= self._look_at

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
            # What others hold up for a moment is gone on with. What can never be added up must not be in the way of all
            # the rest: it waits for the next look.
            if classify(error) is not StorageFault.BUSY:
                self._item = None
            raise
        took_s = monotonic() - began
        if took_s > self._advance_s:
            self._at_once = max(self._at_once // 2, 1)
        elif took_s < self._advance_s / 4:
            self._at_once = min(2 * self._at_once, len(DIMENSIONS))

    async def _take_next(self, connection: aiosqlite.Connection, now: int) -> dict[str, int] | None:
        """The next span to roll up; None where it cannot be taken, and at the end of a window, and of the look."""
        window = await self._find_window(connection, now)
        if window is None:
            return None
        times = {"now": now, "until": min(now - GRACE_MS, window + WINDOW_MS), "abandoned": now - ABANDONED_AFTER_MS}
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
        self._window = window + WINDOW_MS
        if self._window >= now - GRACE_MS:
            self._end_look(now)
        return None

    async def _take(self, connection: aiosqlite.Connection, span: Mapping[str, int]) -> bool:
        """Whether the span could be taken: since it was found, others may have taken it, or stored late rows in it."""
        take = TAKE_SPAN if span["part_width"] else TAKE_QUARTER
        return bool(await connection.execute_fetchall(take, {**span, "taker": self._taker}))

    async def _find_window(self, connection: aiosqlite.Connection, now: int) -> int | None:
        """Where the window begins, the first day of it with buckets; None when there is none, which ends the look."""
        if self._after:
            return self._window
        if self._window is None:
            self._window = max(0, now // DAY_MS - 2) * DAY_MS
            if now >= self._look_at_all_at:
                self._window, self._look_at_all_at = 0, now + LOOK_AT_ALL_EVERY_MS
        ((first,),) = await connection.execute_fetchall(FIRST_BUCKET, (self._window,))
        if first is None or first >= now - GRACE_MS:
            self._end_look(now)
            return None
        self._window = int(first) // DAY_MS * DAY_MS
        return self._window

    def _end_look(self, now: int) -> None:
        self._window = None
        self._look_at = now + LOOK_EVERY_MS
