"""The pages of the database file: how many are free, and giving them back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import aiosqlite

VACUUM_PAGES = 256
"""How many pages are given back at once."""

# One statement for all of it: the writer asks once a second, and each answer costs its thread the GIL once more.
PAGES = """
SELECT page_count, freelist_count, page_size, auto_vacuum
FROM pragma_page_count, pragma_freelist_count, pragma_page_size, pragma_auto_vacuum
"""


INCREMENTAL = 2


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


async def fetch_int(connection: aiosqlite.Connection, sql: str, parameters: Sequence[object] = ()) -> int:
    """The one whole fetch_int that a query answers. Raises `sqlite3.Error`."""
    ((value,),) = await connection.execute_fetchall(sql, parameters)
    return int(value)
