"""The writer's connection: opened when it is needed, and given up when it fails or is cancelled."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import asyncpg

from .connection import PooledConnection, open_connection
from .errors import is_lost
from .schema import migrate
from .url import PostgresUrl

_T = TypeVar("_T")


class WriteConnection:
    """One connection at a time. What an abandoned statement did is told by the database's position, by nothing here."""

    def __init__(self, url: PostgresUrl) -> None:
        self.url = url
        self._connection: asyncpg.Connection | None = None

    async def connect(self) -> None:
        """Connects, if there is no connection, and migrates. Raises `DatabaseError` or the driver's errors."""
        await self._open()

    async def run(self, work: Callable[[asyncpg.Connection], Awaitable[_T]]) -> _T:
        """Runs the work on the connection. Raises what it raises; a connection that may be lost is given up then."""
        connection = await self._open()
        try:
            if isinstance(connection, PooledConnection):
                async with connection.transaction():
                    return await work(connection)
            return await work(connection)
        except Exception as error:
            if is_lost(error):
                self.give_up()
            raise
        except BaseException:
            # Cancelled: the statement may still run, and the next one must not wait for it.
            self.give_up()
            raise

    def give_up(self) -> None:
        """Ends the connection, whatever it does. Awaits nothing."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def _open(self) -> asyncpg.Connection:
        if self._connection is not None and self._connection.is_closed():
            self.give_up()
        if self._connection is None:
            connection = await open_connection(self.url)
            try:
                # A server that took over, or was restored, may have another version.
                await migrate(connection, self.url)
            except BaseException:
                connection.terminate()
                raise
            self._connection = connection
        return self._connection
