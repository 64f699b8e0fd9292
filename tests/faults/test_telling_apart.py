"""Faults are told apart by SQLite's own name for them, never by a Python class or by the words of a message."""

from __future__ import annotations

import sqlite3

import pytest

from chainlog_async.errors import MigrationError, NotADatabaseError
from chainlog_async.storage.sqlite.errors import Fault, classify

MEANINGS = {
    "SQLITE_BUSY": Fault.BUSY,
    "SQLITE_BUSY_SNAPSHOT": Fault.BUSY,
    "SQLITE_LOCKED_SHAREDCACHE": Fault.BUSY,
    "SQLITE_PROTOCOL": Fault.BUSY,
    "SQLITE_FULL": Fault.STORAGE,
    "SQLITE_IOERR_FSYNC": Fault.STORAGE,
    "SQLITE_IOERR_SHMSIZE": Fault.STORAGE,
    "SQLITE_READONLY_DBMOVED": Fault.STORAGE,
    "SQLITE_CANTOPEN_ISDIR": Fault.STORAGE,
    "SQLITE_PERM": Fault.STORAGE,
    "SQLITE_NOMEM": Fault.STORAGE,
    "SQLITE_CORRUPT_INDEX": Fault.DAMAGED,
    "SQLITE_NOTADB": Fault.DAMAGED,
    "SQLITE_CONSTRAINT_CHECK": Fault.ROW,
    "SQLITE_MISMATCH": Fault.ROW,
    "SQLITE_TOOBIG": Fault.ROW,
    "SQLITE_ERROR": Fault.UNKNOWN,
    "SQLITE_INTERRUPT": Fault.UNKNOWN,
    "SQLITE_SOMETHING_NEW": Fault.UNKNOWN,
}


@pytest.mark.parametrize("error_class", [sqlite3.DatabaseError, sqlite3.OperationalError])
@pytest.mark.parametrize("name", MEANINGS)
def test_the_name_decides(name: str, error_class: type[sqlite3.Error]) -> None:
    """Extended codes mean what their primary one does, and the class of the exception means nothing."""
    error = error_class("database disk image is malformed")
    error.sqlite_errorname = name
    assert classify(error) is MEANINGS[name]


def test_an_error_of_ours_means_what_is_behind_it() -> None:
    """A named error raised from SQLite's is dealt with like SQLite's; one of its own making is none of these."""
    behind = sqlite3.DatabaseError("file is not a database")
    behind.sqlite_errorname = "SQLITE_NOTADB"
    error = MigrationError("the schema cannot be brought up to date")
    error.__cause__ = behind
    assert classify(error) is Fault.DAMAGED
    assert classify(NotADatabaseError("no cause")) is Fault.UNKNOWN
    assert classify(OSError("device gone")) is Fault.UNKNOWN
