"""Reads a file as records, whatever its format: JSON lines, CSV with a header, or Parquet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, BinaryIO

from .chunks import ChunkReader, ForeignColumnsError, open_chunks
from .csv_records import CsvRecords, header_of, is_delimiter_line
from .lines import MAX_LINE_BYTES, UTF8_BOM
from .records import Found, JsonLines, Splitter

if TYPE_CHECKING:
    from .parquet_rows import ParquetRows

_PARQUET = b"PAR1"

_LINES_LOOKED_AT = 100
"""How many lines at the beginning are searched for JSON before a file counts as CSV of another shape."""

IsHeader = Callable[[Sequence[str]], bool]
"""Whether a file whose first line has these values is CSV with them as its header."""


@contextmanager
def open_records(
    path: str, is_header: IsHeader, *, copy_to: BinaryIO | None = None, spool: BinaryIO | None = None
) -> Iterator[RecordReader]:
    """Opens `path` (``-`` is stdin); `copy_to` and `spool` are those of `open_chunks`. Raises `OSError`."""
    with open_chunks(path, copy_to=copy_to, spool=spool) as chunks, ExitStack() as files:
        yield RecordReader(chunks, is_header, files)


class RecordReader:
    """Finds out the format from how the file begins, then reads its records block by block."""

    def __init__(self, chunks: ChunkReader, is_header: IsHeader, files: ExitStack) -> None:
        self._chunks = chunks
        self._is_header = is_header
        self._files = files
        self._begun = b""
        self._splitter: Splitter | None = None
        self._rows: ParquetRows | None = None
        self._ended = False
        self.names: list[str] = []
        """The names in the first record, or what looks like a header; for advice when nothing fits."""

    @property
    def consumed(self) -> int:
        """Bytes read so far."""
        read = self._chunks.consumed
        return read if self._rows is None else round(read * self._rows.done)

    async def block(self) -> list[Found]:
        """Returns what comes next in the file; nothing at the end. Raises `UnreadableFileError` or `OSError`."""
        while not self._ended:
            if self._rows is not None:
                found = await self._rows.block()
                self.names = self._rows.names
                self._ended = not found
                return found
            chunk = await self._chunks.chunk()
            self._ended = not chunk
            found = await self._take(chunk)
            if not self.names:
                self.names = next((list(item.record) for item in found if item.record is not None), [])
            if found:
                return found
        return []

    async def _take(self, chunk: bytes) -> list[Found]:
        if self._splitter is None:
            self._begun += chunk
            if self._begun.startswith(_PARQUET):
                await self._open_parquet()
                return []
            self._splitter = self._choose()
            if self._splitter is None:
                return []
            chunk, self._begun = self._begun, b""
        found = self._splitter.feed(chunk) if chunk else []
        return found + self._splitter.finish() if self._ended else found

    def _choose(self) -> Splitter | None:
        """Returns how the file is to be split; None while its first line is not known yet."""
        first = self._begun.removeprefix(UTF8_BOM).lstrip()
        if first.startswith((b"{", b"[")):
            return JsonLines()
        lines = first.splitlines(keepends=True)[:_LINES_LOOKED_AT]
        if lines and is_delimiter_line(lines[0].decode("utf-8", "replace")):
            # If the file ends here, it holds nothing.
            lines = lines[1:]
        if not self._has_ended(lines, 1, len(first)):
            return None
        delimiter, names = self._header(lines[0] if lines else b"")
        if len(names) > 1:
            self.names = names
        if self._is_header(names):
            return CsvRecords(delimiter)
        if not self._has_ended(lines, 2, len(first)):
            return None
        if len(names) > 1 and _is_foreign_csv(lines, len(names)):
            raise ForeignColumnsError("the file is CSV, and its columns are not those of an entry")
        return JsonLines()

    def _has_ended(self, lines: Sequence[bytes], number: int, size: int) -> bool:
        """Whether that many lines are known whole, or there are no more, or they are too long to wait for."""
        known = lines[:number]
        complete = len(lines) > number or (len(known) == number and known[-1].endswith(b"\n"))
        return self._ended or complete or size > MAX_LINE_BYTES

    def _header(self, line: bytes) -> tuple[str, list[str]]:
        try:
            return header_of(line.decode(), self._is_header)
        except UnicodeDecodeError:
            return ",", []

    async def _open_parquet(self) -> None:
        # pyarrow is an extra and takes a tenth of a second to import.
        from .parquet_rows import ParquetRows

        # Its end is read first, which a pipe cannot do.
        file = self._files.enter_context(await self._chunks.whole_file(self._begun))
        self._rows, self._begun, self._ended = ParquetRows(file), b"", False


def _is_foreign_csv(lines: Sequence[bytes], values: int) -> bool:
    """Whether the lines below the first are as many values, and none is JSON."""
    below = [line for line in lines[1:] if line.strip()]
    if any(line.lstrip().startswith((b"{", b"[")) for line in below):
        return False
    return not below or len(header_of(below[0].decode("utf-8", "replace"), lambda _: False)[1]) == values
