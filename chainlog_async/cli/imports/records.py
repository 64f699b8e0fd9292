"""Records of files that others wrote, one mapping for each: JSON lines, or CSV with a heading."""

from __future__ import annotations

import csv
from collections.abc import Mapping

from chainlog_async.entry.json_input import json_value
from chainlog_async.errors import InvalidEntryError

from .lines import MAX_LINE_BYTES

Record = Mapping[str, object]


class Records:
    """Reads one file, a line at a time. The first line tells which of the two it is: JSON begins with a brace."""

    def __init__(self) -> None:
        self._is_csv: bool | None = None
        self._heading: list[str] | None = None
        self._begun = b""
        """Lines of a CSV record whose quotes are open still."""

    def read(self, line: bytes) -> Record | None:
        """The record that ends with this line; None for a heading, or when the record goes on.

        Raises `InvalidEntryError` for a line that is no record.
        """
        if self._is_csv is None:
            self._is_csv = not line.startswith(b"{")
        return self._read_csv(line) if self._is_csv else _read_json(line)

    def finish(self) -> None:
        """Raises `InvalidEntryError` when the file ended within a record."""
        if self._begun:
            raise InvalidEntryError("the file ends within a quoted text that begins here or above")

    def _read_csv(self, line: bytes) -> Record | None:
        data = self._begun + b"\n" + line if self._begun else line
        if len(data) > MAX_LINE_BYTES:
            self._begun = b""
            raise InvalidEntryError(f"the record is longer than {MAX_LINE_BYTES:,} bytes; is a quote missing?")
        if data.count(b'"') % 2:
            self._begun = data
            return None
        self._begun = b""
        values = _split(data)
        if self._heading is None:
            self._heading = values
            return None
        if len(values) != len(self._heading):
            raise InvalidEntryError(f"{len(values)} values, but the heading names {len(self._heading)}")
        return {name: value or None for name, value in zip(self._heading, values, strict=True)}


def _read_json(line: bytes) -> Record:
    value = json_value(line)
    if not isinstance(value, dict):
        raise InvalidEntryError("a record is a JSON object on one line")
    return value


def _split(data: bytes) -> list[str]:
    try:
        # A newline within quotes must reach the reader as part of a text, so it gets the lines with their ends.
        rows = list(csv.reader(data.decode("utf-8").splitlines(keepends=True), strict=True))
    except (UnicodeError, csv.Error) as error:
        raise InvalidEntryError(f"not CSV: {error}") from None
    return [value for row in rows for value in row]
