"""A PostgreSQL server for all tests of a process, and a database of its own for each test, already migrated."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import asyncpg

from chainlog_async.storage.postgres.schema import migrate_url
from chainlog_async.storage.postgres.url import parse_url
from examples.postgres.server import PostgresServer

_T = TypeVar("_T")
_numbers = itertools.count(1)

FAST = {
    # What is stored need not survive a crash of the machine.
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "shared_buffers": "64MB",
    "max_connections": "60",
    "autovacuum": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
}


ROOM = 2 << 30
"""So much has to be free in a file system in memory, in bytes, for the server's data to be there."""


def in_memory(folder: Path = Path("/dev/shm")) -> Path | None:  # for a folder that `mkdtemp` makes in it
    """Where the data need no disk, if there is such a place: most of what tests write is copies of a template."""
    is_usable = folder.is_dir() and os.access(folder, os.W_OK) and shutil.disk_usage(folder).free > ROOM
    return folder if is_usable else None


class SharedServer:
    """One server, and databases in it."""

    def __init__(self, server: PostgresServer) -> None:
        self.server = server

    def make_template(self) -> None:
        """A database with the newest schema, which others are copies of."""
        asyncio.run(self._make_template())

    def new_database(self, *, migrated: bool = True) -> str:
        """The URL of a new database."""
        name = f"log_{next(_numbers)}"
        template = "TEMPLATE migrated" if migrated else ""
        in_a_loop_of_its_own(lambda: run(self.server.url(), f"CREATE DATABASE {name} {template}"))
        return self.server.url(name)

    def drop_database(self, url: str) -> None:
        """Deletes a database, whoever is connected to it."""
        name = url.rpartition("/")[2]
        in_a_loop_of_its_own(lambda: run(self.server.url(), f"DROP DATABASE {name} WITH (FORCE)"))

    async def _make_template(self) -> None:
        await run(self.server.url(), "CREATE DATABASE migrated")
        await migrate_url(parse_url(self.server.url("migrated")))


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection of one's own."""
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def run(url: str, sql: str) -> None:
    """Runs statements."""
    async with connected(url) as connection:
        await connection.execute(sql)


async def query(url: str, sql: str, *arguments: object) -> list[tuple[Any, ...]]:
    """The rows of a query."""
    async with connected(url) as connection:
        return [tuple(row) for row in await connection.fetch(sql, *arguments)]


def in_a_loop_of_its_own(work: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
    """For fixtures: runs it in a new event loop, in a thread, for there may be a loop in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(work())).result()
