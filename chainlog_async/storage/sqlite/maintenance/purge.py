"""Deleting the oldest rows and giving their pages back, a little at a time, so that nobody waits long for the lock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic

import aiosqlite

SLICE_S = 0.02
"""How long one deletion between two batches may take, about, in seconds; its number of rows is adapted to that."""

FEWEST_ROWS, MOST_ROWS = 50, 10_000

VACUUM_PAGES = 256
"""How many pages are given back at once."""

END_OF_TIME = 2**63 - 1

# One statement for all of it: the writer asks once a second, and each answer costs its thread the GIL once more.
PAGES = """
SELECT page_count, freelist_count, page_size, auto_vacuum
FROM pragma_page_count, pragma_freelist_count, pragma_page_size, pragma_auto_vacuum
"""
INCREMENTAL = 2

PRUNE_OLDEST = """
DELETE FROM request_logs WHERE id IN (
  SELECT id FROM request_logs WHERE timestamp < ? ORDER BY timestamp, id LIMIT ?
)
"""


@dataclass(frozen=True, slots=True)
class Pages:
    """What the database's file is made of; the write-ahead log does not count."""

    count: int
    free: int
    """How many of them wait for new rows."""
    size: int
    """Of one page, in bytes."""
    auto_vacuum: int

    @property
    def file_bytes(self) -> int:
        """Size of the database, in bytes; free pages count."""
        return self.count * self.size

    @property
    def used_bytes(self) -> int:
        """The same without the free pages."""
        return (self.count - self.free) * self.size

    @property
    def free_bytes(self) -> int:
        """Size of the free pages, in bytes."""
        return self.free * self.size

    @property
    def is_incremental(self) -> bool:
        """Whether the file can be made smaller without a VACUUM."""
        return self.auto_vacuum == INCREMENTAL


class Slices:
    """Deletions whose size follows from how long the ones before took."""

    def __init__(self, slice_s: float = SLICE_S) -> None:
        """`slice_s` is how long one may hold the write lock, about, in seconds."""
        self._slice_s = slice_s
        self.rows = 500
        """Most rows of the next deletion."""

    async def delete_oldest(self, connection: aiosqlite.Connection, at_most: int, *, before: int = END_OF_TIME) -> int:
        """Deletes the oldest rows in one transaction of its own; returns how many went, 0 when none is left.

        At most `at_most` of them, and only those from before the time `before` (ms since the epoch, UTC). The totals
        stay, for a trigger adds what goes to the tables ``pruned_…``. Raises `sqlite3.Error`.
        """
        rows = min(at_most, self.rows)
        started = monotonic()
        await connection.execute_fetchall(PRUNE_OLDEST, (before, rows))
        took_s = monotonic() - started
        deleted = await number(connection, "SELECT changes()")
        if deleted == self.rows:
            faster = min(self._slice_s / max(took_s, 0.001), 2.0)
            self.rows = int(min(max(self.rows * faster, FEWEST_ROWS), MOST_ROWS))
        return deleted


async def look_at_pages(connection: aiosqlite.Connection) -> Pages:
    """The pages at this moment. Raises `sqlite3.Error`."""
    ((count, free, size, auto_vacuum),) = await connection.execute_fetchall(PAGES)
    return Pages(count, free, size, auto_vacuum)


async def give_back(connection: aiosqlite.Connection, pages: Pages, *, keep_pages: int) -> bool:
    """Gives some free pages back to the file system, unless no more than `keep_pages` are free. True when it did.

    A file that was made without auto_vacuum keeps them for new rows. Raises `sqlite3.Error`.
    """
    if pages.free <= keep_pages or not pages.is_incremental:
        return False
    count = min(pages.free - keep_pages, VACUUM_PAGES)
    # Every page is a step of the statement, and `execute` takes but one step of a statement without columns;
    # a script is run to its end.
    await connection.executescript(f"PRAGMA incremental_vacuum({count:d})")
    return True


async def number(connection: aiosqlite.Connection, sql: str, parameters: Sequence[object] = ()) -> int:
    """The one whole number that a query answers. Raises `sqlite3.Error`."""
    ((value,),) = await connection.execute_fetchall(sql, parameters)
    return int(value)
