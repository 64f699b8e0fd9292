"""Journals that dead writers left behind, read back and written, exactly once."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from chainlog_async.buffer.journal_manager import JournalManager
from chainlog_async.buffer.lease import Lease
from chainlog_async.buffer.queue import EntryQueue
from chainlog_async.buffer.recovery import Damaged, DeadJournal
from chainlog_async.common.cancellation import run_in_thread, run_shielded
from chainlog_async.entry.batch import Batch
from chainlog_async.storage.base import BatchStorage

from .committer import BatchOutcome, Committer

logger = logging.getLogger("chainlog_async")

Commit = Callable[[Batch, BatchOutcome], Awaitable[None]]
"""Returns when every row of the batch is committed or rejected, and has been counted."""


class Counter(Protocol):
    """Who counts what is replayed, as it happens."""

    def note_replayed(self, rows: int, truncated: int = 0) -> None:
        """So many more entries are committed, and so many lines were found unfinished."""


@dataclass(slots=True)
class Replayed:
    """What was done with journals of dead writers."""

    journals: int = 0
    rows: int = 0
    """Entries committed."""
    rejected: int = 0
    """Entries put aside in `rejected_entries`."""
    truncated: int = 0
    """Unfinished lines."""

    def __add__(self, other: Replayed) -> Replayed:
        return Replayed(
            self.journals + other.journals,
            self.rows + other.rows,
            self.rejected + other.rejected,
            self.truncated + other.truncated,
        )


async def replay_dead_writers(
    journals: JournalManager,
    storage: BatchStorage,
    committer: Committer,
    queue: EntryQueue,
    *,
    max_batch_rows: int,
    on_unreadable: Callable[[str], None],
) -> None:
    """Takes over every journal whose writer is dead, commits what is not committed yet, and deletes it.

    A kill or a cancellation in the middle leaves the rest to the next taker. One that cannot be read is left to it,
    too, for it must not keep the living from being written. Raises what the storage engine raises.
    """
    dead = await journals.take_dead(on_unreadable)
    try:
        while dead:
            lease = dead.pop()
            try:
                await replay([lease], storage, committer.commit, queue, max_batch_rows=max_batch_rows)
            except OSError as error:
                on_unreadable(f"the journal of a writer before this one, {lease.writer_id}, stays as it is: {error}")
    finally:
        await release_all(dead)


async def replay(
    leases: list[Lease], storage: BatchStorage, commit: Commit, counter: Counter, *, max_batch_rows: int
) -> Replayed:
    """The same with leases that were taken already; each is released in the end. Raises what `commit` raises, too."""
    total = Replayed()
    try:
        while leases:
            await _replay(leases[-1], storage, commit, counter, total, max_batch_rows)
            lease = leases.pop()
            await run_in_thread(lease.release, remove=True)
    except BaseException:
        # A statement that was cancelled may run yet, and commit when the next taker is done and has forgotten the
        # position. Where the database does not say that it is over, the lock ends with this process.
        if not await run_shielded(storage.wait_until_idle()) and leases:
            leases.pop()
        raise
    finally:
        await release_all(leases)
    return total


async def release_all(leases: list[Lease]) -> None:
    """Leaves what belongs to them to the next taker."""
    await run_shielded(_release_all(leases))


async def _release_all(leases: list[Lease]) -> None:
    while leases:
        await run_in_thread(leases.pop().release, remove=False)


async def _replay(
    lease: Lease, storage: BatchStorage, commit: Commit, counter: Counter, total: Replayed, max_batch_rows: int
) -> None:
    journal = DeadJournal(lease, await storage.position(lease.writer_id), max_batch_rows=max_batch_rows)
    outcome = _ReplayOutcome(counter)
    try:
        while part := await journal.next_part():
            if isinstance(part, Damaged):
                await storage.reject(part.batch, part.error)
                outcome.rejected += 1
            else:
                await commit(part, outcome)
    finally:
        await journal.close()
    counter.note_replayed(0, journal.truncated)
    # In this order: a kill in between leaves files whose lines the database knows, or a lock file without a journal.
    await journal.delete()
    await storage.forget(lease.writer_id)
    if outcome.rows or outcome.rejected or journal.truncated:
        logger.warning(
            "a writer before this one was killed: %d entries were written from its journal, %d put aside in "
            "rejected_entries, %d were unfinished",
            outcome.rows,
            outcome.rejected,
            journal.truncated,
        )
    total.journals += 1
    total.rows += outcome.rows
    total.rejected += outcome.rejected
    total.truncated += journal.truncated


class _ReplayOutcome:
    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self.rows = 0
        self.rejected = 0

    def mark_committed(self, batch: Batch) -> None:
        self.rows += batch.rows
        self._counter.note_replayed(batch.rows)

    def reject(self, batch: Batch, error: Exception) -> None:
        self.rejected += batch.rows
