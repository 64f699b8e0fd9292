"""Percentiles of durations, from bins whose bounds grow by a constant factor.

The bins are those of the table ``duration_bins`` (migrations/0007). A value and the one that represents its bin differ
by at most `RELATIVE_ERROR`, as in DDSketch (Masson, Rim and Lee, 2019).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import accumulate, pairwise

import msgspec

RELATIVE_ERROR = 0.05
"""Largest relative error of a percentile, compared with the whole ms that are stored."""

MAX_DURATION_MS = 1_000_000_000_000
"""Largest duration of an entry, in ms. The last bin, for larger values stored by other programs, has no upper bound."""


class Percentiles(msgspec.Struct, frozen=True):
    """Durations in ms that 50, 90, 95 and 99 % of the requests did not exceed; None when there was no request."""

    p50: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None


class DurationBin(msgspec.Struct, frozen=True, rename="camel"):
    """How many requests took between `min_ms` and `max_ms`."""

    min_ms: int
    """Shortest duration of the bin, in ms."""
    max_ms: int | None
    """Longest duration of the bin, in ms; None in the last bin, which is for durations above `MAX_DURATION_MS`."""
    requests: int
    """Requests of the step and group that are in the bin."""


def _uppers() -> Iterator[int]:
    upper = 0
    yield upper
    while upper < MAX_DURATION_MS:
        # DDSketch's factor (1 + error) / (1 - error), in integers, as in the migration.
        upper = (upper + 1) * 21 // 19
        yield upper


UPPERS = tuple(_uppers())
"""The largest value of every bin but the last, in ms."""

_ESTIMATES = (
    0.0,
    *(round(2 * (lower + 1) * upper / (lower + 1 + upper), 1) for lower, upper in pairwise(UPPERS)),
    # One more bin above the last bound, for values stored by other programs.
    float(UPPERS[-1]),
)

SHARES = (50, 90, 95, 99)
"""The percentiles of `Percentiles`, in percent."""


_decode = msgspec.json.Decoder(list[int]).decode


def estimates(p50: int | None, p90: int | None, p95: int | None, p99: int | None) -> Percentiles:
    """The values that represent these bins: relatively as far from a bin's smallest value as from its largest."""
    if p50 is None or p90 is None or p95 is None or p99 is None:
        return Percentiles()
    return Percentiles(_ESTIMATES[p50], _ESTIMATES[p90], _ESTIMATES[p95], _ESTIMATES[p99])


def merge(histograms: Iterable[str]) -> list[int]:
    """Adds stored histograms up. Returns the number of requests in each bin.

    A stored histogram is a JSON array with one number for each bin that is not empty: 512 times its count, plus the
    bin's number.
    """
    counts = [0] * len(_ESTIMATES)
    for histogram in histograms:
        for one in _decode(histogram):
            counts[one & 511] += one >> 9
    return counts


def bins(counts: list[int]) -> tuple[DurationBin, ...]:
    """The bins of a histogram that are not empty, in order."""
    return tuple(
        DurationBin(UPPERS[place - 1] + 1 if place else 0, UPPERS[place] if place < len(UPPERS) else None, count)
        for place, count in enumerate(counts)
        if count
    )


def percentiles(counts: list[int]) -> Percentiles:
    """The percentiles of a histogram: each is in the first bin at which the cumulated count reaches its share."""
    ranks = list(accumulate(counts))
    total = ranks[-1]
    if total == 0:
        return Percentiles()
    return estimates(*[bisect_left(ranks, -(-share * total // 100)) for share in SHARES])
