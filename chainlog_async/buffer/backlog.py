"""Entries that are accepted and not committed: lines in order, grouped into blocks that become batches.

A writer's lines form one stream of bytes, so how far it is committed is a single number, the position. With a journal
the lines are in its files and only the blocks are in memory. Without one, or while it cannot be written, the lines are
in memory too, within bounds. Not thread-safe: `EntryQueue` holds its lock around every call.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from chainlog_async.entry.batch import Batch
from chainlog_async.errors import QueueFullError

from .journal import Journal
from .segment import Segment

MAX_BLOCK_BYTES = 1024 * 1024
"""Size in bytes at which a block is closed, however few rows it has; SQLite's limit for one value is 1 GB."""

MIN_BLOCK_ROWS = 256
"""Rows in a block even when batches are smaller: blocks are what a long journal costs in memory."""

IN_MEMORY = -1


@dataclass(slots=True)
class Block:
    """Consecutive lines kept in the same place: one batch, or several small ones."""

    start: int
    end: int
    place: int
    """`IN_MEMORY`, or the start of the journal segment that holds the lines."""
    full_at: int
    """Stream position from which the block accepts no more lines."""
    since: float
    """When its first line was accepted, in seconds on the monotonic clock."""
    first: int
    """How many lines were accepted before its own."""
    last: int
    """How many lines were accepted up to its end."""

    @property
    def rows(self) -> int:
        """How many lines it has."""
        return self.last - self.first


