"""The journal: every accepted line is in a file before `log_request` returns, so the process may die at any moment.

One writer's lines are one endless stream of bytes. It is kept in segments, files named by the place in the stream of
their first byte; "committed so far" is one number, the position, which the database keeps in the same transaction as
the rows. What lies before the position is deleted, a segment at a time.

A write goes to the page cache and is not synced: it survives the process, not a power cut.
"""

from __future__ import annotations

import os
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from .paths import segment_path

JOURNAL_RETRY_S = 1.0
"""After a failed write, how long entries stay in memory before the journal is tried again, in seconds."""

PROBE = bytes(4096)
"""What is written, and cut off again, to find out whether there is room."""


@dataclass(slots=True)
class Segment:
    """One open file of the stream."""

    start: int
    end: int
    path: Path
    descriptor: int
    full_at: int
    """The place in the stream where the next file begins at the latest; the end, once it takes no more."""

    def write(self, line: bytes, start: int, end: int) -> None:
        """Writes the line, which reaches from `start` to `end` in the stream. Raises `OSError`."""
        # pwrite, not an appending write: what a failed write left half done is simply written over.
        if os.pwrite(self.descriptor, line, start - self.start) != end - start:
            raise OSError("the disk took only a part of the line; it is full, or a quota is used up")
        self.end = end

    def is_in_place(self) -> bool:
        """Whether the file is still where it was made. Blocks for a moment."""
        try:
            return self.path.stat().st_ino == os.fstat(self.descriptor).st_ino
        except FileNotFoundError:
            return False
        except OSError:
            # It was committed and closed meanwhile.
            return True


