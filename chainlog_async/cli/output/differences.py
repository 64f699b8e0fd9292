"""Numbers that are not what they should be, as a table."""

from __future__ import annotations

from collections.abc import Sequence

import click

from chainlog_async.admin.verify.differences import Difference, Value

from .render import count_text, number, output
from .table import Column, Table

_DIFFERENCE_COLUMNS = (Column("table"), Column("of", elastic=True), Column("column"))


def wrong_numbers(count: int) -> str:
    """How many there are, in words."""
    return count_text(count, "wrong number", "wrong numbers")


def print_differences(differences: Sequence[Difference], count: int, *, kept: str, counted: str) -> None:
    """Prints them as a table; `count` says how many there are where not all are given."""
    columns = (*_DIFFERENCE_COLUMNS, Column(kept, right=True), Column(counted, right=True))
    Table(output(), columns).print(
        [(one.table, one.name or "", one.column, _figure(one.kept), _figure(one.counted)) for one in differences]
    )
    if count > len(differences):
        click.echo(f"and {number(count - len(differences))} more")


def _figure(value: Value) -> str:
    return "nothing" if value is None else number(value) if isinstance(value, int) else str(value)
