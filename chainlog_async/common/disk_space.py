"""Disk space, and file names that survive a power cut. Everything here blocks for a moment; call it in a thread."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from chainlog_async.errors import DatabaseError

_TEMPORARY_FOLDERS = ("/var/tmp", "/usr/tmp", "/tmp", ".")  # noqa: S108  # SQLite's candidates, in its order


@dataclass(frozen=True, slots=True)
class SpaceNeed:
    """Bytes that a task temporarily needs in a folder, and how many are free there."""

    folder: Path
    needed: int
    free: int


def space_needs(wants: Iterable[tuple[Path, int]]) -> list[SpaceNeed]:
    """Returns the needs of the wanted sizes by folder, summed for folders on the same disk. Raises `OSError`."""
    needs: dict[int, SpaceNeed] = {}
    for folder, size in wants:
        device = folder.stat().st_dev
        before = needs.get(device)
        needs[device] = SpaceNeed(
            before.folder if before else folder,
            size + (before.needed if before else 0),
            shutil.disk_usage(folder).free,
        )
    return list(needs.values())


def require_space(needs: Iterable[SpaceNeed], *, remedy: str) -> None:
    """Raises `DatabaseError` when one of the folders has too little space; call it before changing anything."""
    for need in needs:
        if need.needed > need.free:
            raise DatabaseError(
                f"{need.folder} has {need.free:,} bytes free and {need.needed:,} may be needed; "
                f"nothing was changed: {remedy}"
            )


def temporary_folder() -> Path:
    """Returns where SQLite puts its temporary files: the first of its candidates that is writable."""
    candidates = [os.environ.get("SQLITE_TMPDIR"), os.environ.get("TMPDIR"), *_TEMPORARY_FOLDERS]
    for candidate in candidates:
        if candidate and Path(candidate).is_dir() and os.access(candidate, os.W_OK | os.X_OK):
            return Path(candidate)
    return Path()


def sync_folder(folder: Path) -> None:
    """Syncs the names in the folder, so that they survive a power cut. Raises `OSError`."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
