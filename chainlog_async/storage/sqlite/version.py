"""Which SQLite this is, and what is known to be wrong with it."""

from __future__ import annotations

import logging

from chainlog_async.common.sqlite import has_wal_reset_bug, sqlite3

_has_told = False

sqlite_logger = logging.getLogger("chainlog_async.sqlite")
"""A name of its own, so that short-lived commands can leave the notes to the service."""


def version_notes() -> tuple[str, ...]:
    """What an operator should know about this release of SQLite."""
    if not has_wal_reset_bug(sqlite3.sqlite_version_info):
        return ()
    note = (
        f"SQLite {sqlite3.sqlite_version} has the WAL-reset bug: while several processes write to the file, a rare "
        "race between them may damage it; a single one is safe. pip install 'pysqlite3>=0.6.1' brings a fixed SQLite, "
        'which is used from the next start on (docs/explanation/reliability.md, "The WAL-reset bug")'
    )
    return (note,)


def tell_once_of_sqlite() -> None:
    """Logs `version_notes`, once in the life of a process.

    They are no warnings: most logs have a single writer, to which nothing can happen.
    """
    global _has_told  # noqa: PLW0603  # lasts as long as the process
    if not _has_told:
        _has_told = True
        for note in version_notes():
            sqlite_logger.info("%s", note)
