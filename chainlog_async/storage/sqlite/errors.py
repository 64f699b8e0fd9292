"""What an SQLite error means for the writer.

Told apart by `sqlite_errorname` alone: in Python "locked" is a subclass of the class that also says "corrupt", and
the words of a message change between releases.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path

from chainlog_async.errors import DatabaseError, NotADatabaseError


class StorageFault(Enum):
    """What to do about an error."""

    BUSY = "busy"
    """Another process holds the lock: wait and try again."""
    STORAGE = "storage"
    """Disk full, I/O error, read-only, file gone: keep the batch, try again until it works."""
    DAMAGED = "damaged"
    """The file is corrupt, or no database: nothing written now can be trusted."""
    ROW = "row"
    """The database refuses something in this batch: find the row."""
    UNKNOWN = "unknown"
    """None of these: keep the batch and try again."""


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
    """SQLite's name of the error, such as ``SQLITE_BUSY``; the Python class where SQLite gave none."""
    return getattr(error, "sqlite_errorname", None) or type(error).__name__


def classify(error: BaseException) -> StorageFault:
    """What the error means for the writer; a named error of ours means what SQLite's error behind it does.

    Extended codes (``SQLITE_IOERR_WRITE``) count as the primary one they begin with.
    """
    behind: BaseException | None = error
    while behind is not None and not isinstance(behind, sqlite3.Error):
        behind = behind.__cause__
    if behind is None:
        return StorageFault.UNKNOWN
    primary = "_".join(sqlite_error_name(behind).split("_")[:2])
    return _FAULT_OF_NAME.get(primary, StorageFault.UNKNOWN)


@contextmanager
def named_errors(path: str | Path) -> Generator[None]:
    """Turns every `sqlite3.Error` of the block into a `DatabaseError` with the path and the remedy."""
    try:
        yield
    except sqlite3.Error as error:
        raise named_error(path, error) from error


def named_error(path: str | Path, error: sqlite3.Error) -> DatabaseError:
    """The error with the path and the remedy."""
    detail = f"{error} ({sqlite_error_name(error)})"
    fault = classify(error)
    if fault is StorageFault.BUSY:
        return DatabaseError(f"{path} is locked by another process: {detail}; end it or wait for it, and try again")
    if fault is StorageFault.DAMAGED:
        return NotADatabaseError(
            f"{path} is damaged, or no SQLite database: {detail}; keep a copy of it, then put a backup or a recovered "
            "file (sqlite3 FILE .recover) in its place"
        )
    if fault is StorageFault.STORAGE:
        return DatabaseError(
            f"{path}: {detail}; check its permissions and the room on its disk and for temporary files"
        )
    return DatabaseError(f"{path}: {detail}")


def _open_error(path: Path, error: BaseException) -> DatabaseError:
    if classify(error) is StorageFault.DAMAGED:
        return NotADatabaseError(
            f"{path} is not an SQLite database, or is damaged ({sqlite_error_name(error)}); "
            "move it away or set db_path to another file"
        )
    if classify(error) is StorageFault.BUSY:
        return DatabaseError(
            f"{path} is locked by another process ({sqlite_error_name(error)}); end that process or wait"
        )
    return DatabaseError(
        f"{path} cannot be opened: {error} ({sqlite_error_name(error)}); check that the folder exists, can be written, "
        "and that the disk has room"
    )
