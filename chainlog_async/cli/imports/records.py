"""Records in the files of other programs, one mapping each: JSON lines, or CSV with a header."""

from __future__ import annotations

import csv
from collections.abc import Mapping

from chainlog_async.entry.json_input import json_value
from chainlog_async.errors import InvalidEntryError

from .lines import MAX_LINE_BYTES

Record = Mapping[str, object]


class Records:
    """Reads one file, a line at a time; it is JSON if the first line begins with a brace, otherwise CSV."""

    def __init__(self) -> None:
        self._is_csv: bool | None = None
        self._header: list[str] | None = None
        self._begun = b""
        """Lines of a CSV record in which a quote is still open."""

    def read(self, line: bytes) -> Record | None:
        """Returns the record that ends with this line; None for a header, or when the record continues.

        Raises `InvalidEntryError` for a line that is not a record.
        """
        if self._is_csv is None:
            self._is_csv = not line.startswith(b"{")
        return self._read_csv(line) if self._is_csv else _read_json(line)

    def finish(self) -> None:
        """Raises `InvalidEntryError` when the file ended in the middle of a record."""
        if self._begun:
            raise InvalidEntryError("the file ends inside a quoted value that begins on this line or above")

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
        if self._header is None:
            self._header = values
            return None
        if len(values) != len(self._header):
            raise InvalidEntryError(f"{len(values)} values, but the header has {len(self._header)}")
        return {name: value or None for name, value in zip(self._header, values, strict=True)}


def _read_json(line: bytes) -> Record:
    value = json_value(line)
    if not isinstance(value, dict):
        raise InvalidEntryError("a record must be a JSON object on one line")
    return value


def _split(data: bytes) -> list[str]:
    try:
        # A newline inside quotes is part of the value, so the lines keep their endings.
        rows = list(csv.reader(data.decode("utf-8").splitlines(keepends=True), strict=True))
    except (UnicodeError, csv.Error) as error:
        raise InvalidEntryError(f"not CSV: {error}") from None
    return [value for row in rows for value in row]
