"""What the log reports about itself: counters and health."""

from __future__ import annotations

from typing import Literal

import msgspec

from chainlog_async.common.histogram import Histogram

BATCH_BOUNDS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)
"""Upper bounds of the histogram of batch sizes, in entries."""

COMMIT_BOUNDS_MS = (1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000)
"""Upper bounds of the histogram of commit times, in ms."""

DropReason = Literal["invalid", "queue_full", "closed", "rejected", "shutdown", "journal_lost", "nested"]
"""Why an entry does not reach the database: see `EntryCounts.dropped`."""


class EntryCounts(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What became of the entries. ``submitted == written + pending + sum(dropped.values())``, always."""

    submitted: int
    """Entries handed in, good or bad."""
    written: int
    """Entries committed to the database."""
    pending: int
    """Entries accepted and not committed yet, the batch in hand included."""
    dropped: dict[str, int]
    """Entries that will not reach the database, by reason; only reasons that occurred.

    ``invalid``: a value that cannot be stored. ``queue_full``: no room. ``closed``: handed in after shutdown.
    ``rejected``: refused by the database itself, and kept in its table ``rejected_entries``. ``shutdown``: waiting in
    memory when shutdown ran out of time. ``journal_lost``: somebody cut the journal of a running process. ``nested``:
    handed in by a finalizer or signal handler that had interrupted the log itself.
    """
    pending_bytes: int
    """Size of the pending entries' lines, in bytes."""
    peak_pending: int
    """Most entries that ever waited at once."""
    oldest_pending_ms: float
    """For how long the oldest pending entry has waited, in ms, the batch in hand included; 0 when none waits.

    Entries are dated a batch at a time, so it may be too much by the time in which that batch came together.
    """
    journal: Literal["on", "off", "failing"]
    """``failing``: entries wait in memory for now and would not survive a kill."""
    journal_bytes: int
    """Size of the journal on disk, in bytes."""
    journal_error: str | None
    """Why the journal fails."""
    replayed: int
    """Entries of dead writers that this one committed; not part of the sum above."""
    truncated: int
    """Unfinished lines at the end of dead writers' journals: entries whose `log_request` never returned."""
    batches: int
    """Batches committed."""
    batch_entries: Histogram
    """Sizes of these batches, in entries; their sum is `written`."""
    last_commit_at: int | None
    """When the last batch was committed, in ms since the epoch, UTC."""


class Statistics(EntryCounts, frozen=True, kw_only=True, rename="camel"):
    """What became of the entries, and what the writer and the storage engine report, at one moment."""

    commit_ms: Histogram
    """How long commits took that succeeded, in ms, the way to the database's thread and back included."""
    retries: int
    """Commits that failed and were tried again."""
    checkpoints_complete: int
    """Checkpoints, beyond SQLite's own, that moved all of the write-ahead log."""
    checkpoints_partial: int
    """Checkpoints that a reader, or another process's checkpoint, kept from moving all of it."""
    wal_bytes: int
    """Size of the write-ahead log, in bytes, a second old, or more while commits fail."""
    database_bytes: int
    """Size of the database's file, without its write-ahead log, in bytes, as old as that."""
    gil_yield_ms: float
    """How long the event loop has paused for the writer's thread, in ms in all; 0 on a loop that idles."""
    last_error: str | None
    """The last error of the writer, with SQLite's name for it; kept after recovery."""
    last_error_at: int | None
    """When that was, in ms since the epoch, UTC."""


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """Whether entries reach the database."""

    status: Literal["ok", "degraded", "failed"]
    """``degraded``: entries are kept and will be written; ``failed``: somebody has to do something."""
    reasons: tuple[str, ...] = ()
    """Why it is not ok, in words, with the remedy."""
    notes: tuple[str, ...] = ()
    """What is worth knowing and does not make it less than ok."""
