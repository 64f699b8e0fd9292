"""Consecutive lines of one writer, which are committed together."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Batch:
    """Lines of one writer's stream to be committed together, each with its newline."""

    writer_id: str
    start: int
    lines: bytes
    rows: int

    @property
    def end(self) -> int:
        """The position in the stream after it is committed."""
        return self.start + len(self.lines)

    def part_before(self, position: int) -> Batch:
        """Returns the lines before a position, which is the end of a line; without rows if there are none."""
        lines = self.lines[: max(position - self.start, 0)]
        return Batch(self.writer_id, self.start, lines, lines.count(b"\n"))

    def part_after(self, position: int) -> Batch:
        """Returns the lines after a position, which is the end of a line or before the first one."""
        lines = self.lines[max(position - self.start, 0) :]
        return Batch(self.writer_id, self.end - len(lines), lines, lines.count(b"\n"))

    def split(self) -> tuple[Batch, Batch]:
        """Returns two halves; only for a batch of at least two rows."""
        lines = self.lines.splitlines(keepends=True)
        half = len(lines) // 2
        first = b"".join(lines[:half])
        return (
            Batch(self.writer_id, self.start, first, half),
            Batch(self.writer_id, self.start + len(first), self.lines[len(first) :], self.rows - half),
        )
