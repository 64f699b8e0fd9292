"""Moves a damaged database aside with everything that belongs to it, so that it can be inspected later.

Everything here blocks; call it in a thread.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from chainlog_async.common.database_files import journal_folder
from chainlog_async.common.file_lock import try_lock

from .files import LOG_SUFFIXES, FileIdentity, Logs, file_identity, logs_of


def move_away(path: Path, damaged: FileIdentity | None) -> Path | None:
    """Renames database, -wal and -shm to one dated name. Returns it, or None when another process already did.

    Several processes may notice the damage at once: a lock lets one of them act, and `damaged`, the identity of the
    damaged file, tells the others that a new file is at the path. Raises `OSError`.
    """
    with _exclusive(path):
        if file_identity(path) != damaged or damaged is None:
            return None
        target = _free_name(path, "corrupt")
        # The log first: a database without its log would open as if nothing were missing.
        for suffix in (*LOG_SUFFIXES, ""):
            with suppress(FileNotFoundError):
                Path(f"{path}{suffix}").rename(f"{target}{suffix}")
        return target


def set_logs_aside(path: Path, file: FileIdentity | None, logs: Logs) -> Path | None:
    """Renames the -wal and -shm of a database that is no longer at its path: they would corrupt another one there.

    `file` and `logs` identify what was open. Returns their new name without the suffix, or None when there was nothing
    to do. Raises `OSError`.
    """
    if not _leftover_suffixes(path, logs):
        return None
    with _exclusive(path):
        left = _leftover_suffixes(path, logs)
        if not left or file_identity(path) == file:
            return None
        target = _free_name(path, "replaced")
        for suffix in left:
            Path(f"{path}{suffix}").rename(f"{target}{suffix}")
        return target


def _leftover_suffixes(path: Path, logs: Logs) -> list[str]:
    now = zip(LOG_SUFFIXES, logs, logs_of(path), strict=True)
    return [suffix for suffix, log, there in now if log is not None and there == log]


@contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    """Locks out other processes while the block runs; raises `BlockingIOError` when one is at work."""
    folder = journal_folder(path)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder / "quarantine", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        # Not waited for: the writer tries again, and another process must not delay a shutdown.
        if not try_lock(descriptor):
            raise BlockingIOError(f"another process is moving files of {path} aside")
        yield
    finally:
        os.close(descriptor)


def _free_name(path: Path, why: str) -> Path:
    stem = f"{path}.{why}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    names = [stem, *(f"{stem}-{number}" for number in range(2, 1_000))]
    return next(
        Path(name) for name in names if not any(Path(f"{name}{suffix}").exists() for suffix in (*LOG_SUFFIXES, ""))
    )
