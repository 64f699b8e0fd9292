"""Committed segments that are kept for a while: a database that fails over to a standby may lose what it had."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from time import monotonic

from .segment import Segment


class KeptSegments:
    """Segments in the order in which they were committed, each for `keep_s` seconds, within `max_bytes`."""

    def __init__(self, keep_s: float, max_bytes: int) -> None:
        self._keep_s = keep_s
        self._max_bytes = max_bytes
        self._segments: deque[tuple[float, Segment]] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._segments)

    def add(self, segments: Iterable[Segment]) -> None:
        """Keeps these, which were committed just now."""
        for segment in segments:
            self._segments.append((monotonic() + self._keep_s, segment))
            self._bytes += segment.end - segment.start

    def take_due(self) -> list[Segment]:
        """Hands over those whose time is over, or that exceed the bytes, the oldest first."""
        due: list[Segment] = []
        while self._segments and (self._segments[0][0] <= monotonic() or self._bytes > self._max_bytes):
            segment = self._segments.popleft()[1]
            self._bytes -= segment.end - segment.start
            due.append(segment)
        return due

    def close(self) -> None:
        """Closes the files and leaves them in place, for the next start."""
        while self._segments:
            with suppress(OSError):
                os.close(self._segments.popleft()[1].descriptor)
