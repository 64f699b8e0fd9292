"""A segment: one file of the journal while its writer runs.

A line is stored in one of two ways. Into a map of the file, if space for it could be reserved: first the line, then its
newline, which commits it, so that a kill in between leaves a line without one. The rest of such a file reads as NULs.
Or with ``pwrite``, and then the file is as long as its lines.
"""

from __future__ import annotations

import errno
import os
import sys
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from mmap import PAGESIZE, mmap
from pathlib import Path
from typing import BinaryIO

from .reservation import reserve

NEWLINE = ord("\n")

AHEAD_BYTES = 64 * 1024
"""So much of a mapped file is fetched into memory at a time, in bytes."""

_POPULATE_WRITE = 23
"""Linux's MADV_POPULATE_WRITE (5.14), which Python does not name: fetches pages as a store into them would."""

TRIM_FROM_BYTES = 4096
"""Reserved space of that size, in bytes, is given back when a segment is left; less is not worth a system call."""

_SCAN_BYTES = 1024 * 1024


@dataclass(slots=True)
class Segment:
    """One open file of the stream."""

    start: int
    end: int
    path: Path
    descriptor: int
    full_at: int
    """Stream position at which the next segment begins at the latest; `end` once this one is closed for writing."""
    ready_to: int = -1
    """Stream position to which lines may be written without a look at `full_at` or `prepare`."""
    number: int = 0
    """How many lines of the stream there are up to `end`, in whatever segments."""
    fast_end: int = -1
    """Up to here and to `fast_number`, lines may be stored into `mapped`, or else into `lines`, without a call."""
    fast_number: int = 0
    mapped: mmap | None = None
    """The file in memory while lines are stored that way."""
    lines: deque[bytes] = field(default_factory=deque)
    """For lines that wait in memory and in no file."""
    reserved: int = 0
    """Size of the file that was reserved for the map, in bytes."""

    @property
    def size(self) -> int:
        """Size on the disk, in bytes."""
        return max(self.end - self.start, self.reserved)

    def map(self, size: int) -> None:
        """Reserves and maps that many bytes of the file, which is empty. Raises `OSError` and maps nothing."""
        try:
            reserve(self.descriptor, size)
            self.mapped = mmap(self.descriptor, size)
        except OSError:
            os.ftruncate(self.descriptor, 0)
            raise
        self.reserved = size
        self.full_at = self.start + size
        self.ready_to = self.start

    def prepare(self, end: int) -> None:
        """Makes ready for lines up to that stream position, and for more. Raises `OSError`.

        Fetching many pages at once costs less than a page fault for each; and where the disk fails, it is an error,
        while the fault would end the process.
        """
        if self.mapped is None or sys.platform != "linux":
            self.ready_to = self.full_at
            return
        # A page in whose middle the last call ended is there.
        begin = (self.ready_to - self.start) // PAGESIZE * PAGESIZE
        size = min(max(end - self.start - begin, AHEAD_BYTES), self.reserved - begin)
        try:
            self.mapped.madvise(_POPULATE_WRITE, begin, size)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            # An older kernel: the stores themselves fetch the pages.
            self.ready_to = self.full_at
        else:
            self.ready_to = self.start + begin + size

    def write(self, line: bytes, start: int, end: int) -> None:
        """Stores the line and its newline at stream positions `start` to `end`. Raises `OSError`.

        Raises `ValueError` in a forked child, where nothing is mapped any more.
        """
        mapped = self.mapped
        if mapped is not None:
            mark = end - self.start - 1
            mapped[start - self.start : mark] = line
            mapped[mark] = NEWLINE
        # pwrite rather than append, so that a line after a failed write overwrites what that left behind.
        elif os.pwrite(self.descriptor, line + b"\n", start - self.start) != end - start:
            raise OSError("only part of the line was written; the disk is full or a quota is exceeded")
        self.end = end

    def leave(self) -> None:
        """Closes the segment for writing; what was reserved and not needed is given back."""
        # The fast path looks at the segment alone.
        self.full_at = self.ready_to = self.end
        self.fast_end = -1
        if self.mapped is None:
            return
        self.unmap()
        size = self.end - self.start
        with suppress(OSError):
            # Never made longer, which would hide that somebody cut it.
            if os.fstat(self.descriptor).st_size - size >= TRIM_FROM_BYTES:
                os.ftruncate(self.descriptor, size)
                self.reserved = size

    def unmap(self) -> None:
        """Lets go of the map, without a look at the file."""
        mapped, self.mapped = self.mapped, None
        self.fast_end = -1
        if mapped is not None:
            mapped.close()

    def disown(self) -> None:
        """In a forked child, lets go of the parent's file, so that nothing can be stored into it from here."""
        descriptor, self.descriptor = self.descriptor, -1
        self.unmap()
        os.close(descriptor)

    def is_in_place(self) -> bool:
        """Whether the file is still at its path, with the space that was reserved. Blocks briefly."""
        try:
            found = os.fstat(self.descriptor)
            if self.path.stat().st_ino != found.st_ino:
                return False
        except FileNotFoundError:
            return False
        except OSError:
            # It was committed and closed in the meantime.
            return True
        # In this order: the map is let go of before the file is made shorter.
        return found.st_size >= self.reserved or self.mapped is None


def remove_segments(segments: list[Segment]) -> list[Segment]:
    """Deletes the files and returns those that could not be deleted. Blocks; call it in a thread."""
    left: list[Segment] = []
    for segment in segments:
        try:
            segment.path.unlink(missing_ok=True)
        except OSError:
            left.append(segment)
        else:
            os.close(segment.descriptor)
    return left


def written_size(file: BinaryIO) -> int:
    """Returns the size of a segment up to its last byte that is not a NUL, in bytes: what follows is only reserved.

    Blocks. Raises `OSError`.
    """
    end = os.fstat(file.fileno()).st_size
    while end:
        start = max(end - _SCAN_BYTES, 0)
        file.seek(start)
        used = len(file.read(end - start).rstrip(b"\0"))
        if used:
            return start + used
        end = start
    return 0
