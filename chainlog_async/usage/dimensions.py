"""What usage is grouped and filtered by, and how much time is added up."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, pairwise
from typing import Literal, TypeAlias, get_args

from chainlog_async.common.clock import DAY_MS, HOUR_MS, QUARTER_MS

WIDTHS = (QUARTER_MS, HOUR_MS, 4 * HOUR_MS, 12 * HOUR_MS, DAY_MS)
"""How much time is added up, in ms: a day that begins at any whole hour is at most seven of these."""


SPANS = tuple(pairwise((0, *WIDTHS)))
"""Each width's parts, and the width; 0 are the buckets."""


GroupBy: TypeAlias = Literal["chain", "provider", "model", "caller"]


KEYS: tuple[GroupBy, ...] = get_args(GroupBy)


DIMENSIONS = ("all", *KEYS, *("+".join(pair) for pair in combinations(KEYS, 2)), "each")
"""What is added up apart: see migrations/0008."""


def dimension_of(asked: Sequence[str]) -> str:
    """Which dimension is for those who ask by these of `KEYS`, in that order."""
    return "all" if not asked else "+".join(asked) if len(asked) <= 2 else "each"


def names_of_dimension(asked: Sequence[GroupBy]) -> Sequence[GroupBy]:
    """Which names the lines of that dimension have; the others are "" in all of them."""
    return KEYS if dimension_of(asked) == "each" else asked
