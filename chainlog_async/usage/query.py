"""A query for usage or latency over time."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

import msgspec

from .dimensions import KEYS, GroupBy
from .time_window import Window

MAX_GROUPS = 100
"""Most groups that one query may name."""

DurationsOf: TypeAlias = Literal["answered", "unanswered", "all"]


class UsageFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Counts only requests that match every name given. The caller "" matches requests without a caller."""

    chain: str | None = None
    provider: str | None = None
    model: str | None = None
    caller: str | None = None


EVERYTHING = UsageFilter()


class UsageQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The argument of `UsageAggregator.get_usage` and `get_latency`.

    Raises `ValueError` when `by` or `durations_of` is none of its values or `max_groups` is outside 1 to `MAX_GROUPS`.
    """

    window: Window
    """The time to cover, and its steps."""
    by: GroupBy | None = None
    """What to group by; None for totals only."""
    where: UsageFilter = EVERYTHING
    max_groups: int = 20
    """How many groups to name, the largest first; the others are summed up as `other`."""
    fill: bool = False
    """Whether to include steps without requests."""
    durations_of: DurationsOf = "answered"
    """The requests whose percentiles `get_latency` returns: the unanswered ones failed or were cancelled."""

    def __post_init__(self) -> None:
        if not 1 <= self.max_groups <= MAX_GROUPS:
            raise ValueError(f"max_groups is {self.max_groups}; give 1 to {MAX_GROUPS}")
        if self.by is not None and self.by not in KEYS:
            raise ValueError(f"by is {self.by!r}; give one of {', '.join(KEYS)}, or None")
        if self.durations_of not in get_args(DurationsOf):
            raise ValueError(f"durations_of is {self.durations_of!r}; give one of {', '.join(get_args(DurationsOf))}")
