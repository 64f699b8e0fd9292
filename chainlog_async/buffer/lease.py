"""Which writers are alive: a lock file per writer, whose lock is released when the writer ends, however it ends.

Everything here blocks for a moment; call it in a thread.
"""

from __future__ import annotations

import logging
import os
import time
import weakref
from collections.abc import Callable, Container, Iterator
from pathlib import Path

from chainlog_async.common.file_lock import HAS_FILE_LOCKS, is_at_path, try_lock

from .paths import LOCK_SUFFIX, SEGMENT_SUFFIX

logger = logging.getLogger(__name__)


class Lease:
    """A held lock. Only its holder may write, replay or delete that writer's journal."""

    def __init__(self, folder: Path, writer_id: str, descriptor: int) -> None:
        self.folder = folder
        self.writer_id = writer_id
        self._descriptor: int | None = descriptor
        _leases.add(self)

    def is_in_place(self) -> bool:
        """Whether the lock file is still at its path, where other processes look for it."""
        try:
            return self._descriptor is not None and is_at_path(
                self._descriptor, _lock_path(self.folder, self.writer_id)
            )
        except OSError:
            return False

    def release(self, *, remove: bool) -> None:
        """Releases the lock; with `remove`, deletes the lock file because nothing of this writer is left."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        try:
            if remove:
                # Deleted before the lock is released: whoever locks it next sees that it is no longer at its path.
                _lock_path(self.folder, self.writer_id).unlink(missing_ok=True)
        finally:
            os.close(descriptor)

    def disown(self) -> None:
        """In a forked child, closes the inherited descriptor, which would hold the lock after the owner's death."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


_leases: weakref.WeakSet[Lease] = weakref.WeakSet()


def take_lease(folder: Path, writer_id: str) -> Lease:
    """Takes the lease of a new writer id. Raises `OSError` when no lock can be taken."""
    if not HAS_FILE_LOCKS:
        raise OSError("this system has no flock, so running writers cannot be told from dead ones")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for _ in range(100):
        # Another process may take the new file for a dead writer's before it is locked; it will delete it soon.
        lease = _try_lock(folder, writer_id)
        if lease is not None:
            return lease
        time.sleep(0.01)
    raise OSError(f"another process holds the lock of writer {writer_id}")


def take_dead_leases(
    folder: Path, on_problem: Callable[[str], None] = logger.warning, *, but: Container[str] = ()
) -> Iterator[Lease]:
    """Yields the leases of dead writers one at a time, skipping writers that run or are being replayed.

    The writers `but` are skipped too: the caller itself and others that may run although their lock file was deleted.
    `on_problem` is called for each writer whose lock cannot be checked. Raises `OSError` when the folder cannot be
    read.
    """
    if not HAS_FILE_LOCKS or not folder.is_dir():
        return
    for writer_id in writers_in(folder):
        if writer_id in but:
            continue
        try:
            lease = _try_lock(folder, writer_id)
        except OSError as error:
            on_problem(f"the journal of an earlier writer cannot be taken over: {error}")
        else:
            if lease is not None:
                yield lease


def writers_in(folder: Path) -> list[str]:
    """Lists the ids of all writers that have a lock file or a journal there, running or dead. Raises `OSError`."""
    return sorted({path.name.split(".")[0] for path in folder.iterdir() if _is_ours(path)})


def writers_without_lock(folder: Path) -> set[str]:
    """The ids of writers that have a journal there and no lock file. Raises `OSError`."""
    if not folder.is_dir():
        return set()
    return {writer_id for writer_id in writers_in(folder) if not _lock_path(folder, writer_id).exists()}


def is_held(folder: Path, writer_id: str) -> bool:
    """Whether that writer runs or its journal is being replayed. Creates no file. Raises `OSError`.

    A dead writer may seem to run for the microseconds in which a starting process checks its lock.
    """
    try:
        descriptor = os.open(_lock_path(folder, writer_id), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not try_lock(descriptor, shared=True)
    finally:
        os.close(descriptor)


def _try_lock(folder: Path, writer_id: str) -> Lease | None:
    path = _lock_path(folder, writer_id)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        # Locked, but whoever held it before may have deleted it from its path.
        is_ours = try_lock(descriptor) and is_at_path(descriptor, path)
    except BaseException:
        os.close(descriptor)
        raise
    if is_ours:
        return Lease(folder, writer_id, descriptor)
    os.close(descriptor)
    return None


def _lock_path(folder: Path, writer_id: str) -> Path:
    return folder / f"{writer_id}{LOCK_SUFFIX}"


def _is_ours(path: Path) -> bool:
    return path.suffix in (LOCK_SUFFIX, SEGMENT_SUFFIX)


def _after_fork_in_child() -> None:
    for lease in list(_leases):
        lease.disown()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
