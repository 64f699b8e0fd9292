"""Plans which table to read for which part of a window: the widest rollups that fit, and buckets for the rest."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from itertools import pairwise
from typing import TypeAlias

from chainlog_async.usage.dimensions import WIDTHS

PlannedRead: TypeAlias = tuple[int, int, int, int]
"""Index of the step; width of the rollups in ms, 0 for buckets; start and end in ms since the epoch."""

_SPANS_OF_WIDTH = "SELECT width, start FROM valid WHERE width = {width} AND start >= :since AND start < :until"
# A span within a longer rolled-up one is needed only if a step begins or ends inside the longer one.
_INNER_SPANS_OF_WIDTH = f"""{_SPANS_OF_WIDTH} AND (
  start / {{wider}} IN (SELECT value / {{wider}} FROM json_each(:edges))
  OR NOT EXISTS (
    SELECT 1 FROM valid AS span WHERE span.width = {{wider}} AND span.start = valid.start / {{wider}} * {{wider}}
  )
)"""  # noqa: S608  # built from constants of this module
_PARTS = [_INNER_SPANS_OF_WIDTH.format(width=width, wider=wider) for width, wider in pairwise(WIDTHS)]
# Each width is given as a constant so that SQLite searches the key, of which it is the first column.
ROLLED_UP = f"""
WITH valid (width, start) AS NOT MATERIALIZED (
  SELECT width, start FROM rolled_up
  WHERE taken_by IS NULL AND dimensions & (SELECT bit FROM rollup_dimensions WHERE dimension = :dimension)
)
{" UNION ALL ".join((*_PARTS, _SPANS_OF_WIDTH.format(width=WIDTHS[-1])))}
"""  # noqa: S608  # built from constants of this module


def plan_rollups(edges: Sequence[int], rolled_up: AbstractSet[tuple[int, int]]) -> list[PlannedRead]:
    """Covers the steps between the edges (whole quarters of an hour) with as few reads as possible.

    `rolled_up` is the set of (width, start) of the spans that are rolled up.
    """
    starts = sorted({start for _, start in rolled_up})
    plan: list[PlannedRead] = []
    for step, (begin, end) in enumerate(pairwise(edges)):
        time = begin
        while time < end:
            width = next((one for one in reversed(WIDTHS) if (one, time) in rolled_up and time + one <= end), 0)
            if width:
                until = time + width
            else:
                place = bisect_right(starts, time)
                until = min(starts[place], end) if place < len(starts) else end
            if plan and plan[-1][:2] == (step, width):
                plan[-1] = (step, width, plan[-1][2], until)
            else:
                plan.append((step, width, time, until))
            time = until
    return plan
