"""Tables that can grow row by row, as ``recent --follow`` needs; on a terminal a row never wraps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from .render import on_terminal, plain

Cell = str | Text
_GAP = 2
_MIN_ELASTIC_CELLS = 8


@dataclass(frozen=True, slots=True)
class Column:
    """A column; on a terminal that is too narrow, spare columns are dropped first, then elastic ones are cut."""

    title: str
    right: bool = False
    elastic: bool = False
    spare: bool = False


class Table:
    """Prints rows under a header; column widths only grow."""

    def __init__(self, console: Console, columns: Sequence[Column]) -> None:
        self._console = console
        self._limit = console.width if on_terminal() else None
        self._columns = list(columns)
        self._shown = list(range(len(columns)))
        self._natural = [cell_len(column.title) for column in columns]

    def print(self, rows: Sequence[Sequence[Cell]], *, header: bool = True) -> None:
        """Prints the rows, each with one cell per column; control characters in a plain str are escaped."""
        texts = [[Text(plain(cell)) if isinstance(cell, str) else cell for cell in row] for row in rows]
        for row in texts:
            self._natural = [max(width, cell_len(cell.plain)) for width, cell in zip(self._natural, row, strict=True)]
        widths = self._fit()
        lines = [self._line(row, widths) for row in texts]
        if header:
            titles = [Text(column.title, style="bold") for column in self._columns]
            rules = [Text("─" * width, style="dim") for width in widths]
            lines = [self._line(titles, widths), self._line(rules, widths), *lines]
        if lines:
            # Cut, not wrapped, on a terminal narrower than the minimum width of all columns.
            self._console.print(
                Text("\n").join(lines), soft_wrap=self._limit is None, no_wrap=True, overflow="ellipsis"
            )

    def _fit(self) -> list[int]:
        """Returns the current widths, and decides which columns are shown."""
        if self._limit is None:
            return self._natural
        least = [
            min(width, _MIN_ELASTIC_CELLS) if column.elastic else width
            for column, width in zip(self._columns, self._natural, strict=True)
        ]
        while self._total(least) > self._limit:
            spare = [index for index in self._shown if self._columns[index].spare]
            if not spare:
                break
            self._shown.remove(spare[-1])
        widths = [min(width, max(self._limit, low)) for width, low in zip(self._natural, least, strict=True)]
        while self._total(widths) > self._limit:
            cuttable = [index for index in self._shown if widths[index] > least[index]]
            if not cuttable:
                break
            widths[max(cuttable, key=widths.__getitem__)] -= 1
        return widths

    def _total(self, widths: Sequence[int]) -> int:
        return sum(widths[index] for index in self._shown) + _GAP * (len(self._shown) - 1)

    def _line(self, cells: Sequence[Text], widths: Sequence[int]) -> Text:
        line = Text()
        for place, index in enumerate(self._shown):
            cell = cells[index].copy()
            if self._limit is not None:
                cell.truncate(widths[index], overflow="ellipsis")
            padding = " " * (widths[index] - cell_len(cell.plain))
            if place:
                line.append(" " * _GAP)
            line = line + Text(padding) + cell if self._columns[index].right else line + cell + Text(padding)
        line.rstrip()
        return line
