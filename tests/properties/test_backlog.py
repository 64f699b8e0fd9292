"""The backlog and its journal against a model: a plain list of what was accepted and not settled."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from chainlog_async import RequestLogEntry
from chainlog_async.buffer import journal, reservation, segment
from chainlog_async.buffer.backlog import Backlog
from chainlog_async.buffer.journal import Journal
from chainlog_async.buffer.lease import Lease
from chainlog_async.buffer.recovery import Damaged, DeadJournal
from chainlog_async.buffer.segment import remove_segments
from chainlog_async.entry.batch import Batch
from chainlog_async.entry.line import encode_line
from chainlog_async.errors import QueueFullError

MAX_ROWS, MAX_BYTES = 12, 4_000
MAX_JOURNAL_BYTES, SEGMENT_BYTES = 6_000, 1_000
WRITER = "w" * 32


@dataclass(eq=False)
class Line:
    """One accepted entry as the model knows it."""

    text: bytes
    journaled: bool
    start: int

    @property
    def end(self) -> int:
        """Where the next one begins."""
        return self.start + len(self.text)


class Disk:
    """`os` and the clock as the journal sees them: the disk may be full, and take half of a line."""

    def __init__(self) -> None:
        self.trouble = "none"
        self.now = 0.0

    def __getattr__(self, name: str) -> object:
        return getattr(os, name)

    def open(self, path: Path, flags: int, mode: int) -> int:
        """Makes a segment."""
        if self.trouble == "no new file":
            raise OSError(errno.ENOSPC, "No space left on device")
        return os.open(path, flags, mode)

    def pwrite(self, descriptor: int, data: bytes, offset: int) -> int:
        """Writes a line, or what there is room for."""
        if self.trouble == "half a line":
            return os.pwrite(descriptor, data[: len(data) // 2], offset)
        if self.trouble == "written all the same":
            os.pwrite(descriptor, data, offset)
            raise OSError(errno.EIO, "Input/output error")
        if self.trouble != "none":
            raise OSError(errno.ENOSPC, "No space left on device")
        return os.pwrite(descriptor, data, offset)

    def posix_fallocate(self, descriptor: int, offset: int, size: int) -> None:
        """Reserves space for a segment that is mapped; what is reserved can be written whatever comes."""
        if self.trouble == "half a line":
            raise OSError(errno.ENOTSUP, "Operation not supported")
        if self.trouble != "none":
            raise OSError(errno.ENOSPC, "No space left on device")
        os.posix_fallocate(descriptor, offset, size)

    def monotonic(self) -> float:
        """The time."""
        return self.now


class BacklogModel(RuleBasedStateMachine):
    """Whatever is put in, taken and settled, in whatever order, with a disk that fails now and then."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="chainlog-backlog-"))
        self.disk = Disk()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(journal, "os", self.disk)
        self.patch.setattr(segment, "os", self.disk)
        self.patch.setattr(reservation, "os", self.disk)
        self.patch.setattr(journal, "monotonic", self.disk.monotonic)
        self.number = 0
        self.pending: list[Line] = []
        self.in_hand = 0
        self.committed = 0
        self.gone: dict[bytes, str] = {}

    @initialize(
        max_batch_rows=st.sampled_from([1, 2, 5, 300]),
        drop_oldest=st.booleans(),
        with_journal=st.sampled_from(["mmap", "pwrite", ""]),
    )
    def begin(self, max_batch_rows: int, drop_oldest: bool, with_journal: str) -> None:
        """Small bounds, so that all of them are met."""
        self.drop_oldest = drop_oldest
        self.max_batch_rows = max_batch_rows
        self.with_journal = with_journal
        self.renew()

    def renew(self) -> None:
        """A fresh writer."""
        self.ready = 0
        self.backlog = Backlog(
            max_rows=MAX_ROWS,
            max_bytes=MAX_BYTES,
            max_batch_rows=self.max_batch_rows,
            drop_oldest=self.drop_oldest,
            on_ready=self.count_ready,
        )
        self.backlog.writer_id = WRITER
        if self.with_journal:
            self.backlog.journal = Journal(
                self.folder,
                WRITER,
                max_bytes=MAX_JOURNAL_BYTES,
                segment_bytes=SEGMENT_BYTES,
                mapped_on=self.folder.stat().st_dev if self.with_journal == "mmap" else None,
            )

    def count_ready(self) -> None:
        """Called when the writer is woken."""
        self.ready += 1

    @rule(length=st.integers(0, 900), count=st.sampled_from([1, 3, 8, 30]))
    def append(self, length: int, count: int) -> None:
        """Some entries, with an error message of that length."""
        for _ in range(count):
            self.number += 1
            text = make_line(self.number, length)
            start, woken, was_full = self.backlog._tail, self.ready, self.backlog.has_full_block
            try:
                dropped = self.backlog.append(text.removesuffix(b"\n"))
            except QueueFullError:
                self.drop(self.backlog.dropped_in_vain)
                assert not self.backlog.journal or self.backlog.journal.error
                continue
            self.drop(dropped)
            assert not dropped or self.drop_oldest
            journaled = self.backlog.journal is not None and self.backlog.journal.error is None
            self.pending.append(Line(text, journaled, start))
            assert was_full or not self.backlog.has_full_block or self.ready > woken

    def drop(self, count: int) -> None:
        """The oldest have gone, but not the batch in hand."""
        for line in self.pending[self.in_hand : self.in_hand + count]:
            self.gone[line.text] = "dropped"
        del self.pending[self.in_hand : self.in_hand + count]

    @rule()
    def take(self) -> None:
        """The oldest lines, in order, as they were put in; the same ones again until they are settled."""
        batch = self.backlog.take()
        if batch is None:
            assert not self.pending
            return
        assert 1 <= batch.rows <= self.max_batch_rows
        expected = self.pending[: batch.rows]
        assert batch.lines == b"".join(line.text for line in expected)
        assert (batch.start, batch.end) == (expected[0].start, expected[-1].end)
        assert not self.in_hand or self.in_hand == batch.rows
        self.in_hand = batch.rows

    @rule(rows=st.integers(1, 300))
    @precondition(lambda self: self.in_hand)
    def mark_committed(self, rows: int) -> None:
        """All of the batch in hand is committed, or a first part of it."""
        hand = self.backlog.in_hand
        assert hand is not None
        rows = min(rows, self.in_hand)
        lines = b"".join(hand.lines.splitlines(keepends=True)[:rows])
        part = hand.part_before(hand.start + len(lines))
        assert part == Batch(WRITER, hand.start, lines, rows)
        self.backlog.mark_committed(part)
        self.committed = part.end
        for line in self.pending[:rows]:
            self.gone[line.text] = "committed"
        del self.pending[:rows]
        self.in_hand -= rows

    @rule(trouble=st.sampled_from(["none", "no new file", "no room", "half a line", "written all the same"]))
    def change_disk(self, trouble: str) -> None:
        """The disk fails from now on, or is well again."""
        self.disk.trouble = trouble

    @rule()
    def let_time_pass(self) -> None:
        """After which the journal is tried again."""
        self.disk.now += 2 * journal.JOURNAL_RETRY_S

    @rule()
    @precondition(lambda self: self.with_journal)
    def begin_segment(self) -> None:
        """As after somebody deleted the folder."""
        assert self.backlog.journal
        self.backlog.journal.leave_segment()

    @rule()
    @precondition(lambda self: self.with_journal)
    def remove_released(self) -> None:
        """Deletes what is committed; what is left on disk is within the bound, but for lines half written."""
        assert self.backlog.journal
        assert remove_segments(self.backlog.journal.take_released()) == []
        assert len(list(self.folder.iterdir())) == len(self.backlog.journal._segments)
        size = sum(path.stat().st_size for path in self.folder.iterdir())
        truncated = len(self.backlog.journal._segments) * 1_200
        assert size <= MAX_JOURNAL_BYTES + truncated

    @rule(tidied=st.booleans())
    def restart(self, tidied: bool) -> None:
        """A kill: the files have every journaled line that waits, once and in order, and nothing that is committed."""
        if tidied and self.with_journal:
            self.remove_released()
        replayed = [line for batch in self.replay() for line in batch.lines.splitlines(keepends=True)]
        assert len(replayed) == len(set(replayed))
        waiting = [line.text for line in self.pending if line.journaled]
        assert [text for text in replayed if text in set(waiting)] == waiting
        in_memory = {line.text for line in self.pending if not line.journaled}
        for text in set(replayed) - set(waiting):
            # A line that went to memory, or was refused, because the disk said no and wrote it all the same.
            assert self.gone.get(text) == "dropped" or text in in_memory or text not in self.gone
            assert self.gone.get(text) != "committed"
        self.discard()
        self.pending.clear()
        self.in_hand = self.committed = 0
        self.renew()

    def replay(self) -> list[Batch]:
        """What the next start would commit."""
        lease = Lease(self.folder, WRITER, os.open(self.folder, os.O_RDONLY))
        dead = DeadJournal(lease, self.committed, max_batch_rows=3)
        parts = list(dead._read(self.committed))
        lease.disown()
        position = self.committed
        for part in parts:
            assert not isinstance(part, Damaged), part
            assert part.start >= position, "a batch that begins before the end of the last one would be passed over"
            position = part.end
        return [part for part in parts if isinstance(part, Batch)]

    def discard(self) -> None:
        """The process is gone, and the files after it."""
        if self.backlog.journal:
            self.backlog.journal.disown()
        shutil.rmtree(self.folder)
        self.folder.mkdir()

    @invariant()
    def counts_are_right(self) -> None:
        """Rows and bytes are those of the model, and within the bounds of memory and of the journal."""
        if not hasattr(self, "backlog"):
            return
        backlog = self.backlog
        assert backlog.rows == len(self.pending)
        assert backlog.size == sum(len(line.text) for line in self.pending)
        assert backlog.rows_in_hand == self.in_hand
        in_memory = [line for line in self.pending if not line.journaled]
        assert backlog._memory_rows == len(in_memory) <= MAX_ROWS
        assert backlog._memory_bytes == sum(len(line.text) for line in in_memory) <= MAX_BYTES
        assert backlog.peak_rows <= self.number
        if backlog.journal:
            assert backlog.journal.size <= MAX_JOURNAL_BYTES
            assert len(backlog.journal._segments) <= 3 + MAX_JOURNAL_BYTES // 100
            blocks = [block for block in backlog._blocks if block.rows]
            assert len(blocks) == len(backlog._blocks) <= len(self.pending)

    def teardown(self) -> None:
        """What is left is taken in the end, in order."""
        try:
            if hasattr(self, "backlog"):
                self.disk.trouble = "none"
                while self.pending:
                    self.take()
                    self.mark_committed(300)
                if self.backlog.journal:
                    self.backlog.journal.release_all()
                    assert remove_segments(self.backlog.journal.take_released()) == []
                    assert not list(self.folder.iterdir())
        finally:
            self.patch.undo()
            shutil.rmtree(self.folder)


def make_line(number: int, length: int) -> bytes:
    """A line as the log makes it."""
    entry = RequestLogEntry(
        timestamp=number,
        chain_name="c",
        provider_id="p",
        model=f"m{number}",
        latency_ms=1,
        http_status=200,
        error_message="x" * length,
    )
    return encode_line(entry) + b"\n"


BacklogModel.TestCase.settings = settings(max_examples=120, stateful_step_count=60, deadline=None)


class TestBacklog(BacklogModel.TestCase):  # type: ignore[misc,valid-type]  # hypothesis makes this class while it runs
    """In order, exactly once, within its bounds, and found again after a kill, whatever the disk does."""
