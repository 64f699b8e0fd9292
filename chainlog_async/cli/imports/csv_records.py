"""Records of CSV, found by Python's own parser, which sees the file as it is.

Only LF, CR LF and CR end a line: other characters that Unicode counts as line breaks are text. Within quotes, line
ends, blank lines and spaces are part of the value.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Sequence

from chainlog_async.requests.encoders import restored_text
from chainlog_async.requests.model import FIRST_COLUMNS

from .chunks import UnreadableFileError
from .lines import MAX_LINE_BYTES, UTF8_BOM
from .records import Found, Record, Splitter

DELIMITERS = ",;\t|"
"""What may separate values, the most likely first. Excel writes semicolons where a comma is the decimal point."""

_NAMES = frozenset({"chain_name", "provider_id", "model"})
"""Columns of an export that are never NULL, so that nothing is an empty text."""

_FIELD = re.compile(r'("[^"]*(?:""[^"]*)*"|[^,\r\n]*)(?:,|[\r\n]*\Z)')


class CsvRecords(Splitter):
    """Records below a header, their values separated by `delimiter`."""

    def __init__(self, delimiter: str = ",") -> None:
        self._delimiter = delimiter
        # The parser refuses longer fields; its default is 128 KiB, and the limit is the process's.
        csv.field_size_limit(2 * MAX_LINE_BYTES)
        self._rest = b""
        self._is_first = True
        self._skips = False
        self._lines: list[str] = []
        """Lines of a record in which a quote is still open."""
        self._number = 1
        """Number of the first of them, or of the next line."""
        self.header: list[str] | None = None
        self._is_export = False
        self._tells_empty_texts = False

    def feed(self, chunk: bytes) -> list[Found]:
        """See `Splitter`."""
        data = self._rest + chunk
        lines = data.splitlines(keepends=True)
        # A CR at the end may be half of a CR LF.
        self._rest = b"" if data.endswith(b"\n") or not lines else lines.pop()
        found = self._take(lines)
        if len(self._rest) > MAX_LINE_BYTES:
            self._rest, self._skips = b"", True
        return found

    def finish(self) -> list[Found]:
        """See `Splitter`."""
        found = self._take([self._rest] if self._rest or self._skips else [])
        if self._lines:
            last = self._number + len(self._lines) - 1
            problem = "the file ends inside a quoted value of the record that begins here; is a quote missing?"
            found.append(Found(self._number, last, problem=problem))
            self._lines = []
        return found

    def _take(self, lines: list[bytes]) -> list[Found]:
        """Parses whole lines. A record that is not complete is kept, and parsed again with the lines that follow."""
        found: list[Found] = []
        for data in lines:
            if self._skips or len(data) > MAX_LINE_BYTES:
                self._skips = False
                found += self._parse()
                found.append(self._drop(1, f"the line is longer than {MAX_LINE_BYTES:,} bytes"))
                continue
            if self._is_first:
                data = data.removeprefix(UTF8_BOM)  # noqa: PLW2901  # the mark is no part of the line
                self._is_first = False
            # Bytes that are not UTF-8 must not hide where the record ends.
            self._lines.append(data.decode("utf-8", "surrogateescape"))
        found += self._parse()
        if sum(map(len, self._lines)) > MAX_LINE_BYTES:
            found.append(self._drop(0, f"the record is longer than {MAX_LINE_BYTES:,} bytes; is a quote missing?"))
        return found

    def _drop(self, more: int, problem: str) -> Found:
        """Gives up the lines that are kept, and `more` that are not."""
        begin = self._number
        self._number += len(self._lines) + more
        self._lines = []
        return Found(begin, self._number - 1, problem=problem)

    def _parse(self) -> list[Found]:
        found: list[Found] = []
        source = _Source(self._lines)
        reader = csv.reader(source, strict=True, delimiter=self._delimiter)
        begin = 0
        while begin < len(self._lines):
            problem = ""
            values: list[str] = []
            try:
                values = next(reader)
            except csv.Error as error:
                problem = f"not CSV: {error}"
            if source.is_exhausted:
                break
            end = reader.line_num
            first, last = self._number + begin, self._number + end - 1
            raw = self._lines[begin:end]
            begin = end
            if problem:
                found.append(Found(first, last, problem=problem))
            elif self.header is None:
                if any(map(str.strip, values)) and not is_delimiter_line("".join(raw)):
                    self.header = values = [name.strip() for name in values]
                    if twice := [name for name in values if name and values.count(name) > 1]:
                        raise UnreadableFileError(f"two columns of the CSV are called {twice[0]!r}; rename one of them")
                    self._is_export = set(values) >= set(FIRST_COLUMNS)
                    # Another program, which wrote the export again, does not know what quotes tell.
                    self._tells_empty_texts = self._delimiter == "," and '"' not in "".join(raw)
            elif values and not (len(values) == 1 < len(self.header) and not values[0].strip()):
                found.append(self._found(first, last, values, raw))
        del self._lines[:begin]
        self._number += begin
        return found

    def _found(self, first: int, last: int, values: list[str], raw: Sequence[str]) -> Found:
        header = self.header or []
        if len(values) != len(header):
            return Found(first, last, problem=f"{len(values)} values, but the header has {len(header)}")
        try:
            "".join(values).encode()
        except UnicodeEncodeError:
            return Found(first, last, problem="not CSV: a text is not UTF-8")
        if self._is_export:
            return Found(first, last, _exported(header, values, "".join(raw) if self._tells_empty_texts else ""))
        return Found(first, last, {name: value or None for name, value in zip(header, values, strict=True)})


class _Source(Iterator[str]):
    """Hands lines to the parser, and knows whether it asked for more than there are."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._lines = iter(lines)
        self.is_exhausted = False

    def __next__(self) -> str:
        line = next(self._lines, None)
        if line is None:
            self.is_exhausted = True
            raise StopIteration
        return line


def header_of(line: str, is_header: Callable[[Sequence[str]], bool]) -> tuple[str, list[str]]:
    """Returns the most likely delimiter of a line and the values between: a header, or else the most values."""
    split = [(delimiter, _values_of(line, delimiter)) for delimiter in DELIMITERS]
    return max(split, key=lambda item: (len(item[1]) > 1 and is_header(item[1]), len(item[1])))


def _values_of(line: str, delimiter: str) -> list[str]:
    try:
        return [value.strip() for value in next(csv.reader([line], delimiter=delimiter), [])]
    except csv.Error:
        return []


def is_delimiter_line(line: str) -> bool:
    """Whether this is the line with which Excel is told the delimiter: ``sep=;``."""
    return re.fullmatch(r"sep=.\s*", line, re.IGNORECASE) is not None


def _exported(header: Sequence[str], values: Sequence[str], raw: str) -> Record:
    """The record of a row that an export wrote: an empty text is quoted in `raw`, and NULL is not."""
    quoted = [False] * len(values)
    if '""' in raw:
        fields = [match[1] for match in _FIELD.finditer(raw)]
        quoted = [field == '""' for field in fields[: len(values)]]
    return {
        name: restored_text(value) if value or is_text or name in _NAMES else None
        for name, value, is_text in zip(header, values, quoted, strict=True)
    }
