"""Splits chunks of bytes into lines, with their numbers."""

from __future__ import annotations

from dataclasses import dataclass

MAX_LINE_BYTES = 4 * 1024 * 1024
"""Longest line or record that is parsed, in bytes; a longer one is bad, and takes no more memory than this."""

UTF8_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Line:
    """One line that is not blank."""

    number: int
    """Counted from 1, blank lines included."""
    data: bytes | None
    """Without its line ending; None when it is longer than `MAX_LINE_BYTES`."""


class LineSplitter:
    """Splits chunks of bytes into lines, which end in LF, CR LF, or all in CR; the last may have no line ending."""

    def __init__(self) -> None:
        self._newline: bytes | None = None
        self._number = 0
        self._rest = b""
        self._too_long = False

    def feed(self, chunk: bytes) -> list[Line]:
        """Returns the lines that end in this chunk."""
        data = self._rest + chunk
        if self._newline is None:
            self._newline = _newline_of(data)
        *ended, rest = data.split(self._newline or b"\n")
        lines = [line for data in ended if (line := self._end(data)) is not None]
        if len(rest) > MAX_LINE_BYTES:
            self._too_long = True
        # The rest of an over-long line is dropped chunk by chunk up to its end.
        self._rest = b"" if self._too_long else rest
        return lines

    def finish(self) -> list[Line]:
        """Returns the last line, if it has no line ending."""
        line = self._end(self._rest) if self._rest or self._too_long else None
        self._rest = b""
        return [] if line is None else [line]

    def _end(self, data: bytes) -> Line | None:
        self._number += 1
        if self._too_long or len(data) > MAX_LINE_BYTES:
            self._too_long = False
            return Line(self._number, None)
        if self._number == 1:
            data = data.removeprefix(UTF8_BOM)
        data = data.strip()
        return Line(self._number, data) if data else None


def _newline_of(start: bytes) -> bytes | None:
    """Returns how lines end in a file that starts so; None as long as no line has ended."""
    if b"\n" in start:
        return b"\n"
    # Within a line of JSON a CR is a space; after an object, with more behind it, it is the end of the line.
    return b"\r" if start.find(b"}\r", 0, len(start) - 1) >= 0 else None
