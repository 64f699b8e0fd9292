"""A segment: one file of the journal while its writer runs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(slots=True)
class Segment:
    """One open file of the stream."""

    start: int
    end: int
    path: Path
    descriptor: int
    full_at: int
    """Stream position at which the next segment begins at the latest; `end` once this one is closed for writing."""

    def write(self, line: bytes, start: int, end: int) -> None:
        """Writes the line and its newline at stream positions `start` to `end`. Raises `OSError`."""
        # pwrite rather than append, so that a line after a failed write overwrites what that left behind.
        if os.pwrite(self.descriptor, line + b"\n", start - self.start) != end - start:
            raise OSError("only part of the line was written; the disk is full or a quota is exceeded")
        self.end = end

    def is_in_place(self) -> bool:
        """Whether the file is still at its path. Blocks briefly."""
        try:
            return self.path.stat().st_ino == os.fstat(self.descriptor).st_ino
        except FileNotFoundError:
            return False
        except OSError:
            # It was committed and closed in the meantime.
            return True


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
