"""What became of the entries, in numbers."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Literal

from chainlog_async.common.clock import now_ms
from chainlog_async.common.histogram import Tally
from chainlog_async.statistics import BATCH_BOUNDS, DropReason, Statistics

if TYPE_CHECKING:
    from chainlog_async.writer.health import HealthState

    from .backlog import Backlog


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
        """An entry came while its thread was in the middle of a change of the books."""
        self._nested.append(0)

    def drop(self, reason: DropReason, rows: int) -> None:
        """Entries that were taken in are given up."""
        self._dropped[reason] += rows

    def mark_committed(self, rows: int) -> None:
        """A batch is committed."""
        self.written += rows
        self.batches += 1
        self.batch_entries.add(rows)
        self.last_commit_at = now_ms()

    def statistics(
        self, backlog: Backlog, health: HealthState, *, journal_error: str | None, gil_yield_ms: float
    ) -> Statistics:
        """The books at this moment, with what waits and the writer's notes."""
        nested = len(self._nested)
        dropped: dict[str, int] = {reason: count for reason, count in self._dropped.items() if count}
        if nested:
            dropped["nested"] = nested
        journal: Literal["on", "off", "failing"] = "off" if backlog.journal is None else "on"
        return Statistics(
            submitted=backlog.accepted + self._refused + nested,
            written=self.written,
            pending=backlog.rows,
            dropped=dropped,
            pending_bytes=backlog.size,
            peak_pending=max(backlog.peak_rows, backlog.rows),
            oldest_pending_ms=1_000 * backlog.oldest_age_s,
            batches=self.batches,
            batch_entries=self.batch_entries.histogram(),
            commit_ms=health.commit_ms.histogram(),
            retries=health.retries,
            journal=journal if journal_error is None else "failing",
            journal_bytes=backlog.journal.size if backlog.journal else 0,
            journal_error=journal_error,
            replayed=self.replayed,
            truncated=self.truncated,
            gil_yield_ms=gil_yield_ms,
            last_commit_at=self.last_commit_at,
            last_error=health.last_error,
            last_error_at=health.last_error_at,
            wal_bytes=health.wal_bytes,
            database_bytes=health.database_bytes,
            checkpoints_complete=health.checkpoints_complete,
            checkpoints_partial=health.checkpoints_partial,
        )
