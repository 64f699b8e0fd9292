"""Opens the engine that the settings name."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import asyncpg

from chainlog_async.errors import DatabaseError, MigrationError, NewerDatabaseError, SettingsError

from .connection import open_connection
from .errors import UnsuitableServerError, database_error, is_unreachable
from .schema import migrate
from .storage import PostgresStorage
from .url import parse_url
from .write_connection import WriteConnection

if TYPE_CHECKING:
    from chainlog_async.settings import Settings

logger = logging.getLogger(__name__)


async def open_storage(settings: Settings) -> PostgresStorage:
    """Connects and migrates; where the server cannot be reached now, entries wait in the journal until it can.

    Raises `DatabaseError` when waiting would not help: a wrong password, a newer schema, a migration that fails.
    """
    if settings.db_url is None:
        raise SettingsError("db_url is not set")
    url = parse_url(settings.db_url.get_secret_value())
    connection: asyncpg.Connection | None = None
    try:
        connection = await open_connection(url)
        await migrate(connection, url)
    except BaseException as error:
        if connection is not None:
            connection.terminate()
        if isinstance(error, (NewerDatabaseError, MigrationError, UnsuitableServerError)) or not is_unreachable(error):
            if isinstance(error, DatabaseError) or not isinstance(error, Exception):
                raise
            raise database_error(url.shown, error) from error
        logger.warning(
            "entries wait in the journal until the database can be reached: %s", database_error(url.shown, error)
        )
        connection = None
    return PostgresStorage(WriteConnection(url, connection), settings)
