"""Counts what became of every entry."""

from __future__ import annotations

from collections import Counter

from chainlog_async.common.clock import now_ms
from chainlog_async.common.histogram import Tally
from chainlog_async.statistics import BATCH_BOUNDS, DropReason, EntryCounts

from .backlog import Backlog


class Accounting:
    """Counters of entries that were refused, written and dropped. Only `refuse_nested` is thread-safe."""

    def __init__(self) -> None:
        self.written = self.replayed = self.truncated = self.batches = 0
        self.batch_entries = Tally(BATCH_BOUNDS)
        self.last_commit_at: int | None = None
        self.repaired: Counter[str] = Counter()
        self._refused = 0
        self._dropped: Counter[DropReason] = Counter()
        # A signal handler may interrupt any update below, or another handler. `+=` is not atomic and would lose a
        # count; appending a byte is.
        self._nested = bytearray()

    def refuse(self, reason: DropReason) -> None:
        """Counts an entry that was not accepted."""
        self._refused += 1
        self._dropped[reason] += 1

    def refuse_nested(self) -> None:
        """Counts an entry that was logged while its own thread was updating these counters."""
        self._nested.append(0)

    def drop(self, reason: DropReason, rows: int) -> None:
        """Counts accepted entries that will not be written."""
        self._dropped[reason] += rows

    def mark_committed(self, rows: int) -> None:
        """Counts a committed batch."""
        self.written += rows
        self.batches += 1
        self.batch_entries.add(rows)
        self.last_commit_at = now_ms()

    def losses(self) -> tuple[int, dict[str, int]]:
        """Returns, as of one moment, how many entries were refused and how many were dropped, by reason."""
        # Read once: a signal handler may append to it at any point.
        nested = len(self._nested)
        dropped: dict[str, int] = {reason: count for reason, count in self._dropped.items() if count}
        if nested:
            dropped["nested"] = nested
        return self._refused + nested, dropped

    def counts(self, backlog: Backlog, journal_error: str | None) -> EntryCounts:
        """A snapshot, with what waits in this backlog and why its journal fails, if it does."""
        journal = backlog.journal
        refused, dropped = self.losses()
        return EntryCounts(
            submitted=backlog.accepted + refused,
            written=self.written,
            pending=backlog.rows,
            dropped=dropped,
            pending_bytes=backlog.size,
            peak_pending=max(backlog.peak_rows, backlog.rows),
            oldest_pending_ms=1_000 * backlog.oldest_age_s,
            journal="failing" if journal_error is not None else "on" if journal else "off",
            journal_write=journal.write_method if journal else None,
            journal_bytes=journal.size if journal else 0,
            journal_error=journal_error,
            replayed=self.replayed,
            truncated=self.truncated,
            repaired=dict(self.repaired),
            batches=self.batches,
            batch_entries=self.batch_entries.histogram(),
            last_commit_at=self.last_commit_at,
        )
