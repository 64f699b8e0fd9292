"""A look at the database after somebody who wrote to it was killed."""

from __future__ import annotations

import logging
from pathlib import Path

from chainlog_async.storage.sqlite.connection import close_connection, open_reader
from chainlog_async.storage.sqlite.errors import StorageFault, classify, sqlite_error_name
from chainlog_async.writer.health import HealthState

logger = logging.getLogger("chainlog_async")


async def check_after_unclean_end(path: Path, health: HealthState) -> None:
    """Runs ``PRAGMA quick_check`` on a reader, beside the writer, and notes what it finds. Never raises."""
    try:
        connection = await open_reader(path)
        try:
            ((finding,),) = await connection.execute_fetchall("PRAGMA quick_check(1)")
        finally:
            # Cancelled, the check still runs in the thread, and closing would wait for it.
            await close_connection(connection, interrupting=True)
    except Exception as error:  # noqa: BLE001  # a check that fails must not end the writer beside it
        if classify(error) is not StorageFault.DAMAGED:
            logger.warning("the check after an unclean end failed: %s (%s)", error, sqlite_error_name(error))
            return
        finding = error
    if finding != "ok":
        detail = "; ".join(str(finding).splitlines())
        health.note_integrity(detail)
        logger.error("%s: quick_check found: %s", path, detail)
