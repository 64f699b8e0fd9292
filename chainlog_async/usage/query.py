"""A query for usage or latency over time."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

import msgspec

from chainlog_async.common.name_sets import NameSet

from .dimensions import KEYS, GroupBy
from .tags import in_whole_hours, key_of_dimension, split_tag
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
    tag: str | None = None
    """A tag ``key:value``; values that are counted as ``(others)`` are not known by their names (`usage.tags`)."""
    names: tuple[NameSet, ...] = ()
    """Names of which one has to match, or none may."""

    @property
    def asked(self) -> frozenset[str]:
        """The dimensions that it is about."""
        single = {name for name in KEYS if getattr(self, name) is not None}
        return frozenset(single | {one.dimension for one in self.names})


EVERYTHING = UsageFilter()


class UsageQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The argument of `UsageAggregator.get_usage` and `get_latency`.

    Raises `ValueError` when `by` or `durations_of` is none of its values, `max_groups` is outside 1 to `MAX_GROUPS`,
    or a question about tags cannot be answered: two keys at once, or steps of less than an hour.
    """

    window: Window
    """The time to cover, and its steps."""
    by: str | None = None
    """What to group by: `chain`, `provider`, `model`, `caller`, or ``tag:KEY``, by whose values requests that have such
    a tag are grouped; None for totals only."""
    where: UsageFilter = EVERYTHING
    max_groups: int = 20
    """How many groups to name, the largest first; the others are summed up as `other`."""
    fill: bool = False
    """Whether to include steps without requests."""
    durations_of: DurationsOf = "answered"
    """The requests whose percentiles `get_latency` returns: the unanswered ones failed or were cancelled."""
    with_bins: bool = False
    """Whether `get_latency` also returns how many of them took how long, in bins of 10 %."""

    def __post_init__(self) -> None:
        if not 1 <= self.max_groups <= MAX_GROUPS:
            raise ValueError(f"max_groups is {self.max_groups}; give 1 to {MAX_GROUPS}")
        if self.by is not None and self.by not in KEYS and key_of_dimension(self.by) is None:
            raise ValueError(f"by is {self.by!r}; give one of {', '.join(KEYS)}, tag:KEY such as tag:team, or None")
        if self.durations_of not in get_args(DurationsOf):
            raise ValueError(f"durations_of is {self.durations_of!r}; give one of {', '.join(get_args(DurationsOf))}")
        if self.is_about_tags:
            self._check_tags()

    @property
    def is_about_tags(self) -> bool:
        """Whether it is answered from the buckets of tags."""
        return self.where.tag is not None or key_of_dimension(self.by) is not None

    @property
    def tag_key(self) -> str:
        """The key of the tags that it is about."""
        return key_of_dimension(self.by) or split_tag(self.where.tag or "")[0]

    @property
    def tag_value(self) -> str | None:
        """The value of the only tag that counts; None for every value of the key."""
        return None if self.where.tag is None else split_tag(self.where.tag)[1]

    @property
    def name_dimension(self) -> GroupBy | None:
        """What to group by, unless that is a key of tags."""
        return next((name for name in KEYS if name == self.by), None)

    def edges(self) -> list[int]:
        """Those of the window, which is widened to whole hours for tags; raises `ValueError` like `Window.edges`."""
        if not self.is_about_tags:
            return self.window.edges()
        start, end = in_whole_hours(self.window.start, self.window.end)
        # An empty window is refused for what it is.
        return (
            msgspec.structs.replace(self.window, start=start, end=end).edges() if start < end else self.window.edges()
        )

    def _check_tags(self) -> None:
        if self.where.tag is not None and split_tag(self.where.tag)[0] != self.tag_key:
            raise ValueError(
                f"by is {self.by!r} and tag is {self.where.tag!r}; usage is not counted by two keys at once: "
                "leave one out"
            )
        if self.window.step in {"15m", "30m"}:
            raise ValueError(f"step is {self.window.step}; usage by tag is counted by the hour: give 1h or more")


def refuse_latency_of_tags(by: str | None, where: UsageFilter) -> None:
    """Raises `ValueError` when latency is asked for by tag: their buckets have no histograms."""
    if where.tag is not None or key_of_dimension(by) is not None:
        asked = f"by is {by!r}" if where.tag is None else f"tag is {where.tag!r}"
        raise ValueError(f"{asked}; percentiles are not counted by tag: usage is, with the mean latency")
