"""A look at the database after somebody who wrote to it was killed."""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path

from anyio import CancelScope

from .condition import Condition
from .database import close_connection, open_reader
from .errors import ChainlogError
from .faults import errorname

logger = logging.getLogger("chainlog_async")


async def check_after_unclean_end(path: Path, condition: Condition) -> None:
    """Runs ``PRAGMA quick_check`` on a reader, beside the writer, and notes what it finds. Never raises."""
    try:
        connection = await open_reader(path)
        try:
            ((finding,),) = await connection.execute_fetchall("PRAGMA quick_check(1)")
        finally:
            with CancelScope(shield=True):
                # Cancelled, the check still runs in the thread, and closing would wait for it.
                await connection.interrupt()
                await close_connection(connection)
    except (sqlite3.Error, ChainlogError) as error:
        logger.warning("the check after an unclean end failed: %s (%s)", error, errorname(error))
    else:
        if finding != "ok":
            condition.note_integrity(str(finding))
            logger.error("%s: quick_check found: %s", path, finding)
