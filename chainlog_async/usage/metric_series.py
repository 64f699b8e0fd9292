"""Which combinations of names have series of their own: the first ones that were seen, and those for good."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

OTHER = "other"
"""The name under which chains, providers and models without their own series are counted."""

Key: TypeAlias = tuple[str, ...]


@dataclass(slots=True)
class MetricSeries:
    """Sums by key. The first keys have their own sums, all later ones share one; a key never changes sides."""

    key_length: int
    named: set[Key] = field(default_factory=set)
    closed: dict[Key, list[float]] = field(default_factory=dict)
    """Sums of the closed buckets."""

    def add(self, sums: dict[Key, list[float]], rows: Sequence[Sequence[object]], most: int) -> None:
        """Adds rows of a query to `sums`: a key, the day it was first seen, and numbers."""
        for row in rows:
            key = tuple(map(str, row[: self.key_length]))
            if key not in self.named:
                if len(self.named) < most:
                    self.named.add(key)
                else:
                    key = (OTHER,) * self.key_length
            numbers = [value if isinstance(value, int | float) else 0 for value in row[self.key_length + 1 :]]
            known = sums.get(key)
            sums[key] = numbers if known is None else [a + b for a, b in zip(known, numbers, strict=True)]
