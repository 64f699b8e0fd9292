"""Histograms in the form that prometheus_client takes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from chainlog_async.common.histogram import Histogram


def cumulative_buckets(histogram: Histogram, *, unit: float = 1) -> tuple[Sequence[tuple[str, float]], float]:
    """Returns the cumulative count for each upper bound, ending with ``+Inf``, and the sum.

    Bounds and sum are divided by `unit`.
    """
    bounds = (*(str(bound / unit) for bound in histogram.bounds), "+Inf")
    return list(zip(bounds, accumulate(histogram.counts), strict=True)), histogram.sum / unit
