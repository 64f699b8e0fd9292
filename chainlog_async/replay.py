"""Journals that dead writers left behind, read back and written, exactly once."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from anyio import CancelScope, to_thread

from .backlog import MAX_BLOCK_BYTES, Batch
from .committer import Committer
from .entry import check_line
from .errors import InvalidEntryError
from .lease import Lease, segments_of
from .queue import EntryQueue
from .store import Store
from .stream import Stream

logger = logging.getLogger("chainlog_async")


async def replay_dead_writers(
    stream: Stream, store: Store, committer: Committer, queue: EntryQueue, *, max_batch_rows: int
) -> None:
    """Takes over every journal whose writer is dead, commits what is not committed yet, and deletes it.

    A kill or a cancellation in the middle leaves the rest to the next taker. Raises `OSError` or `sqlite3.Error`.
    """
    leases = await stream.take_dead()
    try:
        while leases:
            await _replay(leases[-1], store, committer, queue, max_batch_rows)
            lease = leases.pop()
            await to_thread.run_sync(partial(lease.release, remove=True))
    finally:
        with CancelScope(shield=True):
            for lease in leases:
                await to_thread.run_sync(partial(lease.release, remove=False))


async def _replay(lease: Lease, store: Store, committer: Committer, queue: EntryQueue, max_batch_rows: int) -> None:
    journal = DeadJournal(lease, await store.position(lease.writer_id), max_batch_rows=max_batch_rows)
    books = _ReplayBooks(queue)
    while part := await journal.next_part():
        if isinstance(part, Damaged):
            await store.reject(part.batch, part.error)
            books.rejected += 1
        else:
            await committer.commit(part, books)
    queue.note_replayed(0, journal.torn)
    # In this order: a kill in between leaves files whose lines the database knows, or a lock file without a journal.
    await journal.delete()
    await store.forget_position(lease.writer_id)
    if books.rows or books.rejected or journal.torn:
        logger.warning(
            "a writer before this one was killed: %d entries were written from its journal, %d put aside in "
            "rejected_entries, %d were unfinished",
            books.rows,
            books.rejected,
            journal.torn,
        )


class _ReplayBooks:
    def __init__(self, queue: EntryQueue) -> None:
        self._queue = queue
        self.rows = 0
        self.rejected = 0

    def settle(self, batch: Batch) -> None:
        self.rows += batch.rows
        self._queue.note_replayed(batch.rows)

    def reject(self, batch: Batch, error: Exception) -> None:
        self.rejected += batch.rows


@dataclass(frozen=True, slots=True)
class Damaged:
    """One whole line that cannot be an entry."""

    batch: Batch
    error: InvalidEntryError


class DeadJournal:
    """The lines of a dead writer that are not committed, in order."""

    def __init__(self, lease: Lease, position: int, *, max_batch_rows: int) -> None:
        self.writer_id = lease.writer_id
        self.torn = 0
        """Lines whose end is missing: their writer died, or the disk was full, in the middle of the write."""
        self._lease = lease
        self._max_rows = max_batch_rows
        self._parts = self._read(position)

    async def next_part(self) -> Batch | Damaged | None:
        """The next lines to commit, or None at the end. Raises `OSError`."""
        return await to_thread.run_sync(next, self._parts, None)

    async def delete(self) -> None:
        """After everything was committed. Raises `OSError`."""
        await to_thread.run_sync(self._unlink)

    def _unlink(self) -> None:
        for _, path in segments_of(self._lease.folder, self.writer_id):
            path.unlink(missing_ok=True)

    def _read(self, position: int) -> Iterator[Batch | Damaged]:
        for start, path in segments_of(self._lease.folder, self.writer_id):
            yield from self._read_segment(start, path, max(position, start))

    def _read_segment(self, start: int, path: Path, position: int) -> Iterator[Batch | Damaged]:
        with path.open("rb", buffering=MAX_BLOCK_BYTES) as file:
            if position - start >= os.fstat(file.fileno()).st_size:
                return
            file.seek(position - start)
            lines: list[bytes] = []
            size = 0
            for line in file:
                if not line.endswith(b"\n"):
                    self.torn += 1
                    break
                error = _error_in(line)
                if lines and (error or len(lines) >= self._max_rows or size >= MAX_BLOCK_BYTES):
                    yield Batch(self.writer_id, position, b"".join(lines), len(lines))
                    position += size
                    lines, size = [], 0
                if error:
                    yield Damaged(Batch(self.writer_id, position, line, 1), error)
                    position += len(line)
                else:
                    lines.append(line)
                    size += len(line)
            if lines:
                yield Batch(self.writer_id, position, b"".join(lines), len(lines))


def _error_in(line: bytes) -> InvalidEntryError | None:
    try:
        check_line(line)
    except InvalidEntryError as error:
        return error
    return None
