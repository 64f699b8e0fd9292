"""Which SQLite this is, and what is known to be wrong with it."""

from __future__ import annotations

import logging
import sqlite3

FIXED_IN = ((3, 51, 3), (3, 50, 7), (3, 44, 6))
"""SQLite releases without the WAL-reset bug, the newest line first; before 3.7.0 there was no WAL.

The bug can corrupt a database when two connections write or checkpoint at the same moment:
https://www.sqlite.org/wal.html#walresetbug
"""


_SQLITE_NOTE = f"SQLite {sqlite3.sqlite_version} has the WAL-reset bug; update it to 3.51.3 or newer"


_warned_of_sqlite = False


sqlite_logger = logging.getLogger("chainlog_async.sqlite")
"""A name of its own, so that commands which are over in a second can leave the warning to the service."""


def has_wal_reset_bug(version: tuple[int, int, int]) -> bool:
    """Whether this release of SQLite has the bug."""
    if version >= FIXED_IN[0]:
        return False
    return not any(version[:2] == fixed[:2] and version >= fixed for fixed in FIXED_IN)


def warn_once_of_sqlite() -> None:
    """Logs a warning when this release of SQLite has the bug; once in the life of a process."""
    global _warned_of_sqlite  # noqa: PLW0603  # as long as the process
    if not _warned_of_sqlite and has_wal_reset_bug(sqlite3.sqlite_version_info):
        _warned_of_sqlite = True
        sqlite_logger.warning("%s", _SQLITE_NOTE)
