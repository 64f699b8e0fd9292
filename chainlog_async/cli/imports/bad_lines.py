"""The errors of an import: lines with the same error are one, with their number."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import msgspec

from chainlog_async.cli.output.render import number, plain

MAX_REASON_CHARS = 300

MAX_LINES_NAMED = 5
"""How many lines with the same error are named."""

# What differs between lines with the same error: numbers, and the value that is wrong.
_VARIABLE = re.compile(r"(?<= is )(?:'[^']*'|\"[^\"]*\"|[^\s;,]+)|\d[\d.,]*")


class BadLine(msgspec.Struct, frozen=True, rename="camel"):
    """Lines that were skipped because of the same error, or a file that could not be read."""

    file: str
    line: int | None
    """The first of them, counted from 1; None when the whole file is meant."""
    error: str
    """The error of the first of them."""
    count: int
    lines: list[int]
    """The first of them, at most `MAX_LINES_NAMED`."""


@dataclass(slots=True)
class _Group:
    file: str
    line: int | None
    error: str
    count: int = 0
    lines: list[int] = field(default_factory=list)

    def text(self) -> str:
        place = plain(self.file) if self.line is None else f"{plain(self.file)}:{self.line}"
        if self.count == 1:
            return f"{place}: {self.error}"
        more = ", …" if self.count > len(self.lines) else ""
        return f"{place}: {self.error} ({number(self.count)} lines: {', '.join(map(str, self.lines))}{more})"


class BadLines:
    """Collects errors, of which at most `show` are told; in flat memory."""

    def __init__(self, show: int) -> None:
        self._show = show
        self._told: list[_Group] = []
        self._new: dict[tuple[str, bool, str], _Group] = {}
        self.hidden = 0
        """Bad lines whose error is not told."""

    def add(self, file: str, line: int | None, reason: str) -> None:
        """Adds a bad line; without `line` the whole file is meant."""
        key = (file, line is None, _VARIABLE.sub("…", reason))
        group = self._new.get(key)
        if group is None:
            if len(self._told) >= self._show:
                self.hidden += 1
                return
            error = plain(reason)
            if len(error) > MAX_REASON_CHARS:
                error = f"{error[:MAX_REASON_CHARS]}…"
            group = self._new[key] = _Group(file, line, error)
            self._told.append(group)
        group.count += 1
        if line is not None and len(group.lines) < MAX_LINES_NAMED:
            group.lines.append(line)

    def take_texts(self) -> list[str]:
        """Returns the errors since the last call, each as ``FILE:LINE: reason``."""
        texts = [group.text() for group in self._new.values()]
        self._new.clear()
        return texts

    def all(self) -> list[BadLine]:
        """Returns every error that is told."""
        return [BadLine(group.file, group.line, group.error, group.count, group.lines) for group in self._told]
