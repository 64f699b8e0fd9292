"""How values are spread, counted as they come: a bisection and two additions for each."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import msgspec


class Histogram(msgspec.Struct, frozen=True, rename="camel"):
    """Values that were counted so far, by size."""

    bounds: tuple[float, ...]
    """Upper bounds, each included in what it bounds, ascending."""
    counts: tuple[int, ...]
    """How many values lie between the bound before and this one; one number more than bounds, for what is above."""
    sum: float
    """All values together, in the unit of the bounds."""


class Tally:
    """A histogram in the making. Not thread-safe."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum: float = 0

    def add(self, value: float) -> None:
        """Counts one value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def histogram(self) -> Histogram:
        """What was counted so far, as a value."""
        return Histogram(self._bounds, tuple(self._counts), self._sum)
