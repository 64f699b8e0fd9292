"""What usage is grouped and filtered by, and the widths of rollups."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, pairwise
from typing import Literal, TypeAlias, get_args

from chainlog_async.common.clock import DAY_MS, HOUR_MS, QUARTER_MS

WIDTHS = (QUARTER_MS, HOUR_MS, 4 * HOUR_MS, 12 * HOUR_MS, DAY_MS)
"""Widths of rollups, in ms. A day that begins at any whole hour is covered by at most seven of them."""


SPANS = tuple(pairwise((0, *WIDTHS)))
"""Pairs of a width and the next larger one, which is summed up from it; 0 stands for buckets."""


GroupBy: TypeAlias = Literal["chain", "provider", "model", "caller"]


KEYS: tuple[GroupBy, ...] = get_args(GroupBy)


DIMENSIONS = ("all", *KEYS, *("+".join(pair) for pair in combinations(KEYS, 2)), "each")
"""The combinations of names that rollups are kept for: see migrations/0008."""


def dimension_of(asked: Sequence[str]) -> str:
    """The dimension that answers a query that uses these of `KEYS`, given in that order."""
    return "all" if not asked else "+".join(asked) if len(asked) <= 2 else "each"


def names_of_dimension(asked: Sequence[GroupBy]) -> Sequence[GroupBy]:
    """The names that lines of that query's dimension have; all others are "" in them."""
    return KEYS if dimension_of(asked) == "each" else asked
