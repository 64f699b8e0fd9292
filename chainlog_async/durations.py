"""Percentiles of durations from bins whose bounds grow by a constant factor.

The bins are those of the table ``duration_bins`` (migrations/0007): at most `RELATIVE_ERROR` lies between a value and
the one that stands for its bin.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate, pairwise

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


_ESTIMATES: dict[int, float] = {
    upper: round(2 * (lower + 1) * upper / (lower + 1 + upper), 1) for lower, upper in pairwise(UPPERS)
} | {0: 0.0}

SHARES = (50, 90, 95, 99)
"""What `Percentiles` are, in percent."""

_decode = msgspec.json.Decoder(dict[int, int]).decode


def estimate(upper_ms: int | None) -> float | None:
    """What stands for the bin with that upper bound: as far from its smallest value as from its largest, relatively."""
    # Above the last bound there is one bin more, for what others have stored.
    return None if upper_ms is None else _ESTIMATES.get(upper_ms, float(UPPERS[-1]))


def merge(histograms: Iterable[str]) -> dict[int, int]:
    """One histogram out of several, which are JSON objects from a bin's upper bound to the number of requests in it."""
    merged: dict[int, int] = {}
    for histogram in histograms:
        bins = _decode(histogram)
        if not merged:
            merged = bins
            continue
        so_far = merged.get
        for upper, count in bins.items():
            merged[upper] = so_far(upper, 0) + count
    return merged


def percentiles(histogram: Mapping[int, int]) -> Percentiles:
    """A percentile is in the first bin at which the requests so far are at least that share of all."""
    if not histogram:
        return Percentiles()
    uppers = sorted(histogram)
    ranks = list(accumulate(map(histogram.__getitem__, uppers)))
    total = ranks[-1]
    return Percentiles(*(estimate(uppers[bisect_left(ranks, -(-share * total // 100))]) for share in SHARES))