class Backlog:
    """A bounded queue of lines, first in, first out.

    In memory it is bounded by rows and by bytes, including the batch being written; in the journal by the journal's own
    bound. `on_ready` is called when the first line arrives and whenever a full batch is waiting.
    """

    def __init__(
        self,
        *,
        max_rows: int,
        max_bytes: int,
        max_batch_rows: int,
        drop_oldest: bool,
        on_ready: Callable[[], None],
    ) -> None:
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        self._max_batch_rows = max_batch_rows
        self._max_block_rows = max_batch_rows * -(-MIN_BLOCK_ROWS // max_batch_rows)
        self._drop_oldest = drop_oldest
        self._on_ready = on_ready
        self.writer_id = ""
        """The writer these lines belong to."""
        self.journal: Journal | None = None
        """Where new lines are kept; None keeps them in memory. Lines already waiting stay where they are."""
        self._memory: deque[bytes] = deque()
        self._memory_bytes = 0
        self._blocks: deque[Block] = deque()
        self._in_hand: Batch | None = None
        self._in_hand_journaled = False
        self._in_hand_since = 0.0
        self._tail = self._accepted = 0
        self.gone = 0
        """How many of them are no longer waiting, whether committed or dropped."""
        # The next line goes into this block. As long as nothing but the end of the stream changes, nothing but that is
        # kept up to date; `_settle` does the rest.
        self._open_block = Block(0, 0, IN_MEMORY, 0, 0.0, 0, 0)
        self._in_memory = Segment(0, 0, Path(), -1, -1, lines=self._memory)
        self.segment = self._in_memory
        """Where the next line goes, with the bounds within which that needs no call of `append`."""
        # The fast path of `append` itself, for files that are not mapped.
        self._plain_number = self._plain_end = 0
        self.peak_rows = 0
        """The highest number of waiting lines so far, up to the last time some left."""
        self.dropped_in_vain = 0
        """How many older lines were dropped before the last `QueueFullError` without making enough room."""

    @property
    def accepted(self) -> int:
        """Lines accepted so far."""
        # In this order: a thread without the lock may ask while the one that has it goes on to another segment.
        number = self.segment.number
        return max(number, self._accepted)

    @property
    def rows(self) -> int:
        """Lines waiting, including the batch being written."""
        return self.accepted - self.gone

    @property
    def size(self) -> int:
        """Size of the waiting lines, in bytes."""
        self._settle()
        return sum(block.end - block.start for block in self._blocks) + (
            len(self._in_hand.lines) if self._in_hand else 0
        )

    @property
    def oldest_age_s(self) -> float:
        """Upper bound of how long the oldest line has waited, in seconds; 0 when none waits."""
        if self._in_hand is not None:
            return monotonic() - self._in_hand_since
        return monotonic() - self._blocks[0].since if self._blocks else 0

    @property
    def in_hand(self) -> Batch | None:
        """The batch that was taken and is neither committed nor rejected yet."""
        return self._in_hand

    @property
    def rows_in_hand(self) -> int:
        """Number of lines in the batch being written."""
        return self._in_hand.rows if self._in_hand else 0

    @property
    def _memory_rows(self) -> int:
        return len(self._memory) + (0 if self._in_hand_journaled else self.rows_in_hand)

    @property
    def has_full_block(self) -> bool:
        """Whether a full batch is waiting."""
        self._settle()
        if not self._blocks:
            return False
        return len(self._blocks) > 1 or self._blocks[0].rows >= self._max_batch_rows or self._is_full(self._blocks[0])

    def append(self, line: bytes) -> int:
        """Accepts a line, given without its newline. Returns how many older lines were dropped for it.

        Raises `QueueFullError` when there is no room and dropping older lines is not allowed or not enough.
        """
        start, number = self._tail, self._accepted + 1
        end = start + len(line) + 1
        if end > self._plain_end or number > self._plain_number:
            return self._append_slowly(line)
        try:
            self.segment.write(line, start, end)
        except OSError:
            # Tried again by the slow path, which can switch segments or fall back to memory.
            return self._append_slowly(line)
        self._tail = end
        self._accepted = number
        return 0

    def _append_slowly(self, line: bytes) -> int:
        """Accepts any line: finds or makes the place for it, and sets up the fast paths for the lines after it."""
        self._settle()
        dropped = 0
        journal = self.journal
        if journal is not None and journal.append(self._tail, line):
            place = journal.segment_start
        else:
            dropped, place = self._make_room(line)
        block = self._blocks[-1] if self._blocks else None
        if block is None or block.place != place or block.rows >= self._max_block_rows or self._tail >= block.full_at:
            full_at = self._tail + MAX_BLOCK_BYTES
            block = Block(self._tail, self._tail, place, full_at, monotonic(), self._accepted, self._accepted)
            self._blocks.append(block)
        block.end = self._tail = self._tail + len(line) + 1
        block.last = self._accepted = self._accepted + 1
        self._open_block = block
        segment = journal.open_segment if journal is not None and place != IN_MEMORY else None
        self._plan_fast_paths(block, segment)
        if block.rows == 1 or not block.rows % self._max_batch_rows:
            self._on_ready()
        return dropped

    def _plan_fast_paths(self, block: Block, segment: Segment | None) -> None:
        """Computes how far they may go before a batch, the block, the segment or the memory is full."""
        self._end_fast_paths()
        to_full_batch = self._max_batch_rows - block.rows % self._max_batch_rows
        number = block.first + min(block.rows + to_full_batch - 1, self._max_block_rows)
        end = block.full_at
        if segment is None:
            self.segment = segment = self._in_memory
            segment.end, segment.number = self._tail, self._accepted
            if self.journal is None:
                segment.fast_number = min(number, self._accepted + self._max_rows - self._memory_rows)
                segment.fast_end = min(end, self._tail + self._max_bytes - self._memory_bytes)
            return
        self.segment = segment
        segment.number = self._accepted
        end = min(end, segment.ready_to)
        if segment.mapped is not None:
            segment.fast_number, segment.fast_end = number, end
        else:
            self._plain_number, self._plain_end = number, end

    def _end_fast_paths(self) -> None:
        self._plain_end = 0
        self.segment.fast_end = -1

    def _settle(self) -> None:
        """Notes what was stored on a fast path since the last time."""
        segment = self.segment
        if segment.number > self._accepted:
            if segment is self._in_memory:
                self._memory_bytes += segment.end - self._tail
            self._accepted, self._tail = segment.number, segment.end
        if self._blocks and self._blocks[-1] is self._open_block:
            self._open_block.last, self._open_block.end = self._accepted, self._tail

    def close(self) -> None:
        """Makes sure that no line is stored without a call of `append`."""
        self._end_fast_paths()

    def begin_segment(self, new_journal: Callable[[], Journal] | None) -> None:
        """Makes the next line start a new segment, or a new journal if there was none."""
        # A fast path would go on in the segment that is left.
        self._end_fast_paths()
        if self.journal is not None:
            self.journal.leave_segment()
        elif new_journal is not None:
            self.journal = new_journal()

    def suspend_journal(self, reason: str) -> None:
        """Keeps lines in memory until `begin_segment`."""
        self._end_fast_paths()
        if self.journal is not None:
            self.journal.suspend(reason)

    def note_interruption(self) -> None:
        """After a signal handler raised in the middle of `append`: what that left in the journal's file is not kept."""
        if self.journal is not None:
            # The next segment begins where this one ends for whoever replays it.
            self.journal.close_segment()
        self._end_fast_paths()

    def try_journal(self) -> None:
        """After a failure, checks whether the journal can be written again."""
        self._settle()
        if self.journal is not None:
            self.journal.try_again(self._tail)

    def take(self) -> Batch | None:
        """Takes the oldest batch, full or not; the batch already taken is returned until it is released.

        Raises `OSError` when the journal cannot be read; `drop_unreadable` then skips that block.
        """
        if self._in_hand is None and self._blocks:
            self._settle()
            self._end_fast_paths()
            block = self._blocks[0]
            rows = min(block.rows, self._max_batch_rows)
            if block.place != IN_MEMORY and self.journal is not None:
                lines = self.journal.read(block.start, block.end)
                if rows < block.rows:
                    lines = b"".join(lines.splitlines(keepends=True)[:rows])
            else:
                lines = b"\n".join([self._memory.popleft() for _ in range(rows)]) + b"\n"
            self._in_hand = Batch(self.writer_id, block.start, lines, rows)
            self._in_hand_journaled = block.place != IN_MEMORY
            self._in_hand_since = block.since
            block.start += len(lines)
            block.first += rows
            if not block.rows:
                self._blocks.popleft()
        return self._in_hand

    def mark_committed(self, batch: Batch) -> None:
        """Releases the batch that was taken, or its first part."""
        self._settle()
        hand = self._in_hand
        if hand is None or hand.start != batch.start:
            raise AssertionError(f"batch {batch.start} is not the one in hand")
        rows_left = hand.rows - batch.rows
        rest = hand.lines[len(batch.lines) :]
        self._in_hand = Batch(hand.writer_id, batch.end, rest, rows_left) if rows_left else None
        self._forget(batch.rows, len(batch.lines), self._in_hand_journaled)
        self._release()

    def drop_unreadable(self) -> int:
        """Drops the oldest block. Returns how many lines it held."""
        self._settle()
        block = self._blocks.popleft()
        self._forget(block.rows, block.end - block.start, block.place != IN_MEMORY)
        self._release()
        return block.rows

    def clear_memory(self) -> int:
        """Drops the lines that are only in memory; those in the journal stay. Returns how many were dropped."""
        self._settle()
        rows = self._memory_rows
        if self._in_hand is not None and not self._in_hand_journaled:
            self._in_hand = None
        self._blocks = deque(block for block in self._blocks if block.place != IN_MEMORY)
        self._memory.clear()
        self._forget(rows, self._memory_bytes, journaled=False)
        return rows

    def _make_room(self, line: bytes) -> tuple[int, int]:
        """Keeps the line in memory, dropping older ones if allowed. Returns how many were dropped, and its place."""
        dropped = 0
        while self._memory_rows >= self._max_rows or self._memory_bytes + len(line) >= self._max_bytes:
            made_room = self._drop_first() if self._drop_oldest else 0
            if not made_room:
                self.dropped_in_vain = dropped
                raise QueueFullError(self._why_full())
            dropped += made_room
            if self.journal is not None and self.journal.append(self._tail, line):
                return dropped, self.journal.segment_start
        self._memory.append(line)
        self._memory_bytes += len(line) + 1
        return dropped, IN_MEMORY

    def _is_full(self, block: Block) -> bool:
        return block.rows >= self._max_block_rows or block.end >= block.full_at

    def _drop_first(self) -> int:
        """Drops the oldest line, or the oldest block if it is in the journal; never the batch being written."""
        if not self._blocks:
            return 0
        block = self._blocks[0]
        if block.place != IN_MEMORY:
            if self.journal is None or not self.journal.is_at_bound:
                # The disk or the folder is failing: dropping journaled lines would make no room.
                return 0
            self._blocks.popleft()
            self._forget(block.rows, block.end - block.start, journaled=True)
            self._release()
            return block.rows
        size = len(self._memory.popleft()) + 1
        block.start += size
        block.first += 1
        if not block.rows:
            self._blocks.popleft()
        self._forget(1, size, journaled=False)
        return 1

    def _release(self) -> None:
        if self.journal is not None:
            # The batch being written is not committed: after a kill it must be in the journal, whatever was dropped.
            needed_from = self._blocks[0].start if self._blocks else self._tail
            self.journal.release(needed_from, in_hand_at=self._in_hand.start if self._in_hand else None)

    def _forget(self, rows: int, size: int, journaled: bool) -> None:
        self._end_fast_paths()
        self.peak_rows = max(self.peak_rows, self.rows)
        self.gone += rows
        if not journaled:
            self._memory_bytes -= size

    def _why_full(self) -> str:
        why = f"{self._memory_rows} entries ({self._memory_bytes} bytes) are already waiting in memory; "
        if self.journal is not None and self.journal.error:
            why += f"the journal cannot take more either: {self.journal.error}; "
        return why + (
            "raise max_queue_size or max_queue_bytes, or find out what is blocking the writer "
            "(see the statistics' last_error)"
        )
