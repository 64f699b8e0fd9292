"""The output of a running import: a progress bar and the bad lines, both on stderr."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import click
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from chainlog_async.cli.output.render import errors, number, on_terminal, plain

from .bad_lines import BadLine, BadLines
from .reader import RecordReader


class ImportDisplay:
    """Counts bad lines, prints the first ones, and shows a progress bar when stderr is a terminal."""

    def __init__(self, paths: Sequence[str], *, show_bad: int) -> None:
        self._bad_lines = BadLines(show_bad)
        self._total = _total_bytes(paths)
        self._rows = 0
        self._done_bytes = 0
        self._task: TaskID | None = None
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[rows]} lines", markup=False),
            TimeRemainingColumn(),
            console=errors(),
            transient=True,
            disable=not on_terminal(error=True),
        )
        self.bad = 0
        """How many lines are not valid entries."""
        self.unread = 0
        """How many files could not be read, or not to their end."""

    def __enter__(self) -> Self:
        if not self._progress.disable:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._progress.disable:
            self._progress.stop()
        self._print_bad_lines()
        if hidden := self._bad_lines.hidden:
            click.echo(f"and {number(hidden)} more bad lines (--show-bad N shows more)", err=True)

    def begin(self, what: str) -> None:
        """Starts a pass over all files; `what` is the label of the bar."""
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._rows = self._done_bytes = 0
        self._task = self._progress.add_task(what, total=self._total, rows="0")

    def advance(self, reader: RecordReader, rows: int) -> None:
        """Moves the bar to the position of the reader, and adds to the number of lines that are done."""
        self._rows += rows
        if self._task is not None:
            completed = self._done_bytes + reader.consumed
            self._progress.update(self._task, completed=completed, rows=number(self._rows))

    def finish(self, reader: RecordReader) -> None:
        """Records that the reader's file is done."""
        self._done_bytes += reader.consumed

    def begin_storing(self, rows: int) -> None:
        """Shows, while rows of an export are stored, how many of them are done: see `advance_storing`."""
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._task = self._progress.add_task("storing", total=rows, rows="0")

    def advance_storing(self, rows: int) -> None:
        """Moves the bar to so many stored rows."""
        if self._task is not None:
            self._progress.update(self._task, completed=rows, rows=number(rows))

    def report_bad(self, file: str, line: int | None, reason: str) -> None:
        """Counts a bad line; without `line` the whole file is meant.

        Printed at the end of the file: all lines with the same error are one.
        """
        if line is None:
            self.unread += 1
        else:
            self.bad += 1
        self._bad_lines.add(file, line, reason)

    def report_end(self, file: str, advice: str | None) -> None:
        """Prints the bad lines of a file, and then the advice on it."""
        self._print_bad_lines()
        if advice is not None:
            self._progress.console.print(Text(f"{plain(file)}: {plain(advice)}"), soft_wrap=True)

    @property
    def bad_lines(self) -> list[BadLine]:
        """The first errors, at most `show_bad`."""
        return self._bad_lines.all()

    def _print_bad_lines(self) -> None:
        for text in self._bad_lines.take_texts():
            self._progress.console.print(Text(text), soft_wrap=True)


def _total_bytes(paths: Sequence[str]) -> int | None:
    """Returns the size of all files together, or None when one of them is not a regular file."""
    try:
        states = [Path(path).stat() for path in paths]
    except OSError:
        return None
    return sum(state.st_size for state in states) if all(stat.S_ISREG(state.st_mode) for state in states) else None
