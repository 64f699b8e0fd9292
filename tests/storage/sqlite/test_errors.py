"""Faults are told apart by SQLite's own name for them, never by a Python class or by the words of a message."""

from __future__ import annotations

import sqlite3

import pytest

from chainlog_async.errors import MigrationError, NotADatabaseError
from chainlog_async.storage.base import StorageFault
from chainlog_async.storage.sqlite.errors import classify

MEANINGS = {
    "SQLITE_BUSY": StorageFault.BUSY,
    "SQLITE_BUSY_SNAPSHOT": StorageFault.BUSY,
    "SQLITE_LOCKED_SHAREDCACHE": StorageFault.BUSY,
    "SQLITE_PROTOCOL": StorageFault.BUSY,
    "SQLITE_FULL": StorageFault.STORAGE,
    "SQLITE_IOERR_FSYNC": StorageFault.STORAGE,
    "SQLITE_IOERR_SHMSIZE": StorageFault.STORAGE,
    "SQLITE_READONLY_DBMOVED": StorageFault.STORAGE,
    "SQLITE_CANTOPEN_ISDIR": StorageFault.STORAGE,
    "SQLITE_PERM": StorageFault.STORAGE,
    "SQLITE_NOMEM": StorageFault.STORAGE,
    "SQLITE_CORRUPT_INDEX": StorageFault.DAMAGED,
    "SQLITE_NOTADB": StorageFault.DAMAGED,
    "SQLITE_CONSTRAINT_CHECK": StorageFault.ROW,
    "SQLITE_MISMATCH": StorageFault.ROW,
    "SQLITE_TOOBIG": StorageFault.ROW,
    "SQLITE_ERROR": StorageFault.UNKNOWN,
    "SQLITE_INTERRUPT": StorageFault.UNKNOWN,
    "SQLITE_SOMETHING_NEW": StorageFault.UNKNOWN,
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
    assert classify(error) is StorageFault.DAMAGED
    assert classify(NotADatabaseError("no cause")) is StorageFault.OTHER
    assert classify(OSError("device gone")) is StorageFault.OTHER
