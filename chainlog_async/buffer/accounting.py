"""What became of the entries, in numbers."""

from __future__ import annotations

from collections import Counter

from chainlog_async.common.clock import now_ms
from chainlog_async.common.histogram import Tally
from chainlog_async.statistics import BATCH_BOUNDS, DropReason


class Accounting:
    """Counts what is refused, written and dropped. Not thread-safe, but for `refuse_nested`."""

    def __init__(self) -> None:
        self.written = self.replayed = self.truncated = self.batches = 0
        self.batch_entries = Tally(BATCH_BOUNDS)
        self.last_commit_at: int | None = None
        self._refused = 0
        self._dropped: Counter[DropReason] = Counter()
        # A signal handler may interrupt another one, and both any change below. `+=` of the one would undo that of the
        # other; adding a byte is one step.
        self._nested = bytearray()

    def refuse(self, reason: DropReason) -> None:
        """An entry is not taken in."""
        self._refused += 1
        self._dropped[reason] += 1

    def refuse_nested(self) -> None:
        """An entry came while its thread was in the middle of changing these numbers."""
        self._nested.append(0)

    def drop(self, reason: DropReason, rows: int) -> None:
        """Entries that were taken in are abandoned."""
        self._dropped[reason] += rows

    def mark_committed(self, rows: int) -> None:
        """A batch is committed."""
        self.written += rows
        self.batches += 1
        self.batch_entries.add(rows)
        self.last_commit_at = now_ms()

    def losses(self) -> tuple[int, dict[str, int]]:
        """How many entries were not taken in, and how many will not reach the database by reason, at one moment."""
        # Read once: a signal handler may add to it at any point.
        nested = len(self._nested)
        dropped: dict[str, int] = {reason: count for reason, count in self._dropped.items() if count}
        if nested:
            dropped["nested"] = nested
        return self._refused + nested, dropped
