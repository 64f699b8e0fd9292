"""Percentiles of durations from bins whose bounds grow by a constant factor.

The bins are those of the table ``duration_bins`` (migrations/0007): at most `RELATIVE_ERROR` lies between a value and
the one that stands for its bin.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import accumulate, pairwise

import msgspec

RELATIVE_ERROR = 0.05
"""Largest relative error of a percentile, against the whole ms that were stored."""

MAX_DURATION_MS = 1_000_000_000_000
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
    while upper < MAX_DURATION_MS:
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


_decode = msgspec.json.Decoder(list[int]).decode


def estimates(p50: int | None, p90: int | None, p95: int | None, p99: int | None) -> Percentiles:
    """What stands for these bins: as far from its smallest value as from its largest, relatively."""
    if p50 is None or p90 is None or p95 is None or p99 is None:
        return Percentiles()
    return Percentiles(_ESTIMATES[p50], _ESTIMATES[p90], _ESTIMATES[p95], _ESTIMATES[p99])


def merge(histograms: Iterable[str]) -> list[int]:
    """How many requests there are in each bin of several histograms, in the form in which they are stored.

    That is a JSON array with a number for each bin: 512 times how many, plus the bin's number.
    """
    counts = [0] * len(_ESTIMATES)
    for histogram in histograms:
        for one in _decode(histogram):
            counts[one & 511] += one >> 9
    return counts


def percentiles(counts: list[int]) -> Percentiles:
    """A percentile is in the first bin at which the requests so far are at least that share of all."""
    ranks = list(accumulate(counts))
    total = ranks[-1]
    if total == 0:
        return Percentiles()
    return estimates(*[bisect_left(ranks, -(-share * total // 100)) for share in SHARES])
