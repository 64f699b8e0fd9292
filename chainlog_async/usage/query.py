"""A question about usage or latency over time."""

from __future__ import annotations

import msgspec

from .dimensions import KEYS, GroupBy
from .time_window import Window

MAX_GROUPS = 100
"""Most groups of one answer."""


class UsageFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which requests count: all that match every name given. The caller "" means requests without a caller."""

    chain: str | None = None
    provider: str | None = None
    model: str | None = None
    caller: str | None = None


EVERYTHING = UsageFilter()


class UsageQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What `UsageAggregator.get_usage` and `get_latency` are asked.

    Raises `ValueError` for a `by` that is no dimension, and for `max_groups` outside 1 to `MAX_GROUPS`.
    """

    window: Window
    """From when to when, and in which steps."""
    by: GroupBy | None = None
    """What to group by; None for everything together."""
    where: UsageFilter = EVERYTHING
    max_groups: int = 20
    """How many groups are named, the largest first; the others are added up as `other`."""
    fill: bool = False
    """Whether steps without a request are part of the answer."""

    def __post_init__(self) -> None:
        if not 1 <= self.max_groups <= MAX_GROUPS:
            raise ValueError(f"max_groups is {self.max_groups}; give 1 to {MAX_GROUPS}")
        if self.by is not None and self.by not in KEYS:
            raise ValueError(f"by is {self.by!r}; give one of {', '.join(KEYS)}, or None")
