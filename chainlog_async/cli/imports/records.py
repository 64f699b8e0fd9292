"""What is found in a file: records, and places where there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from chainlog_async.entry.json_input import json_value
from chainlog_async.errors import InvalidEntryError

from .lines import MAX_LINE_BYTES, Line, LineSplitter

Record = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Found:
    """One record, or why there is none."""

    line: int
    """The line it begins on, or the row, counted from 1."""
    last: int
    """The line it ends on."""
    record: Record | None = None
    problem: str = ""
    """Why it is no record, when `record` is None."""


class Splitter(Protocol):
    """Finds the records in the chunks of one file."""

    def feed(self, chunk: bytes) -> list[Found]:
        """Returns what ends in this chunk."""

    def finish(self) -> list[Found]:
        """Returns what is left at the end of the file."""


class JsonLines(Splitter):
    """One JSON object per line."""

    def __init__(self) -> None:
        self._lines = LineSplitter()

    def feed(self, chunk: bytes) -> list[Found]:
        """See `Splitter`."""
        return [_parsed(line) for line in self._lines.feed(chunk)]

    def finish(self) -> list[Found]:
        """See `Splitter`."""
        return [_parsed(line) for line in self._lines.finish()]


def _parsed(line: Line) -> Found:
    number, data = line.number, line.data
    if data is None:
        return Found(number, number, problem=f"the line is longer than {MAX_LINE_BYTES:,} bytes")
    try:
        value = json_value(data)
        if isinstance(value, dict):
            return Found(number, number, value)
        problem = f"an entry is a JSON object, not {'an array' if isinstance(value, list) else 'a single value'}"
    except InvalidEntryError as error:
        problem = str(error)
    if data.startswith(b"["):
        problem += "; each line must be one entry, so split the array: jq -c '.[]'"
    elif data == b"{":
        problem += "; each line must be one entry, so join its lines: jq -c ."
    return Found(number, number, problem=problem)
