"""A file or a pipe, read chunk by chunk: memory stays bounded, and the event loop is never blocked."""

from __future__ import annotations

import os
import shlex
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import anyio
import anyio.to_thread

CHUNK_BYTES = 256 * 1024

STDIN = "-"

_NOT_TEXT = {
    b"\x1f\x8b": "compressed with gzip; use: zcat {name} | chainlog import -",
    b"\x28\xb5\x2f\xfd": "compressed with zstd; use: zstdcat {name} | chainlog import -",
    b"\xff\xfe": "UTF-16, not UTF-8; use: iconv -f UTF-16 -t UTF-8 {name} | chainlog import -",
    b"\xfe\xff": "UTF-16, not UTF-8; use: iconv -f UTF-16 -t UTF-8 {name} | chainlog import -",
    b"SQLite format 3\0": "an SQLite database, not JSON lines; use --db {name} to read it",
}


class UnreadableFileError(Exception):
    """The file as a whole cannot be imported, so an error for each of its lines would be useless."""


class ForeignColumnsError(UnreadableFileError):
    """The file is CSV, and its columns are not those of an entry."""


def is_regular_file(path: str) -> bool:
    """Returns whether the file can be read twice: not stdin, a pipe or a terminal. Blocks; call it in a thread."""
    return path != STDIN and Path(path).is_file()


@contextmanager
def open_chunks(path: str, *, copy_to: BinaryIO | None = None, spool: BinaryIO | None = None) -> Iterator[ChunkReader]:
    """Opens `path` (``-`` is stdin) for reading.

    Whatever is read is also written to `copy_to`. With `spool`, such a copy is read from its start instead of `path`.
    Raises `OSError`.
    """
    if spool is not None:
        spool.seek(0)
        yield ChunkReader(spool.fileno(), path)
    elif path == STDIN:
        yield ChunkReader(0, path, copy_to=copy_to)
    else:
        # Without O_NONBLOCK, opening a named pipe would block the event loop until a writer opens it.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            yield ChunkReader(descriptor, path, copy_to=copy_to)
        finally:
            os.close(descriptor)


class ChunkReader:
    """Reads chunks of a file, a pipe or a terminal; waiting for more can be cancelled."""

    def __init__(self, descriptor: int, name: str, *, copy_to: BinaryIO | None = None) -> None:
        self._fd = descriptor
        self._name = name
        self._copy_to = copy_to
        self._is_regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
        self._is_pollable = not self._is_regular
        self.consumed = 0
        """Bytes read so far."""

    async def chunk(self) -> bytes:
        """Returns the next bytes; none at the end. Raises `UnreadableFileError` or `OSError`."""
        chunk = await self._read()
        if not self.consumed:
            self._refuse_binary(chunk)
        self.consumed += len(chunk)
        if self._copy_to is not None:
            await anyio.to_thread.run_sync(self._copy_to.write, chunk)
        return chunk

    async def whole_file(self, begun: bytes) -> BinaryIO:
        """Returns the file as one that can be sought in, a temporary copy if need be; `begun` was read. Close it."""
        if self._is_regular and self._copy_to is None:
            self.consumed = os.fstat(self._fd).st_size
            file = os.fdopen(os.dup(self._fd), "rb")
            file.seek(0)
            return file
        copy = tempfile.TemporaryFile()  # noqa: SIM115  # the caller closes it
        try:
            await anyio.to_thread.run_sync(copy.write, begun)
            while chunk := await self.chunk():
                await anyio.to_thread.run_sync(copy.write, chunk)
        except BaseException:
            copy.close()
            raise
        return copy

    async def _read(self) -> bytes:
        while self._is_pollable:
            try:
                # A thread that waits for a silent pipe cannot be stopped; a poll can be cancelled.
                await anyio.wait_readable(self._fd)
                return os.read(self._fd, CHUNK_BYTES)
            except BlockingIOError:
                continue
            except PermissionError:
                # epoll refuses /dev/null and other devices that never block.
                self._is_pollable = False
        return await anyio.to_thread.run_sync(os.read, self._fd, CHUNK_BYTES)

    def _refuse_binary(self, chunk: bytes) -> None:
        for magic, what in _NOT_TEXT.items():
            if chunk.startswith(magic):
                raise UnreadableFileError(f"the file is {what.format(name=shlex.quote(self._name))}")
