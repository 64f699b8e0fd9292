"""Plans which table to read for which part of a window: the widest rollups that fit, and buckets for the rest."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from itertools import pairwise
from typing import TypeAlias

from .dimensions import WIDTHS

PlannedRead: TypeAlias = tuple[int, int, int, int]
"""Index of the step; width of the rollups in ms, 0 for buckets; start and end in ms since the epoch."""


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
