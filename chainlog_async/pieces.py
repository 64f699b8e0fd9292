"""Which tables answer for which part of a window: what is rolled up, as coarse as fits, and buckets for the rest."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from itertools import pairwise
from typing import Literal, TypeAlias

from .rollups import SPANS
from .window import HOUR_MS, QUARTER_MS

Dimension: TypeAlias = Literal["all", "chain", "provider", "model", "caller", "each"]

Piece: TypeAlias = tuple[int, int, int, int]
"""Index of the step it is part of; width of the rollups in ms, 0 for the buckets; from when to when, in ms."""

# The widths are named so that SQLite searches the key, whose first column they are.
# Hours within a longer span that is rolled up are needed only where a step begins or ends inside of it.
ROLLED_UP = """
SELECT width, start FROM rolled_up
WHERE width IN (3600000, 21600000, 86400000) AND taken_by IS NULL AND start >= :since AND start < :until AND (
  width > 3600000
  OR start / 21600000 IN (SELECT value / 21600000 FROM json_each(:edges))
  OR NOT EXISTS (
    SELECT 1 FROM rolled_up AS span
    WHERE span.width = 21600000 AND span.start = rolled_up.start / 21600000 * 21600000 AND span.taken_by IS NULL
  )
)
"""

_WIDTHS = (*sorted((width for width, _ in SPANS), reverse=True), HOUR_MS)


def cut(edges: Sequence[int], dimension: Dimension, rolled_up: AbstractSet[tuple[int, int]]) -> list[Piece]:
    """The steps between the edges (whole quarters of an hour) in as few and as coarse pieces as `rolled_up` allows.

    That is a set of widths and starts. Quarters are rolled up with their hour, but for the dimension ``each``, whose
    quarters are the buckets.
    """
    starts = sorted({start for _, start in rolled_up})
    pieces: list[Piece] = []
    for step, (begin, end) in enumerate(pairwise(edges)):
        time = begin
        while time < end:
            width = _width_at(time, end, dimension, rolled_up)
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


def _width_at(time: int, end: int, dimension: Dimension, rolled_up: AbstractSet[tuple[int, int]]) -> int:
    for width in _WIDTHS:
        if not time % width and time + width <= end and (width, time) in rolled_up:
            return width
    is_rolled_up = dimension != "each" and (HOUR_MS, time // HOUR_MS * HOUR_MS) in rolled_up
    return QUARTER_MS if is_rolled_up else 0
