"""Connections for reading, each question in a transaction that sees the log as it is at one moment."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from functools import cache
from typing import TypeAlias

import anyio
import asyncpg

from chainlog_async.common.cancellation import run_shielded
from chainlog_async.errors import ClosedError, ForkedError, QueryTimeoutError

from .connection import open_connection
from .errors import DRIVER_ERRORS, database_error
from .schema import require_current
from .url import PostgresUrl

Row: TypeAlias = tuple[object, ...]
Parameters: TypeAlias = Mapping[str, object]

GRACE_S = 2.0
"""How much longer than the server a reader waits for the end of a query that takes too long, in seconds."""

CLOSE_TIMEOUT_S = 1.0
"""How long a connection may take to say goodbye, in seconds."""


class Snapshot:
    """The log as it was at one moment: rows, totals and what is not in the totals yet belong together."""

    def __init__(self, connection: asyncpg.Connection, timeout_s: float) -> None:
        self._connection = connection
        self._timeout_s = timeout_s

    async def fetch(self, sql: str, parameters: Parameters | None = None) -> list[Row]:
        """Returns all rows of one query, whose parameters are named as in ``:name`` and sent apart from the SQL."""
        text, names = _numbered(sql)
        given = parameters or {}
        rows = await self._connection.fetch(text, *(given[name] for name in names), timeout=self._timeout_s)
        return [tuple(row) for row in rows]


class ReaderPool:
    """At most `max_readers` connections, opened when first needed.

    Nothing of a session is relied on but its prepared statements, so that a pooler may give each transaction another
    one; PgBouncer keeps those since 1.21.
    """

    def __init__(self, url: PostgresUrl, *, max_readers: int, read_timeout_ms: int) -> None:
        self._url = url
        self._process = os.getpid()
        self._read_timeout_s = read_timeout_ms / 1_000
        self._free = anyio.CapacityLimiter(max_readers)
        self._idle: list[asyncpg.Connection] = []
        self._closed = False
        self._generation = 0
        # A plan is made for the parameters at hand, which say which partitions and how many lines are read. To compile
        # one takes longer than any of these queries.
        self._settings = (
            f"SET LOCAL search_path = {url.schema}; SET LOCAL statement_timeout = {read_timeout_ms}; "
            "SET LOCAL plan_cache_mode = force_custom_plan; SET LOCAL jit = off"
        )

    async def fetch(self, sql: str, parameters: Parameters | None = None) -> list[Row]:
        """Returns all rows of one query; see `snapshot`."""
        async with self.snapshot() as snapshot:
            return await snapshot.fetch(sql, parameters)

    @asynccontextmanager
    async def snapshot(self, *, moving: bool = False) -> AsyncGenerator[Snapshot]:
        """One moment of the log; with `moving`, each query sees the moment at which it begins.

        Raises `DatabaseError` when the database cannot be read, `QueryTimeoutError` after `read_timeout_ms`,
        `ClosedError` after `aclose`, and `ForkedError` in a forked child.
        """
        if os.getpid() != self._process:
            raise ForkedError(
                "these readers were opened before this process was forked from their owner; "
                "spawn the process instead, or fork before opening them"
            )
        async with self._free:
            if self._closed:
                raise ClosedError(
                    "the readers are closed; query before the log is shut down, or open a UsageAggregator"
                )
            generation = self._generation
            connection: asyncpg.Connection | None = None
            healthy = False
            # The server ends a query in time; a server that is gone does not.
            timeout_s = self._read_timeout_s + GRACE_S
            try:
                connection = await self._begun(moving=moving)
                with anyio.fail_after(timeout_s):
                    yield Snapshot(connection, timeout_s)
                    await connection.execute("COMMIT", timeout=timeout_s)
                healthy = True
            except (asyncpg.QueryCanceledError, TimeoutError):
                raise QueryTimeoutError(
                    f"the query took longer than {self._read_timeout_s:g} s; ask for less, or raise read_timeout_ms"
                ) from None
            except DRIVER_ERRORS as error:
                raise database_error(self._url.shown, error) from error
            finally:
                if connection is not None:
                    if healthy and not self._closed and generation == self._generation:
                        self._idle.append(connection)
                    else:
                        connection.terminate()

    async def aclose(self) -> None:
        """Closes idle connections; a running query closes its own when it ends."""
        self._closed = True
        await self.renew()

    async def renew(self) -> None:
        """Discards every connection; the next queries connect again."""
        self._generation += 1
        await run_shielded(self._close_idle())

    async def _begun(self, *, moving: bool) -> asyncpg.Connection:
        """A connection in a new transaction. One that was closed while it was idle is replaced."""
        isolation = "READ COMMITTED" if moving else "REPEATABLE READ"
        begin = f"BEGIN ISOLATION LEVEL {isolation}, READ ONLY; {self._settings}"
        while self._idle:
            connection = self._idle.pop()
            try:
                await connection.execute(begin, timeout=GRACE_S)
                return connection
            except DRIVER_ERRORS:
                connection.terminate()
            except BaseException:
                connection.terminate()
                raise
        connection = await open_connection(self._url, name="chainlog reads")
        try:
            await require_current(connection, self._url)
            await connection.execute(begin, timeout=self._read_timeout_s)
            # Sums are numeric, since those of many large numbers are no bigint; all of them are whole. It asks the
            # server, and so has to be in a transaction behind a pooler.
            await connection.set_type_codec("numeric", schema="pg_catalog", encoder=str, decoder=int, format="text")
        except BaseException:
            connection.terminate()
            raise
        return connection

    async def _close_idle(self) -> None:
        while self._idle:
            connection = self._idle.pop()
            try:
                await connection.close(timeout=CLOSE_TIMEOUT_S)
            except DRIVER_ERRORS:
                connection.terminate()


@cache
def _numbered(sql: str) -> tuple[str, tuple[str, ...]]:
    """The SQL with ``$1`` and so on in the place of ``:name``, and the names in that order."""
    names: list[str] = []

    def number(found: re.Match[str]) -> str:
        name = found[1]
        if name not in names:
            names.append(name)
        return f"${names.index(name) + 1}"

    return re.sub(r"(?<!:):([a-z_]+)", number, sql), tuple(names)
