"""Consecutive lines of one writer, which are committed together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Batch:
    """Lines of one writer's stream to be committed together, each with its newline."""

    writer_id: str
    start: int
    lines: bytes
    rows: int
    priced: Mapping[bytes, bytes] = field(default_factory=dict, compare=False)
    """Lines that are stored otherwise than they were journaled: with the costs of their attempts."""

    @property
    def end(self) -> int:
        """The position in the stream after it is committed."""
        return self.start + len(self.lines)

    def to_store(self, position: int = 0) -> bytes:
        """Returns what is stored of the lines after a position, which is the end of one or before the first."""
        lines = self.lines[max(position - self.start, 0) :]
        if not self.priced:
            return lines
        return b"\n".join(self.priced.get(line, line) for line in lines.split(b"\n"))

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