class Journal:
    """The segments of one living writer. Not thread-safe: the queue holds its lock around every call."""

    def __init__(self, folder: Path, writer_id: str, *, max_bytes: int, segment_bytes: int) -> None:
        self._folder = folder
        self._writer_id = writer_id
        self._max_bytes = max_bytes
        self._segment_bytes = segment_bytes
        self._segments: deque[Segment] = deque()
        self._released: list[Segment] = []
        self._retry_at = 0.0
        self._suspended = self._is_at_bound = False
        self.open_segment: Segment | None = None
        """The file to go on with; None where a line has to look for its place first."""
        self.segment_start = -1
        """Where in the stream the file begins that the last line went into."""
        self.error: str | None = None
        """Why lines cannot be journaled at the moment, or None."""

    @property
    def size(self) -> int:
        """Size of the segments that are needed, in bytes."""
        return sum(segment.end - segment.start for segment in self._segments)

    def append(self, position: int, line: bytes) -> bool:
        """Writes the line at that place of the stream. False when it cannot; the line is then not in the journal."""
        segment = self.open_segment
        end = position + len(line)
        if segment is None or position != segment.end or end > segment.full_at:
            segment = self._next_segment(position, len(line))
            if segment is None:
                return False
        try:
            segment.write(line, position, end)
        except OSError as error:
            self._drop_empty_segment()
            return self._fail(f"{self._folder}: {error}")
        return True

    def try_again(self, position: int) -> None:
        """After a failure: finds out whether the next line could be written, which would go to that place."""
        if self.error is None:
            return
        segment = self._next_segment(position, len(PROBE))
        if segment is not None:
            try:
                # A full disk still makes files, and finds no room for what is in them.
                os.pwrite(segment.descriptor, PROBE, 0)
                os.ftruncate(segment.descriptor, 0)
            except OSError as error:
                self._drop_empty_segment()
                self._fail(f"{self._folder}: {error}")

    def _next_segment(self, position: int, size: int) -> Segment | None:
        if self.error is not None and (self._suspended or monotonic() < self._retry_at):
            return None
        self._is_at_bound = self.size + size > self._max_bytes
        if self._is_at_bound:
            self._fail(f"the journal has reached journal_max_bytes ({self._max_bytes} bytes)")
            return None
        # A line that is larger than a segment gets one of its own; no segment takes the journal over its bound.
        room = max(min(self._segment_bytes, self._max_bytes - self.size), size)
        newest = self.newest
        path = segment_path(self._folder, self._writer_id, position)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError as error:
            if newest is None or not newest.start == newest.end == position:
                self._fail(f"{self._folder}: {error}")
                return None
            # Begun, and nothing is in it yet: another of that name could not be made.
            segment = newest
            segment.full_at = position + room
        except OSError as error:
            self._fail(f"{self._folder}: {error}")
            return None
        else:
            segment = Segment(position, position, path, descriptor, position + room)
            self._segments.append(segment)
        self.open_segment = segment
        self.segment_start = position
        self.error = None
        return segment

    @property
    def is_at_bound(self) -> bool:
        """Whether it is ``journal_max_bytes`` that keeps the next line out."""
        return self._is_at_bound

    @property
    def newest(self) -> Segment | None:
        """The segment that is being written."""
        return self._segments[-1] if self._segments else None

    def leave_segment(self) -> None:
        """The next line begins a new file."""
        self._leave_segment()
        self._suspended = False
        self._retry_at = 0.0
        self.error = None

    def suspend(self, reason: str) -> None:
        """Takes nothing in until `leave_segment`."""
        self.error = reason
        self._suspended = True
        # What is dropped for its sake would make no room now.
        self._is_at_bound = False
        self._leave_segment()

    def read(self, start: int, end: int) -> bytes:
        """The stream from `start` to `end`, which lie in one segment. Raises `OSError` when the file lost them."""
        segment = next((segment for segment in self._segments if segment.start <= start < segment.end), None)
        if segment is None:
            raise OSError(f"{self._folder} has no segment with byte {start} of the stream any more")
        data = bytearray()
        while len(data) < end - start:
            chunk = os.pread(segment.descriptor, end - start - len(data), start - segment.start + len(data))
            if not chunk:
                raise OSError(f"{segment.path} is shorter than what was written to it")
            data += chunk
        return bytes(data)

    def release(self, needed_from: int, *, in_hand_at: int | None = None) -> None:
        """What lies before `needed_from` is not needed, but for the batch in hand, which begins at `in_hand_at`.

        Segments that hold nothing else wait for `take_released`; the newest one stays.
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
        """Segments that `remove_segments` may delete; the caller has them alone."""
        released, self._released = self._released, []
        return released

    def release_all(self) -> None:
        """Nothing of the stream is needed any more."""
        while self._segments:
            self._let_go(self._segments.popleft())

    def close(self) -> None:
        """Closes the files and leaves them where they are, but for those that are released."""
        while self._segments:
            os.close(self._segments.popleft().descriptor)

    def disown(self) -> None:
        """In a forked child: closes what is the parent's."""
        for segment in (*self._segments, *self._released):
            os.close(segment.descriptor)
        self._segments.clear()
        self._released.clear()

    def _drop_empty_segment(self) -> None:
        """On a full disk every try may get as far as a new file: they must not add up."""
        if self._segments and self._segments[-1].start == self._segments[-1].end:
            self._let_go(self._segments.pop())

    def _leave_segment(self) -> None:
        if self.open_segment is not None:
            # Said in the segment itself: whoever goes on with it looks there alone.
            self.open_segment.full_at = self.open_segment.end
        self.open_segment = None

    def _fail(self, reason: str) -> bool:
        self.error = reason
        self._retry_at = monotonic() + JOURNAL_RETRY_S
        self._leave_segment()
        return False

    def _let_go(self, segment: Segment) -> None:
        self._released.append(segment)
        # There may be room again.
        self._retry_at = 0.0


def remove_segments(segments: list[Segment]) -> list[Segment]:
    """Deletes the files and returns those that could not be. Blocks for a moment; call it in a thread."""
    left: list[Segment] = []
    for segment in segments:
        try:
            segment.path.unlink(missing_ok=True)
        except OSError:
            left.append(segment)
        else:
            os.close(segment.descriptor)
    return left
