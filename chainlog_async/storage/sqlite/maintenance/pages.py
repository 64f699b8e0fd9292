"""The pages of the database file: counts free ones and returns them to the file system."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import aiosqlite

VACUUM_PAGES = 256
"""Most pages returned to the file system at once."""

# One statement, because the writer runs it every second and each statement makes its thread wait for the GIL.
PAGES = """
SELECT page_count, freelist_count, page_size, auto_vacuum
FROM pragma_page_count, pragma_freelist_count, pragma_page_size, pragma_auto_vacuum
"""


INCREMENTAL = 2


@dataclass(frozen=True, slots=True)
class Pages:
    """The pages of the database file; the write-ahead log is not included."""

    count: int
    free: int
    """How many of them are free."""
    size: int
    """Size of a page, in bytes."""
    auto_vacuum: int

    @property
    def file_bytes(self) -> int:
        """Size of the file in bytes, including free pages."""
        return self.count * self.size

    @property
    def used_bytes(self) -> int:
        """Size of the pages in use, in bytes."""
        return (self.count - self.free) * self.size

    @property
    def free_bytes(self) -> int:
        """Size of the free pages, in bytes."""
        return self.free * self.size

    @property
    def is_incremental(self) -> bool:
        """Whether the file can shrink without a VACUUM."""
        return self.auto_vacuum == INCREMENTAL


async def read_pages(connection: aiosqlite.Connection) -> Pages:
    """Reads the current numbers of pages. Raises `sqlite3.Error`."""
    ((count, free, size, auto_vacuum),) = await connection.execute_fetchall(PAGES)
    return Pages(count, free, size, auto_vacuum)


async def free_pages(connection: aiosqlite.Connection, pages: Pages, *, keep_pages: int) -> bool:
    """Returns some free pages beyond `keep_pages` to the file system. Returns whether it did.

    A file created without auto_vacuum keeps its free pages for new rows. Raises `sqlite3.Error`.
    """
    if pages.free <= keep_pages or not pages.is_incremental:
        return False
    count = min(pages.free - keep_pages, VACUUM_PAGES)
    # Each page is one step of the statement, and `execute` runs only one step of a statement without columns;
    # a script runs to its end.
    await connection.executescript(f"PRAGMA incremental_vacuum({count:d})")
    return True


async def fetch_int(connection: aiosqlite.Connection, sql: str, parameters: Sequence[object] = ()) -> int:
    """Returns the single integer that a query yields. Raises `sqlite3.Error`."""
    ((value,),) = await connection.execute_fetchall(sql, parameters)
    return int(value)
