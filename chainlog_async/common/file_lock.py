"""Locks on files that the kernel releases when their holder ends, however it ends.

``flock`` belongs to the open file, not to a process id, which the system may reuse. Everything here blocks for a
moment; call it in a thread.
"""

from __future__ import annotations

import os
from pathlib import Path

try:
    import fcntl
except ImportError:  # pragma: no cover  # Windows has no flock
    fcntl = None  # type: ignore[assignment]  # every use checks for it

HAS_FILE_LOCKS = fcntl is not None
"""Whether this system has ``flock``; without it every lock is granted."""


def try_lock(descriptor: int, *, shared: bool = False) -> bool:
    """Locks the open file without waiting; returns False when another open file holds it. Raises `OSError`."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_at_path(descriptor: int, path: Path) -> bool:
    """Returns whether the open file is still the one at the path, which may be gone. Raises `OSError`."""
    try:
        return path.stat().st_ino == os.fstat(descriptor).st_ino
    except FileNotFoundError:
        return False
