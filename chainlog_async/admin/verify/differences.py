"""Stored numbers that differ from what they should be."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

import msgspec

from chainlog_async.common.clock import MAX_TIMESTAMP_MS

Value = int | float | str | None
"""A value in a column of totals; a str only after it was changed by hand."""

MAX_LISTED_DIFFERENCES = 100
"""How many differences a report lists; of the others it has only the count."""


class Difference(msgspec.Struct, frozen=True, rename="camel"):
    """A stored number that differs from the sum over the rows and what was pruned."""

    table: str
    name: str | None
    """What it belongs to: a provider, a chain, or a time (UTC) and names; None in the summary."""
    column: str
    kept: Value
    """What the table holds; None when the whole row is missing."""
    counted: Value
    """What it should hold; None when nothing was ever logged under that name."""


class Findings:
    """Collects differences in bounded memory."""

    def __init__(self) -> None:
        self._listed: list[Difference] = []
        self.count = 0
        """How many there are, listed or not."""

    @property
    def listed(self) -> tuple[Difference, ...]:
        """The first of them, at most `MAX_LISTED_DIFFERENCES`."""
        return tuple(self._listed)

    def add(self, differences: Iterable[Difference], count: int | None = None) -> None:
        """Adds differences; `count` says how many there are when only some are passed."""
        found = list(differences)
        self._listed += found[: MAX_LISTED_DIFFERENCES - len(self._listed)]
        self.count += len(found) if count is None else count


def compare_lines(
    table: str, name: str, columns: Sequence[str], kept_and_counted: Sequence[object]
) -> Iterator[Difference]:
    """Yields a difference for each stored number, in the first half, that is not the computed one in the second.

    A missing number counts as 0.
    """
    values = [value_of(value) for value in kept_and_counted]
    kept, counted = values[: len(columns)], values[len(columns) :]
    for column, is_kept, is_counted in zip(columns, kept, counted, strict=True):
        if not same(is_kept or 0, is_counted or 0):
            yield Difference(table, name, column, is_kept, is_counted)


def same(left: Value, right: Value) -> bool:
    """Returns whether two numbers are equal, apart from the rounding of fractions."""
    if isinstance(left, float) or isinstance(right, float):
        if isinstance(left, str) or isinstance(right, str) or left is None or right is None:
            return False
        # 429chain stores fractions of a millisecond, and their sum depends a little on the order.
        return math.isclose(left, right, rel_tol=1e-9, abs_tol=1e-6)
    return left == right


def value_of(value: object) -> Value:
    """Returns what SQLite returned as a value that every report can hold."""
    return value if value is None or isinstance(value, int | float | str) else repr(value)


def time_text(time_ms: int) -> str:
    """Formats a time in ms since the epoch for people."""
    if not 0 <= time_ms <= MAX_TIMESTAMP_MS:
        return f"{time_ms} ms"
    return f"{datetime.fromtimestamp(time_ms / 1_000, UTC):%Y-%m-%d %H:%M} UTC"
