"""Counts values by size as they come: a bisection and two additions per value."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import msgspec


class Histogram(msgspec.Struct, frozen=True, rename="camel"):
    """The distribution of the values counted so far."""

    bounds: tuple[float, ...]
    """Upper bounds, inclusive and ascending."""
    counts: tuple[int, ...]
    """How many values lie between the previous bound and this one; the last count is of the values above all bounds."""
    sum: float
    """Sum of all values, in the unit of the bounds."""


class Tally:
    """A histogram that is being counted. Not thread-safe."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum: float = 0

    def add(self, value: float) -> None:
        """Counts one value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def histogram(self) -> Histogram:
        """Returns what was counted so far."""
        return Histogram(self._bounds, tuple(self._counts), self._sum)
