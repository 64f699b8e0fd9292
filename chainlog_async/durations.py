"""Percentiles of durations from bins whose bounds grow by a constant factor.

The bins are those of the table ``duration_bins`` (migrations/0007): at most `RELATIVE_ERROR` lies between a value and
the one that stands for its bin.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

import msgspec

RELATIVE_ERROR = 0.05
"""Largest relative error of a percentile, against the whole ms that were stored."""

LARGEST_MS = 1_000_000_000_000
"""Largest duration that an entry may have, in ms; the last bin, for what others have stored, has no end."""


class Percentiles(msgspec.Struct, frozen=True):
    """Durations in ms that so many percent of the requests did not exceed; None where there was no request."""

    p50: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None


def _uppers() -> Iterator[int]:
    upper = 0
    yield upper
    while upper < LARGEST_MS:
        # DDSketch's factor (1 + error) / (1 - error), in whole numbers, as the migration has it.
        upper = (upper + 1) * 21 // 19
        yield upper


UPPERS = tuple(_uppers())
"""The largest whole ms of every bin but the last."""


def estimate(upper_ms: int | None) -> float | None:
    """What stands for the bin with that upper bound: as far from its smallest value as from its largest, relatively."""
    if upper_ms is None or upper_ms == 0:
        return upper_ms
    place = bisect_left(UPPERS, upper_ms)
    if place == len(UPPERS):
        return float(UPPERS[-1])
    lower = UPPERS[place - 1] + 1
    return round(2 * lower * upper_ms / (lower + upper_ms), 1)
