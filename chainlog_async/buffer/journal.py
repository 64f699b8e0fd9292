"""The journal: every accepted line is in a file before `log_request` returns, so the process may die at any moment.

A writer's lines form one endless stream of bytes, kept in segments: files named by the stream position of their first
byte. How far the stream is committed is a single number, the position, which the database stores in the same
transaction as the rows. Segments that lie before the position are deleted.

Writes go to the page cache and are not synced: they survive the death of the process, but not a power cut.
"""

from __future__ import annotations

import os
from collections import deque
from pathlib import Path
from time import monotonic

from chainlog_async.statistics import JournalWriteMethod

from .paths import segment_path
from .reservation import FULL
from .segment import Segment

JOURNAL_RETRY_S = 1.0
"""Time between a failed write and the next try, in seconds; entries wait in memory meanwhile."""

FIRST_MAPPED_BYTES = 64 * 1024
"""Size of the first segment that is mapped, in bytes. The next ones are twice as large each, while lines come fast."""

SLOW_FILL_S = 10.0
"""A mapped segment that took longer than this to fill, in seconds, is followed by one of the same size."""

PROBE = bytes(4096)
"""Written and truncated again to find out whether the disk has room."""


class Journal:
    """The segments of a running writer. Not thread-safe: the queue holds its lock around every call."""

    def __init__(
        self,
        folder: Path,
        writer_id: str,
        *,
        max_bytes: int,
        segment_bytes: int,
        mapped_on: int | None = None,
    ) -> None:
        self._folder = folder
        self._writer_id = writer_id
        self._max_bytes = max_bytes
        self._segment_bytes = segment_bytes
        self._mapped_on = mapped_on
        self._mapped_bytes = min(FIRST_MAPPED_BYTES, segment_bytes)
        self._begun_at = 0.0
        self._segments: deque[Segment] = deque()
        self._released: list[Segment] = []
        self._retry_at = 0.0
        self._suspended = self._is_at_bound = False
        self.open_segment: Segment | None = None
        """The segment being written; None when the next line has to start a new one."""
        self.segment_start = -1
        """Stream position at which the segment of the last line begins."""
        self.error: str | None = None
        """Why lines cannot be journaled right now, or None."""
        self.write_method: JournalWriteMethod = "pwrite" if mapped_on is None else "mmap"
        """How lines are written to the newest segment, or will be to the first one."""

    @property
    def size(self) -> int:
        """Size in bytes of the segments that still hold uncommitted lines."""
        return sum(segment.end - segment.start for segment in self._segments)

    def append(self, position: int, line: bytes) -> bool:
        """Writes the line at that stream position, and a newline. Returns False if that failed."""
        segment = self.open_segment
        end = position + len(line) + 1
        if segment is None or position != segment.end or end > segment.full_at:
            segment = self._next_segment(position, len(line) + 1)
            if segment is None:
                return False
        try:
            if end > segment.ready_to:
                segment.prepare(end)
            segment.write(line, position, end)
        except (OSError, ValueError) as error:
            self._drop_empty_segment()
            return self._fail(f"{self._folder}: {error}")
        return True

    def try_again(self, position: int) -> None:
        """After a failure, checks whether a line could be written at that stream position."""
        if self.error is None:
            return
        segment = self._next_segment(position, len(PROBE))
        if segment is not None and segment.mapped is None:
            try:
                # On a full disk files can still be created, but not written.
                os.pwrite(segment.descriptor, PROBE, 0)
                os.ftruncate(segment.descriptor, 0)
            except OSError as error:
                self._drop_empty_segment()
                self._fail(f"{self._folder}: {error}")

    def _next_segment(self, position: int, size: int) -> Segment | None:
        if self.error is not None and (self._suspended or monotonic() < self._retry_at):
            return None
        self.close_segment()
        taken = sum(segment.size for segment in self._segments)
        self._is_at_bound = taken + size > self._max_bytes
        if self._is_at_bound:
            self._fail(f"the journal has reached journal_max_bytes ({self._max_bytes} bytes)")
            return None
        # A line larger than a segment gets its own; no segment may take the journal over its bound.
        room = max(min(self._segment_bytes, self._max_bytes - taken), size)
        newest = self.newest
        path = segment_path(self._folder, self._writer_id, position)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError as error:
            if newest is None or not newest.start == newest.end == position:
                self._fail(f"{self._folder}: {error}")
                return None
            # It was created earlier and is still empty, so it is used; mapped it may be too short.
            segment = newest
            segment.unmap()
            segment.full_at = segment.ready_to = position + room
            self.write_method = "pwrite"
        except OSError as error:
            self._fail(f"{self._folder}: {error}")
            return None
        else:
            segment = Segment(position, position, path, descriptor, position + room)
            self._segments.append(segment)
            if not self._map(segment, room, size):
                return None
        self.open_segment = segment
        self.segment_start = position
        self.error = None
        return segment

    def _map(self, segment: Segment, room: int, size: int) -> bool:
        """Maps up to `room` bytes of a new segment and at least `size`, if it can be. False when the disk is full."""
        self.write_method = "pwrite"
        # The folder may be on another disk by now.
        if self._mapped_on is None or os.fstat(segment.descriptor).st_dev != self._mapped_on:
            return True
        self._grow()
        for wanted in (self._mapped_bytes, FIRST_MAPPED_BYTES):
            try:
                segment.map(max(min(wanted, room), size))
            except OSError as error:
                if error.errno not in FULL:
                    return True
                problem = error
            else:
                self.write_method = "mmap"
                self._begun_at = monotonic()
                return True
        self._drop_empty_segment()
        return self._fail(f"{self._folder}: {problem}")

    def _grow(self) -> None:
        """Doubles the size of mapped segments while they fill fast or pile up: each of them is an open file."""
        if self._begun_at and (len(self._segments) > 2 or monotonic() - self._begun_at < SLOW_FILL_S):
            self._mapped_bytes = min(2 * self._mapped_bytes, self._segment_bytes)

    @property
    def is_at_bound(self) -> bool:
        """Whether ``journal_max_bytes`` is what keeps the next line out."""
        return self._is_at_bound

    @property
    def newest(self) -> Segment | None:
        """The newest segment, or None when there is none."""
        return self._segments[-1] if self._segments else None

    def close_segment(self) -> None:
        """Makes the next line start a new segment."""
        segment, self.open_segment = self.open_segment, None
        if segment is not None:
            segment.leave()

    def leave_segment(self) -> None:
        """Makes the next line start a new segment, and forgets any failure."""
        self.close_segment()
        self._suspended = False
        self._retry_at = 0.0
        self.error = None

    def suspend(self, reason: str) -> None:
        """Accepts nothing until `leave_segment`; `reason` is reported as the error."""
        self.error = reason
        self._suspended = True
        # Dropping older lines would make no room now.
        self._is_at_bound = False
        self.close_segment()

    def read(self, start: int, end: int) -> bytes:
        """Reads the stream from `start` to `end`, which lie in one segment. Raises `OSError` if the file lacks them."""
        segment = next((segment for segment in self._segments if segment.start <= start < segment.end), None)
        if segment is None:
            raise OSError(f"{self._folder} no longer has a segment with byte {start} of the stream")
        data = bytearray()
        while len(data) < end - start:
            chunk = os.pread(segment.descriptor, end - start - len(data), start - segment.start + len(data))
            if not chunk:
                if segment is self.open_segment:
                    # A store beyond the end of a mapped file would end the process.
                    self.close_segment()
                raise OSError(f"{segment.path} is shorter than what was written to it")
            data += chunk
        return bytes(data)

    def release(self, needed_from: int, *, in_hand_at: int | None = None) -> None:
        """Releases segments that lie before `needed_from`, except the newest and that of the batch at `in_hand_at`.

        Released segments are collected with `take_released`.
        """
        kept: deque[Segment] = deque()
        while len(self._segments) > 1:
            segment = self._segments.popleft()
            if segment.end > needed_from or (in_hand_at is not None and segment.start <= in_hand_at < segment.end):
                kept.append(segment)
            else:
                self._let_go(segment)
        self._segments.extendleft(reversed(kept))

    def take_released(self) -> list[Segment]:
        """Hands over the released segments, which the caller deletes with `remove_segments`."""
        released, self._released = self._released, []
        return released

    def release_all(self) -> None:
        """Releases every segment."""
        while self._segments:
            self._let_go(self._segments.popleft())

    def close(self) -> None:
        """Closes the files and leaves them in place, except those that were released."""
        self.close_segment()
        while self._segments:
            os.close(self._segments.popleft().descriptor)

    def disown(self) -> None:
        """In a forked child, closes the parent's files."""
        for segment in (*self._segments, *self._released):
            segment.disown()
        self._segments.clear()
        self._released.clear()

    def _drop_empty_segment(self) -> None:
        """Removes a segment that could not be written: on a full disk each try would leave an empty file."""
        if self._segments and self._segments[-1].start == self._segments[-1].end:
            self._let_go(self._segments.pop())

    def _fail(self, reason: str) -> bool:
        self.error = reason
        self._retry_at = monotonic() + JOURNAL_RETRY_S
        self.close_segment()
        return False

    def _let_go(self, segment: Segment) -> None:
        segment.unmap()
        self._released.append(segment)
        # There may be room now.
        self._retry_at = 0.0
