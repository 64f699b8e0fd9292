"""Replays the journals that dead writers left behind, exactly once."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from chainlog_async.buffer.journal_manager import JournalManager
from chainlog_async.buffer.lease import Lease
from chainlog_async.buffer.queue import EntryQueue
from chainlog_async.buffer.recovery import Damaged, DeadJournal
from chainlog_async.common.cancellation import run_in_thread, run_shielded
from chainlog_async.entry.batch import Batch
from chainlog_async.storage.base import BatchStorage

from .committer import BatchOutcome, Committer
from .replay_outcome import Counter, ReplayOutcome, end_statement

logger = logging.getLogger(__name__)

Commit = Callable[[Batch, BatchOutcome], Awaitable[None]]
"""Returns when every row of the batch is committed or rejected, and counted."""


@dataclass(slots=True)
class Replayed:
    """What was replayed so far."""

    journals: int = 0
    rows: int = 0
    """Entries committed."""
    rejected: int = 0
    """Entries that the database rejected."""
    truncated: int = 0
    """Truncated lines, which were skipped."""

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
    outcomes: dict[str, ReplayOutcome],
) -> None:
    """Takes over the journal of every dead writer, commits what is not committed yet, and deletes it.

    After a cancellation another call continues, with the same `outcomes`; after a kill, the next start. A journal that
    cannot be read is reported to `on_unreadable` and left for a later call, so that new entries are still written.
    Raises what the engine raises.
    """
    dead = await journals.take_dead(on_unreadable)
    try:
        while dead:
            lease = dead.pop()
            try:
                await replay(
                    [lease], storage, committer.commit, queue, max_batch_rows=max_batch_rows, outcomes=outcomes
                )
            except OSError as error:
                on_unreadable(
                    f"the journal of an earlier writer, {lease.writer_id}, cannot be replayed and is kept: {error}"
                )
    finally:
        await release_all(dead)


async def replay(
    leases: list[Lease],
    storage: BatchStorage,
    commit: Commit,
    counter: Counter,
    *,
    max_batch_rows: int,
    outcomes: dict[str, ReplayOutcome] | None = None,
) -> Replayed:
    """Replays the journals of leases that are already taken, and releases every lease. Raises what `commit` raises.

    `outcomes`, by writer id, has what an earlier call replayed of journals before it was cancelled.
    """
    total = Replayed()
    outcomes = {} if outcomes is None else outcomes
    try:
        while leases:
            outcome = outcomes.setdefault(leases[-1].writer_id, ReplayOutcome(counter))
            await _replay(leases[-1], storage, commit, counter, outcome, total, max_batch_rows)
            lease = leases.pop()
            await run_in_thread(lease.release, remove=True)
    except BaseException:
        # A cancelled statement may still be running, and could commit after another process has replayed the journal
        # and deleted the position. Unless the engine confirms that it has ended, the lock is kept until this process
        # ends.
        if not await run_shielded(end_statement(storage, outcomes.values())) and leases:
            leases.pop()
        raise
    finally:
        await release_all(leases)
    return total


async def release_all(leases: list[Lease]) -> None:
    """Releases the leases and leaves their journals in place."""
    await run_shielded(_release_all(leases))


async def _release_all(leases: list[Lease]) -> None:
    while leases:
        await run_in_thread(leases.pop().release, remove=False)


async def _replay(
    lease: Lease,
    storage: BatchStorage,
    commit: Commit,
    counter: Counter,
    outcome: ReplayOutcome,
    total: Replayed,
    max_batch_rows: int,
) -> None:
    journal = DeadJournal(lease, await storage.position(lease.writer_id), max_batch_rows=max_batch_rows)
    try:
        while part := await journal.next_part():
            if isinstance(part, Damaged):
                await storage.reject(part.batch, part.error)
                outcome.rejected += 1
            else:
                outcome.begin(part)
                await commit(part, outcome)
                outcome.in_hand = None
    finally:
        await journal.close()
    counter.note_replayed(0, journal.truncated)
    # In this order: a kill in between leaves lines that the database knows, or a lock file without a journal.
    await journal.delete()
    await storage.forget(lease.writer_id)
    if outcome.rows or outcome.rejected or journal.truncated:
        logger.warning(
            "an earlier writer was killed: %d entries were written from its journal, %d were rejected, and %d "
            "truncated lines were skipped",
            outcome.rows,
            outcome.rejected,
            journal.truncated,
        )
    total.journals += 1
    total.rows += outcome.rows
    total.rejected += outcome.rejected
    total.truncated += journal.truncated
