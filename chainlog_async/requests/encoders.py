"""Requests as the bytes of a file: CSV and JSON lines."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from typing import Protocol

import msgspec

from .model import COLUMNS, JSON_COLUMNS, RequestLogRow

_FORMULA = re.compile(r"'*[=+\-@\t\r]")
"""How a text begins that a spreadsheet would run, or that looks like one with the guard before it."""

_EMPTY = "\udc00"
"""Stands for an empty text until the CSV is encoded, which no text in it can contain."""

_json = msgspec.json.Encoder()
_JSON_PLACES = tuple(map(COLUMNS.index, JSON_COLUMNS))


class Encoder(Protocol):
    """Encodes requests as the bytes of a file."""

    def encode(self, requests: Sequence[RequestLogRow]) -> bytes:
        """Adds requests. Returns the bytes that can be written so far, possibly none."""

    def end(self) -> bytes:
        """Returns the rest of the file."""


class CsvEncoder:
    """A header and a row for each request; columns are named as in the database.

    An empty text is quoted, and NULL is not; `restored_text` undoes the guard against formulas.
    """

    def __init__(self) -> None:
        self._text = io.StringIO()
        self._writer = csv.writer(self._text)
        self._writer.writerow(COLUMNS)

    def encode(self, requests: Sequence[RequestLogRow]) -> bytes:
        """Returns these rows, preceded by the header the first time."""
        self._writer.writerows([_cell(value) for value in flat(request)] for request in requests)
        return self._taken()

    def end(self) -> bytes:
        """Returns nothing, or the header if there was no row."""
        return self._taken()

    def _taken(self) -> bytes:
        taken = self._text.getvalue().replace(_EMPTY, '""').encode()
        self._text.seek(0)
        self._text.truncate()
        return taken


class JsonLinesEncoder:
    """One JSON object per line, as in the service's answers."""

    def encode(self, requests: Sequence[RequestLogRow]) -> bytes:
        """Returns these lines."""
        return _json.encode_lines(requests)

    def end(self) -> bytes:
        """Returns nothing."""
        return b""


def flat(request: RequestLogRow) -> list[object]:
    """The values of a request in the order of `COLUMNS`, those of `JSON_COLUMNS` as JSON."""
    values: list[object] = list(msgspec.structs.astuple(request))
    for place in _JSON_PLACES:
        if values[place] is not None:
            values[place] = _json.encode(values[place]).decode()
    return values


def _cell(value: object) -> object:
    if not isinstance(value, str):
        return value
    # A spreadsheet would run such a text as a formula; a leading apostrophe makes it text.
    return f"'{value}" if _FORMULA.match(value) else value or _EMPTY


def restored_text(cell: str) -> str:
    """The text that `CsvEncoder` wrote as this cell: without the apostrophe that guards it, if one does."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
