"""Percentiles of durations from bins whose bounds grow by a constant factor.

The bins are those of the table ``duration_bins`` (migrations/0007): at most `RELATIVE_ERROR` lies between a value and
the one that stands for its bin.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise, zip_longest
from typing import TypeAlias

import msgspec

RELATIVE_ERROR = 0.05
"""Largest relative error of a percentile, against the whole ms that were stored."""

LARGEST_MS = 1_000_000_000_000
"""Largest duration that an entry may have, in ms; the last bin, for what others have stored, has no end."""


DurationHistogram: TypeAlias = tuple[int, list[int]]
"""Number of the first bin, and how many requests there are in each from that one on."""


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

_ESTIMATES = (
    0.0,
    *(round(2 * (lower + 1) * upper / (lower + 1 + upper), 1) for lower, upper in pairwise(UPPERS)),
    # Above the last bound there is one bin more, for what others have stored.
    float(UPPERS[-1]),
)

SHARES = (50, 90, 95, 99)
"""What `Percentiles` are, in percent."""


def estimate(number: int | None) -> float | None:
    """What stands for the bin: as far from its smallest value as from its largest, relatively."""
    return None if number is None else _ESTIMATES[number]


def from_bins(bins: Sequence[tuple[int, int]]) -> DurationHistogram:
    """The histogram of some bins, each with its number and how many requests there are in it, in any order."""
    numbers = [number for number, _ in bins]
    first = min(numbers, default=0)
    counts = [0] * (max(numbers, default=-1) - first + 1)
    for number, count in bins:
        counts[number - first] += count
    return first, counts


def merge(histograms: Sequence[DurationHistogram]) -> DurationHistogram:
    """One histogram out of several."""
    lowest = min((first for first, _ in histograms), default=0)
    # Each bin is added up by one call, without a step of Python for each of its summands.
    bins = zip_longest(*([0] * (first - lowest) + counts for first, counts in histograms), fillvalue=0)
    return lowest, list(map(sum, bins))


def percentiles(histogram: DurationHistogram) -> Percentiles:
    """A percentile is in the first bin at which the requests so far are at least that share of all."""
    first, counts = histogram
    ranks = list(accumulate(counts))
    total = ranks[-1] if ranks else 0
    if total == 0:
        return Percentiles()
    return Percentiles(*(estimate(first + bisect_left(ranks, -(-share * total // 100))) for share in SHARES))
