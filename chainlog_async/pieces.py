"""Which tables answer for which part of a window: what is rolled up, as coarse as fits, and buckets for the rest."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from itertools import pairwise
from typing import TypeAlias

from .rollups import SPANS

Piece: TypeAlias = tuple[int, int, int, int]
"""Index of the step it is part of; width of the rollups in ms, 0 for the buckets; from when to when, in ms."""

# The widths are named so that SQLite searches the key, whose first column they are.
# What is within a longer span that is rolled up is needed only where a step begins or ends inside of that.
ROLLED_UP = """
WITH valid (width, start) AS NOT MATERIALIZED (
  SELECT width, start FROM rolled_up
  WHERE taken_by IS NULL AND dimensions & (SELECT bit FROM rollup_dimensions WHERE dimension = :dimension)
)
SELECT width, start FROM valid WHERE width IN (21600000, 86400000) AND start >= :since AND start < :until
UNION ALL
SELECT width, start FROM valid
WHERE width = 3600000 AND start >= :since AND start < :until AND (
  start / 21600000 IN (SELECT value / 21600000 FROM json_each(:edges))
  OR NOT EXISTS (
    SELECT 1 FROM valid AS span WHERE span.width = 21600000 AND span.start = valid.start / 21600000 * 21600000
  )
)
UNION ALL
SELECT width, start FROM valid
WHERE width = 900000 AND start >= :since AND start < :until AND (
  start / 3600000 IN (SELECT value / 3600000 FROM json_each(:edges))
  OR NOT EXISTS (
    SELECT 1 FROM valid AS span WHERE span.width = 3600000 AND span.start = valid.start / 3600000 * 3600000
  )
)
"""

_WIDTHS = tuple(sorted((width for width, _ in SPANS), reverse=True))


def cut(edges: Sequence[int], rolled_up: AbstractSet[tuple[int, int]]) -> list[Piece]:
    """The steps between the edges (whole quarters of an hour) in as few and as coarse pieces as `rolled_up` allows.

    That is a set of widths and starts.
    """
    starts = sorted({start for _, start in rolled_up})
    pieces: list[Piece] = []
    for step, (begin, end) in enumerate(pairwise(edges)):
        time = begin
        while time < end:
            width = next((one for one in _WIDTHS if (one, time) in rolled_up and time + one <= end), 0)
            if width:
                until = time + width
            else:
                place = bisect_right(starts, time)
                until = min(starts[place], end) if place < len(starts) else end
            if pieces and pieces[-1][:2] == (step, width):
                pieces[-1] = (step, width, pieces[-1][2], until)
            else:
                pieces.append((step, width, time, until))
            time = until
    return pieces
