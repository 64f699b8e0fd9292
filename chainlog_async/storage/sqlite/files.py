"""Which files belong to the database: itself, -wal and -shm."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FileIdentity = tuple[int, int]
"""Device and inode: which file it is, whatever its name."""


Logs = tuple[FileIdentity | None, ...]
"""Which files belong to a database, in the order of `LOG_SUFFIXES`."""


LOG_SUFFIXES = ("-wal", "-shm")


def file_identity(path: Path) -> FileIdentity | None:
    """Which file is at the path, or None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def logs_of(path: Path) -> Logs:
    """Which files are the database's -wal and -shm."""
    return tuple(file_identity(Path(f"{path}{suffix}")) for suffix in LOG_SUFFIXES)


@dataclass(frozen=True, slots=True)
class Files:
    """What is at the database's path, and beside it."""

    database: FileIdentity | None
    logs: Logs
    database_bytes: int
    """Size of the database, in bytes; `wal_bytes` is that of the write-ahead log."""
    wal_bytes: int


def look_at_files(path: Path) -> Files:
    """All of it in one go, for a thread. Blocks for a moment."""
    return Files(file_identity(path), logs_of(path), _size(path), _size(Path(f"{path}-wal")))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
