"""The files of a database: the file itself, its -wal and its -shm."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FileIdentity = tuple[int, int]
"""Device and inode, which identify a file whatever its name."""


Logs = tuple[FileIdentity | None, ...]
"""The identities of -wal and -shm, in the order of `LOG_SUFFIXES`; None for one that is missing."""


LOG_SUFFIXES = ("-wal", "-shm")


def file_identity(path: Path) -> FileIdentity | None:
    """The identity of the file at the path, or None when there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def logs_of(path: Path) -> Logs:
    """The identities of the database's -wal and -shm."""
    return tuple(file_identity(Path(f"{path}{suffix}")) for suffix in LOG_SUFFIXES)


@dataclass(frozen=True, slots=True)
class Files:
    """The database's files at one moment."""

    database: FileIdentity | None
    logs: Logs
    database_bytes: int
    """Size of the database, in bytes; `wal_bytes` is that of the write-ahead log."""
    wal_bytes: int


def look_at_files(path: Path) -> Files:
    """Reads identities and sizes. Blocks; call it in a thread."""
    return Files(file_identity(path), logs_of(path), _size(path), _size(Path(f"{path}-wal")))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
