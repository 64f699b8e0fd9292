"""Which SQLite this is, and what is known to be wrong with it."""

from __future__ import annotations

import logging
import sqlite3

WAL_RESET_BUG_FIXED_IN = ((3, 51, 3), (3, 50, 7), (3, 44, 6))
"""SQLite releases without the WAL-reset bug, the newest line first; before 3.7.0 there was no WAL.

The bug can corrupt a database when two connections write or checkpoint at the same moment:
https://www.sqlite.org/wal.html#walresetbug
"""

_WAL_RESET_NOTE = f"SQLite {sqlite3.sqlite_version} has the WAL-reset bug; update it to 3.51.3 or newer"

_has_warned = False

sqlite_logger = logging.getLogger("chainlog_async.sqlite")
"""A name of its own, so that short-lived commands can leave the warning to the service."""


def has_wal_reset_bug(version: tuple[int, int, int]) -> bool:
    """Whether this release of SQLite has the bug."""
    if version >= WAL_RESET_BUG_FIXED_IN[0]:
        return False
    return not any(version[:2] == fixed[:2] and version >= fixed for fixed in WAL_RESET_BUG_FIXED_IN)


def version_notes() -> tuple[str, ...]:
    """What an operator should know about this release of SQLite."""
    return (_WAL_RESET_NOTE,) if has_wal_reset_bug(sqlite3.sqlite_version_info) else ()


def warn_once_of_sqlite() -> None:
    """Logs `version_notes` as warnings, once in the life of a process."""
    global _has_warned  # noqa: PLW0603  # lasts as long as the process
    if not _has_warned:
        _has_warned = True
        for note in version_notes():
            sqlite_logger.warning("%s", note)
