"""Checks the database after a writer was killed."""

from __future__ import annotations

import logging
from pathlib import Path

from chainlog_async.storage.base import StorageFault
from chainlog_async.storage.sqlite.connection import close_connection, open_reader
from chainlog_async.storage.sqlite.errors import classify, describe

logger = logging.getLogger(__name__)


async def check_integrity(path: Path) -> str | None:
    """Runs ``PRAGMA quick_check`` on a reader, beside the writer. Returns what it finds, or None. Never raises."""
    try:
        connection = await open_reader(path)
        try:
            ((finding,),) = await connection.execute_fetchall("PRAGMA quick_check(1)")
        finally:
            # If cancelled, the check still runs in the thread, and closing would wait for it.
            await close_connection(connection, interrupting=True)
    except Exception as error:  # noqa: BLE001  # a check that fails must not end the writer beside it
        if classify(error) is not StorageFault.DAMAGED:
            logger.warning("the check after a crash failed: %s", describe(error))
            return None
        finding = error
    if finding == "ok":
        return None
    detail = "; ".join(str(finding).splitlines())
    logger.error("%s: quick_check found: %s", path, detail)
    return detail
