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


JournalWriteMethod = Literal["mmap", "pwrite"]
"""How lines get into the journal: stored into a file that is mapped into memory, or by a system call for each."""


class EntryCounts(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What became of the entries. ``submitted == written + pending + sum(dropped.values())``, always."""

    submitted: int
    """Entries handed in, valid or not."""
    written: int
    """Entries committed to the database."""
    pending: int
    """Entries accepted and not committed yet, including the batch being written."""
    dropped: dict[str, int]
    """Entries that will not reach the database, by reason; only reasons that occurred.

    ``invalid``: a value cannot be stored. ``queue_full``: no room. ``closed``: handed in after shutdown. ``rejected``:
    refused by the database and kept in its table ``rejected_entries``. ``shutdown``: in memory when shutdown ran out of
    time. ``journal_lost``: the journal was truncated by another program. ``nested``: handed in by a finalizer or signal
    handler that had interrupted the log itself.
    """
    pending_bytes: int
    """Size of the pending entries' lines, in bytes."""
    peak_pending: int
    """The highest number of entries that waited at once."""
    oldest_pending_ms: float
    """How long the oldest pending entry has waited, in ms; 0 when none waits.

    Waiting time is measured per batch, so it may be too high by the time in which that batch filled up.
    """
    journal: Literal["on", "off", "failing"]
    """``failing``: entries wait in memory for now and would not survive a kill."""
    journal_write: JournalWriteMethod | None
    """How lines are written to the journal at present; None without a journal. See the setting `journal_write`."""
    journal_bytes: int
    """Size of the lines in the journal's files, in bytes; up to one file's size is reserved beyond that."""
    journal_error: str | None
    """Why the journal fails, or None."""
    replayed: int
    """Entries of dead writers that this one committed; not part of the sum above."""
    truncated: int
    """Truncated lines at the end of dead writers' journals: entries whose `log_request` never returned."""
    repaired: dict[str, int]
    """Accepted entries of which a value could not be stored as it was, by field; only fields where that occurred.

    The value was cut, converted or left out, and the metadata of the request names the field under
    ``chainlog_repaired``.
    """
    batches: int
    """Batches committed."""
    batch_entries: Histogram
    """Sizes of these batches, in entries; their sum is `written`."""
    last_commit_at: int | None
    """When the last batch was committed, in ms since the epoch, UTC."""


class OtelExportCounts(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What this process has sent as spans of OpenTelemetry; see the setting `otel_export`."""

    is_exporting: bool
    """Whether this process sends; one process of a log does."""
    requests: int
    """Requests that were sent and taken, with those that were sent again."""
    spans: int
    """Spans of these requests."""
    rejected_spans: int
    """Spans among them that the endpoint says it rejected."""
    refused_requests: int
    """Requests that the endpoint refused each on its own, and that are not sent again."""
    failures: int
    """Tries that failed; each was followed by another one."""
    pending: int
    """Requests in the database that were not sent yet, as of the last look."""
    last_error: str | None
    """Why the last try failed; kept after recovery."""


class Statistics(EntryCounts, frozen=True, kw_only=True, rename="camel"):
    """What became of the entries, and what the writer and the storage engine report, at one moment."""

    commit_ms: Histogram
    """Durations of successful commits, in ms, including the way to the database's thread and back."""
    retries: int
    """Commits that failed and were tried again."""
    checkpoints_complete: int
    """Checkpoints, besides SQLite's own, that moved all of the write-ahead log."""
    checkpoints_partial: int
    """Checkpoints that a reader or another process kept from moving all of it."""
    wal_bytes: int
    """Size of the write-ahead log, in bytes, as of about a second ago, or longer while commits fail."""
    database_bytes: int
    """Size of the database without its write-ahead log, in bytes, as of the same time."""
    gil_yield_ms: float
    """Total time that the event loop has paused for the threads of writer and reads, in ms; 0 on a loop that idles."""
    last_error: str | None
    """The writer's last error, with the engine's name for it; kept after recovery."""
    last_error_at: int | None
    """When that was, in ms since the epoch, UTC."""
    otel_export: OtelExportCounts | None = None
    """None while nothing is exported."""


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """Whether entries reach the database."""

    status: Literal["ok", "degraded", "failed"]
    """``degraded``: entries are kept and will be written; ``failed``: an operator has to act."""
    reasons: tuple[str, ...] = ()
    """Why it is not ok, with the remedy."""
    notes: tuple[str, ...] = ()
    """What an operator should know although nothing is wrong."""
    journal_write: JournalWriteMethod | None = None
    """How lines are written to the journal at present; None without a journal."""
