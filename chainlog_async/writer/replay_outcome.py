"""What became of a dead writer's entries, also of those whose replay was cut off."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from chainlog_async.entry.batch import Batch
from chainlog_async.storage.base import BatchStorage


class Counter(Protocol):
    """Counts what is replayed, as it happens."""

    def note_replayed(self, rows: int, truncated: int = 0) -> None:
        """Adds to the number of replayed entries and of truncated lines."""


class ReplayOutcome:
    """Counts what became of one dead writer's entries."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._counted_to = 0
        self.rows = 0
        """Entries committed."""
        self.rejected = 0
        """Entries that the database rejected."""
        self.in_hand: Batch | None = None
        """The batch that is being committed, of which a part may be counted already."""

    def begin(self, batch: Batch) -> None:
        """Called before the batch is committed."""
        self.in_hand = batch
        self._counted_to = batch.start

    def mark_committed(self, batch: Batch) -> None:
        """See `BatchOutcome`."""
        self._counted_to = batch.end
        self.rows += batch.rows
        self._counter.note_replayed(batch.rows)

    def reject(self, batch: Batch, error: Exception) -> None:
        """See `BatchOutcome`."""
        self._counted_to = batch.end
        self.rejected += batch.rows

    def cut_off_at(self, position: int) -> None:
        """Counts the rest of the batch before that position, which was committed although nobody waited for it."""
        batch, self.in_hand = self.in_hand, None
        if batch is None:
            return
        counted, done = batch.part_before(self._counted_to), batch.part_before(position)
        if done.rows > counted.rows:
            lines, rows = done.lines[len(counted.lines) :], done.rows - counted.rows
            self.mark_committed(Batch(batch.writer_id, counted.end, lines, rows))


async def end_statement(storage: BatchStorage, outcomes: Iterable[ReplayOutcome]) -> bool:
    """Ends a statement of a replay that was cut off, and counts what it committed.

    Returns False when the engine does not answer in time: the statement may still commit.
    """
    for outcome in outcomes:
        if (batch := outcome.in_hand) is not None:
            position = await storage.interrupt(batch)
            outcome.cut_off_at(position or 0)
            return position is not None
    return await storage.wait_until_idle()
