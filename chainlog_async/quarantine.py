"""Moving a damaged database out of the way, with everything that belongs to it, so that it can be looked at later.

Everything here blocks; call it in a thread.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from .lease import journal_folder

try:
    import fcntl
except ImportError:  # pragma: no cover  # Windows has no flock
    fcntl = None  # type: ignore[assignment]  # asked about before use

FileIdentity = tuple[int, int]
"""Device and inode: which file it is, whatever its name."""


def file_identity(path: Path) -> FileIdentity | None:
    """Which file is at the path, or None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def move_away(path: Path, damaged: FileIdentity | None) -> Path | None:
    """Renames database, -wal and -shm to one dated name. Returns it, or None when another process has done so already.

    Raises `OSError`. Several processes see the damage at once; a lock lets one of them act, and `damaged` tells the
    others that the file at the path is a new one.
    """
    folder = journal_folder(path)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder / "quarantine", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if file_identity(path) != damaged or damaged is None:
            return None
        target = _free_name(path)
        # The log first: a database without its log would be opened as if nothing were missing.
        for suffix in ("-wal", "-shm", ""):
            source = Path(f"{path}{suffix}")
            if source.exists():
                source.rename(f"{target}{suffix}")
        return target
    finally:
        os.close(descriptor)


def _free_name(path: Path) -> Path:
    stem = f"{path}.corrupt-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    names = [stem, *(f"{stem}-{number}" for number in range(2, 1_000))]
    return next(Path(name) for name in names if not Path(name).exists())
