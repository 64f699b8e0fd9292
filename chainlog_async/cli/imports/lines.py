"""Lines of a file or a pipe, read block by block: memory stays bounded, and the event loop is never blocked."""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import anyio
import anyio.to_thread

CHUNK_BYTES = 256 * 1024
MAX_LINE_BYTES = 4 * 1024 * 1024
"""Longest line that is parsed, in bytes; a longer one is bad, and takes no more memory than this."""

STDIN = "-"

_UTF8_BOM = b"\xef\xbb\xbf"
_NOT_TEXT = {
    b"\x1f\x8b": "compressed with gzip; use: zcat {name} | chainlog import -",
    b"\x28\xb5\x2f\xfd": "compressed with zstd; use: zstdcat {name} | chainlog import -",
    b"\xff\xfe": "UTF-16, not UTF-8; use: iconv -f UTF-16 -t UTF-8 {name} | chainlog import -",
    b"\xfe\xff": "UTF-16, not UTF-8; use: iconv -f UTF-16 -t UTF-8 {name} | chainlog import -",
    b"SQLite format 3\0": "an SQLite database, not JSON lines; use --db {name} to read it",
}


class NotTextError(Exception):
    """The input is not JSON lines at all, so an error for each of its lines would be useless."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line that is not blank."""

    number: int
    """Counted from 1, blank lines included."""
    data: bytes | None
    """Without its line ending; None when it is longer than `MAX_LINE_BYTES`."""


class LineSplitter:
    """Splits chunks of bytes into lines, which end in LF or CR LF; the last may have no line ending."""

    def __init__(self) -> None:
        self._number = 0
        self._rest = b""
        self._too_long = False

    def feed(self, chunk: bytes) -> list[Line]:
        """Returns the lines that end in this chunk."""
        *ended, rest = (self._rest + chunk).split(b"\n")
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
            data = data.removeprefix(_UTF8_BOM)
        data = data.strip()
        return Line(self._number, data) if data else None


def is_regular_file(path: str) -> bool:
    """Returns whether the file can be read twice: not stdin, a pipe or a terminal. Blocks; call it in a thread."""
    return path != STDIN and Path(path).is_file()


@contextmanager
def open_lines(path: str, *, copy_to: BinaryIO | None = None, spool: BinaryIO | None = None) -> Iterator[LineReader]:
    """Opens `path` (``-`` is stdin) for reading lines.

    Whatever is read is also written to `copy_to`. With `spool`, such a copy is read from its start instead of `path`.
    Raises `OSError`.
    """
    if spool is not None:
        spool.seek(0)
        yield LineReader(spool.fileno(), path)
    elif path == STDIN:
        yield LineReader(0, path, copy_to=copy_to)
    else:
        # Without O_NONBLOCK, opening a named pipe would block the event loop until a writer opens it.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            yield LineReader(descriptor, path, copy_to=copy_to)
        finally:
            os.close(descriptor)


class LineReader:
    """Reads lines from a file, a pipe or a terminal; waiting for more can be cancelled."""

    def __init__(self, descriptor: int, name: str, *, copy_to: BinaryIO | None = None) -> None:
        self._fd = descriptor
        self._name = name
        self._copy_to = copy_to
        self._pollable = not stat.S_ISREG(os.fstat(descriptor).st_mode)
        self._splitter = LineSplitter()
        self._ended = False
        self.consumed = 0
        """Bytes read so far."""

    async def block(self) -> list[Line]:
        """Returns the next lines, or an empty list at the end. Raises `NotTextError` or `OSError`."""
        while not self._ended:
            chunk = await self._read()
            if not self.consumed:
                self._refuse_binary(chunk)
            self.consumed += len(chunk)
            if self._copy_to is not None:
                await anyio.to_thread.run_sync(self._copy_to.write, chunk)
            self._ended = not chunk
            if lines := self._splitter.feed(chunk) if chunk else self._splitter.finish():
                return lines
        return []

    async def _read(self) -> bytes:
        while self._pollable:
            try:
                # A thread that waits for a silent pipe cannot be stopped; a poll can be cancelled.
                await anyio.wait_readable(self._fd)
                return os.read(self._fd, CHUNK_BYTES)
            except BlockingIOError:
                continue
            except PermissionError:
                # epoll refuses /dev/null and other devices that never block.
                self._pollable = False
        return await anyio.to_thread.run_sync(os.read, self._fd, CHUNK_BYTES)

    def _refuse_binary(self, chunk: bytes) -> None:
        for magic, what in _NOT_TEXT.items():
            if chunk.startswith(magic):
                raise NotTextError(f"the file is {what.format(name=shlex.quote(self._name))}")
