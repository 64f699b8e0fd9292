"""Classifies SQLite errors and turns them into messages with a remedy.

Errors are classified by `sqlite_errorname` alone: in Python the class for "locked" is a subclass of the one for
"corrupt", and the text of messages changes between releases.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from chainlog_async.common.sqlite import sqlite3
from chainlog_async.errors import DatabaseError, NotADatabaseError
from chainlog_async.storage.base import StorageFault

_FAULT_OF_NAME = {
    "SQLITE_BUSY": StorageFault.BUSY,
    "SQLITE_LOCKED": StorageFault.BUSY,
    "SQLITE_PROTOCOL": StorageFault.BUSY,
    "SQLITE_FULL": StorageFault.STORAGE,
    "SQLITE_IOERR": StorageFault.STORAGE,
    "SQLITE_READONLY": StorageFault.STORAGE,
    "SQLITE_CANTOPEN": StorageFault.STORAGE,
    "SQLITE_PERM": StorageFault.STORAGE,
    "SQLITE_NOMEM": StorageFault.STORAGE,
    "SQLITE_CORRUPT": StorageFault.DAMAGED,
    "SQLITE_NOTADB": StorageFault.DAMAGED,
    "SQLITE_CONSTRAINT": StorageFault.ROW,
    "SQLITE_MISMATCH": StorageFault.ROW,
    "SQLITE_TOOBIG": StorageFault.ROW,
}


def sqlite_error_name(error: BaseException) -> str:
    """SQLite's name of the error, such as ``SQLITE_BUSY``, or the Python class if SQLite gave none."""
    return getattr(error, "sqlite_errorname", None) or type(error).__name__


def describe(error: BaseException) -> str:
    """The error's message and SQLite's name of the error."""
    return f"{error} ({sqlite_error_name(error)})"


def classify(error: BaseException) -> StorageFault:
    """What the error means for the writer; one of ours means what the SQLite error that caused it means.

    Extended codes (``SQLITE_IOERR_WRITE``) are classified by the primary code they begin with.
    """
    behind: BaseException | None = error
    while behind is not None and not isinstance(behind, sqlite3.Error):
        behind = behind.__cause__
    if behind is None:
        return StorageFault.OTHER
    primary = "_".join(sqlite_error_name(behind).split("_")[:2])
    return _FAULT_OF_NAME.get(primary, StorageFault.UNKNOWN)


def database_error(path: str | Path, error: BaseException, *, doing: str = "used") -> DatabaseError:
    """The error as a `DatabaseError` with path and remedy; `doing` is what failed: opened, read or used."""
    detail, fault = describe(error), classify(error)
    if fault is StorageFault.BUSY:
        return DatabaseError(f"{path} is locked by another process: {detail}; end that process, or try again later")
    if fault is StorageFault.DAMAGED:
        return NotADatabaseError(
            f"{path} is damaged or is not an SQLite database: {detail}; keep a copy of it, then put a backup or a "
            "recovered file (sqlite3 FILE .recover) in its place, or set db_path to another file"
        )
    if fault is StorageFault.STORAGE or not isinstance(error, sqlite3.Error):
        detail += "; check that the folder exists and can be written, and that its disk and the one for temporary "
        detail += "files have room"
    return DatabaseError(f"{path} cannot be {doing}: {detail}")


@contextmanager
def named_errors(path: str | Path) -> Generator[None]:
    """Turns every `sqlite3.Error` raised in the block into a `DatabaseError` with path and remedy."""
    try:
        yield
    except sqlite3.Error as error:
        raise database_error(path, error) from error
