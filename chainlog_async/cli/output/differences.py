"""Wrong numbers in the totals, as a table."""

from __future__ import annotations

from collections.abc import Sequence

import click

from chainlog_async.admin.verify.differences import Difference, Value

from .render import count_text, number, output
from .table import Column, Table

_DIFFERENCE_COLUMNS = (Column("table"), Column("of", elastic=True), Column("column"))


def wrong_numbers(count: int) -> str:
    """Returns the count with its noun, such as ``3 wrong numbers``."""
    return count_text(count, "wrong number", "wrong numbers")


def print_differences(differences: Sequence[Difference], count: int, *, kept: str, counted: str) -> None:
    """Prints the differences as a table whose last two columns have the titles `kept` and `counted`.

    `count` is the number of wrong numbers in all; `differences` may hold only the first of them.
    """
    columns = (*_DIFFERENCE_COLUMNS, Column(kept, right=True), Column(counted, right=True))
    Table(output(), columns).print(
        [(one.table, one.name or "", one.column, _figure(one.kept), _figure(one.counted)) for one in differences]
    )
    if count > len(differences):
        click.echo(f"and {number(count - len(differences))} more")


def _figure(value: Value) -> str:
    return "none" if value is None else number(value) if isinstance(value, int) else str(value)
