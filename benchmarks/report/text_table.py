"""A table, as text for a terminal and as Markdown for a page."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from benchmarks.harness.common import Spread

Cells = Sequence[str]

NOTHING = "-"


class Table(msgspec.Struct, frozen=True):
    """Rows of cells under a head. A row that is cut short ends in words: why there are no figures."""

    title: str
    head: Cells
    rows: Sequence[Cells]
    notes: Sequence[str] = ()


def as_text(table: Table) -> list[str]:
    """Its lines for a terminal, an empty one before them."""
    head, rows = table.head, table.rows
    widths = [max(len(row[column]) for row in (head, *rows) if column < len(row)) for column in range(len(head))]
    lines = ["", table.title, _line(head, widths), "  ".join("-" * width for width in widths)]
    lines += [_line(row, widths) if len(row) == len(head) else f"{row[0]:{widths[0]}}  {row[-1]}" for row in rows]
    return [*lines, *table.notes]


def as_markdown(table: Table) -> list[str]:
    """Its lines for a page, an empty one before them."""
    columns = len(table.head)
    lines = ["", f"### {table.title}", "", _row(table.head), "|---" + "|--:" * (columns - 1) + "|"]
    lines += [_row((*row, *[""] * (columns - len(row)))) for row in table.rows]
    return [*lines, *(["", " ".join(table.notes)] if table.notes else [])]


def figure(value: float) -> str:
    """Three digits, or all of those before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def spread(values: Spread | None, factor: float = 1.0) -> str:
    """The median, and the middle half of the rounds in brackets."""
    if values is None:
        return NOTHING
    return f"{figure(values.median * factor)} [{figure(values.p25 * factor)}-{figure(values.p75 * factor)}]"


def median(values: Spread | None, factor: float = 1.0) -> str:
    """The median alone."""
    return NOTHING if values is None else figure(values.median * factor)


def percent(values: Spread | None) -> str:
    """The same as `spread` for a share."""
    return NOTHING if values is None else f"{values.median:.1%} [{values.p25:.1%}-{values.p75:.1%}]"


def _line(cells: Cells, widths: Sequence[int]) -> str:
    first, *others = zip(cells, widths, strict=True)
    return "  ".join([f"{first[0]:{first[1]}}", *(f"{cell:>{width}}" for cell, width in others)])


def _row(cells: Cells) -> str:
    return f"| {' | '.join(cells)} |"
