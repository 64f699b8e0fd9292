"""Reading the journal that a dead writer left behind."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from chainlog_async.common.cancellation import run_in_thread
from chainlog_async.entry.batch import Batch
from chainlog_async.entry.line import check_line
from chainlog_async.errors import InvalidEntryError

from .backlog import MAX_BLOCK_BYTES
from .lease import Lease
from .paths import segments_of
from .segment import written_size


@dataclass(frozen=True, slots=True)
class Damaged:
    """A complete line that is not a valid entry."""

    batch: Batch
    error: InvalidEntryError


class _Place(NamedTuple):
    """Where a journal is, without a lock on it."""

    folder: Path
    writer_id: str


class DeadJournal:
    """The uncommitted lines of a dead writer, in order."""

    def __init__(self, lease: Lease | _Place, position: int, *, max_batch_rows: int) -> None:
        self.writer_id = lease.writer_id
        self.truncated = 0
        """Truncated lines: the writer died or the disk was full in the middle of the write."""
        self._lease = lease
        self._max_rows = max_batch_rows
        self._parts = self._read(position)

    async def next_part(self) -> Batch | Damaged | None:
        """Returns the next lines to commit, or None at the end. Raises `OSError`."""
        return await run_in_thread(next, self._parts, None)

    async def close(self) -> None:
        """Closes the file that is being read."""
        await run_in_thread(self._parts.close)

    async def delete(self) -> None:
        """Deletes the segments, once everything is committed. Raises `OSError`."""
        await run_in_thread(self._unlink)

    def _unlink(self) -> None:
        for _, path in segments_of(self._lease.folder, self.writer_id):
            path.unlink(missing_ok=True)

    def _read(self, position: int) -> Generator[Batch | Damaged]:
        segments = segments_of(self._lease.folder, self.writer_id)
        ends = [*(start for start, _ in segments[1:]), None]
        # A writer that logged nothing has a lock but no segment, and so one end too many.
        for (start, path), end in zip(segments, ends, strict=False):
            yield from self._read_segment(start, path, max(position, start), end)

    def _read_segment(self, start: int, path: Path, position: int, end: int | None) -> Generator[Batch | Damaged]:
        with path.open("rb", buffering=MAX_BLOCK_BYTES) as file:
            length = written_size(file)
            left = (length if end is None else min(end - start, length)) - (position - start)
            if left <= 0:
                return
            file.seek(position - start)
            # Whatever a failed write left at the end, the next segment holds again.
            is_held_again = end is not None and end - start <= length
            lines: list[bytes] = []
            size = 0
            while left > 0:
                line = file.readline(left)
                left -= len(line)
                if not line.endswith(b"\n"):
                    self.truncated += not is_held_again
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


async def kept_batches(
    folder: Path, writer_id: str, position: int, until: int, *, max_batch_rows: int
) -> AsyncGenerator[Batch]:
    """What a journal holds of a writer's stream from `position` to before `until`, damaged lines left out.

    The writer may be this very process. Raises `OSError`.
    """
    journal = DeadJournal(_Place(folder, writer_id), position, max_batch_rows=max_batch_rows)
    try:
        while (part := await journal.next_part()) is not None:
            if not isinstance(part, Damaged):
                batch = part if part.end <= until else part.part_before(until)
                if batch.rows:
                    yield batch
                if batch.end < part.end:
                    return
    finally:
        await journal.close()


def _error_in(line: bytes) -> InvalidEntryError | None:
    try:
        check_line(line)
    except InvalidEntryError as error:
        return error
    return None
