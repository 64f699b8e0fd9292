"""What an SQLite error means for the writer.

Told apart by `sqlite_errorname` alone: in Python "locked" is a subclass of the class that also says "corrupt", and
the words of a message change between releases.
"""

from __future__ import annotations

import sqlite3
from enum import Enum


class Fault(Enum):
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


_FAULT_OF_CODE = {
    "SQLITE_BUSY": Fault.BUSY,
    "SQLITE_LOCKED": Fault.BUSY,
    "SQLITE_PROTOCOL": Fault.BUSY,
    "SQLITE_FULL": Fault.STORAGE,
    "SQLITE_IOERR": Fault.STORAGE,
    "SQLITE_READONLY": Fault.STORAGE,
    "SQLITE_CANTOPEN": Fault.STORAGE,
    "SQLITE_PERM": Fault.STORAGE,
    "SQLITE_NOMEM": Fault.STORAGE,
    "SQLITE_CORRUPT": Fault.DAMAGED,
    "SQLITE_NOTADB": Fault.DAMAGED,
    "SQLITE_CONSTRAINT": Fault.ROW,
    "SQLITE_MISMATCH": Fault.ROW,
    "SQLITE_TOOBIG": Fault.ROW,
}


def errorname(error: BaseException) -> str:
    """SQLite's name of the error, such as ``SQLITE_BUSY``; the Python class where SQLite gave none."""
    return getattr(error, "sqlite_errorname", None) or type(error).__name__


def classify(error: BaseException) -> Fault:
    """What the error means for the writer; a named error of ours means what SQLite's error behind it does.

    Extended codes (``SQLITE_IOERR_WRITE``) count as the primary one they begin with.
    """
    behind: BaseException | None = error
    while behind is not None and not isinstance(behind, sqlite3.Error):
        behind = behind.__cause__
    if behind is None:
        return Fault.UNKNOWN
    primary = "_".join(errorname(behind).split("_")[:2])
    return _FAULT_OF_CODE.get(primary, Fault.UNKNOWN)
