"""Opens the engine that the settings name."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from chainlog_async.errors import SettingsError

from .errors import database_error, is_unreachable
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
    link = WriteConnection(parse_url(settings.db_url.get_secret_value()))
    try:
        await link.connect()
    except Exception as error:
        problem = database_error(link.url.shown, error)
        if not is_unreachable(error):
            raise problem from error
        logger.warning("entries wait in the journal until the database can be used: %s", problem)
    return PostgresStorage(link, settings)
