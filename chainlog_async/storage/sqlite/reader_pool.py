"""Read-only connections, so that reads never wait for the writer."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import aiosqlite
import anyio

from chainlog_async.common.cancellation import run_shielded
from chainlog_async.common.gil_yield import GilYielder
from chainlog_async.common.sqlite import sqlite3
from chainlog_async.errors import ClosedError, ForkedError, QueryTimeoutError

from .connection import close_connection, open_reader
from .errors import database_error
from .identity import check_readable, read_identity

type_of_row = tuple[object, ...]


class ReaderPool:
    """At most `max_readers` connections to one file, opened when first needed."""

    def __init__(
        self,
        db_path: str | Path,
        *,
        busy_timeout_ms: int = 5_000,
        max_readers: int = 4,
        read_timeout_ms: int = 30_000,
        gil_yielder: GilYielder | None = None,
    ) -> None:
        self._path = Path(db_path)
        self._process = os.getpid()
        self._busy_timeout_ms = busy_timeout_ms
        self._read_timeout_s = read_timeout_ms / 1_000
        self._free = anyio.CapacityLimiter(max_readers)
        self._idle: list[aiosqlite.Connection] = []
        self._closed = False
        self._generation = 0
        self._gil_yielder = gil_yielder or GilYielder(enabled=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def fetch(self, sql: str, parameters: Sequence[object] | Mapping[str, object] = ()) -> list[type_of_row]:
        """Returns all rows of one query, with one hand-over to the thread; no read transaction outlives it.

        Raises `DatabaseError` when the database cannot be read, `QueryTimeoutError` after `read_timeout_ms`,
        `ClosedError` after `aclose`, and `ForkedError` in a forked child.
        """
        if os.getpid() != self._process:
            raise ForkedError(
                "these readers were opened before this process was forked from their owner; "
                "spawn the process instead, or fork before opening them"
            )
        async with self._free:
            with self._gil_yielder:
                return await self._fetch(sql, parameters)

    async def _fetch(self, sql: str, parameters: Sequence[object] | Mapping[str, object]) -> list[type_of_row]:
        if self._closed:
            raise ClosedError("the readers are closed; query before the log is shut down, or open a UsageAggregator")
        generation = self._generation
        connection = self._idle.pop() if self._idle else await self._open()
        healthy = False
        try:
            with anyio.fail_after(self._read_timeout_s):
                rows = [tuple(row) for row in await connection.execute_fetchall(sql, parameters)]
            healthy = True
            return rows
        except sqlite3.Error as error:
            raise database_error(self._path, error, doing="read") from error
        except TimeoutError:
            raise QueryTimeoutError(
                f"the query took longer than {self._read_timeout_s:g} s; ask for less, or raise read_timeout_ms"
            ) from None
        finally:
            if healthy and not self._closed and generation == self._generation:
                self._idle.append(connection)
            else:
                # A cancelled query still runs in the thread, and closing would wait for it.
                await close_connection(connection, interrupting=True)

    async def aclose(self) -> None:
        """Closes idle connections; a running query closes its own when it ends."""
        self._closed = True
        await self.renew()

    async def renew(self) -> None:
        """Discards every connection; the next queries open the path again."""
        self._generation += 1
        await run_shielded(self._close_idle())

    async def _close_idle(self) -> None:
        while self._idle:
            await close_connection(self._idle.pop())

    async def _open(self) -> aiosqlite.Connection:
        connection = await open_reader(self._path, busy_timeout_ms=self._busy_timeout_ms)
        try:
            check_readable(await read_identity(connection), str(self._path))
        except BaseException as error:
            await close_connection(connection)
            if isinstance(error, sqlite3.Error):
                raise database_error(self._path, error, doing="read") from error
            raise
        return connection
