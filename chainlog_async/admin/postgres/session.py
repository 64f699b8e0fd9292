"""A connection for one command; each piece of its work is one transaction, as a pooler may demand."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Literal, TypeAlias

import asyncpg

from chainlog_async.storage.postgres.connection import open_connection
from chainlog_async.storage.postgres.errors import DRIVER_ERRORS, database_error
from chainlog_async.storage.postgres.schema import require_current
from chainlog_async.storage.postgres.url import PostgresUrl

Row: TypeAlias = tuple[object, ...]

LONG_S = 86_400.0
"""How long one statement may take, in seconds: whoever started the command may stop it."""


class Session:
    """The log of one schema. The statements of a transaction name its tables without the schema."""

    def __init__(self, connection: asyncpg.Connection, url: PostgresUrl) -> None:
        self._connection = connection
        self.url = url

    @asynccontextmanager
    async def transaction(self, *, reading: bool = False) -> AsyncGenerator[None]:
        """Commits at the end of the block; with `reading` every statement sees the same moment."""
        isolation: Literal["repeatable_read", "read_committed"] = "repeatable_read" if reading else "read_committed"
        async with self._connection.transaction(isolation=isolation, readonly=reading):
            await self._connection.execute(
                f"SET LOCAL search_path = {self.url.schema}; SET LOCAL statement_timeout = 0; SET LOCAL jit = off; "
                "SET LOCAL plan_cache_mode = force_custom_plan"
            )
            yield

    async def fetch(self, sql: str, *arguments: object) -> list[Row]:
        """The rows of a query, within a transaction. Raises the driver's errors."""
        return [tuple(row) for row in await self._connection.fetch(sql, *arguments, timeout=LONG_S)]

    async def number(self, sql: str, *arguments: object) -> int:
        """The number that a query yields, 0 for none. Raises the driver's errors."""
        return int(await self._connection.fetchval(sql, *arguments, timeout=LONG_S) or 0)

    async def call(self, sql: str, *arguments: object) -> int:
        """Like `number`, in a transaction of its own."""
        async with self.transaction():
            return await self.number(sql, *arguments)


@asynccontextmanager
async def open_session(url: PostgresUrl, command: str) -> AsyncGenerator[Session]:
    """Connects for the duration of the block.

    Raises `OlderDatabaseError`, `NewerDatabaseError` and other `DatabaseError`s, and turns every error of the driver in
    the block into one.
    """
    connection = await open_connection(url, name=f"chainlog {command}")
    try:
        await require_current(connection, url)
        async with connection.transaction():
            # Sums are numeric, and all of them are whole.
            await connection.set_type_codec("numeric", schema="pg_catalog", encoder=str, decoder=int, format="text")
        yield Session(connection, url)
    except DRIVER_ERRORS as error:
        raise database_error(url.shown, error) from error
    finally:
        connection.terminate()
