"""Which writers are alive: a lock file per writer, whose lock is released when the writer ends, however it ends.

Everything here blocks for a moment; call it in a thread.
"""

from __future__ import annotations

import logging
import os
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

from chainlog_async.common.file_lock import HAS_FILE_LOCKS, is_at_path, try_lock

from .paths import LOCK_SUFFIX, SEGMENT_SUFFIX

logger = logging.getLogger("chainlog_async")


class Lease:
    """A held lock; the holder alone may write, replay or delete that writer's journal."""

    def __init__(self, folder: Path, writer_id: str, descriptor: int) -> None:
        self.folder = folder
        self.writer_id = writer_id
        self._descriptor: int | None = descriptor
        _leases.add(self)

    def is_in_place(self) -> bool:
        """Whether the lock file is still where others look for it."""
        try:
            return self._descriptor is not None and is_at_path(
                self._descriptor, _lock_path(self.folder, self.writer_id)
            )
        except OSError:
            return False

    def release(self, *, remove: bool) -> None:
        """Lets go; with `remove`, nothing of this writer is left and the lock file goes too."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        try:
            if remove:
                # Before the lock is free: whoever gets it afterwards sees that the file is not at its place any more.
                _lock_path(self.folder, self.writer_id).unlink(missing_ok=True)
        finally:
            os.close(descriptor)

    def disown(self) -> None:
        """In a forked child: a copy of the descriptor would keep the lock when the owner has died."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


_leases: weakref.WeakSet[Lease] = weakref.WeakSet()


def take_lease(folder: Path, writer_id: str) -> Lease:
    """A lease under an id that nobody else has. Raises `OSError` when there can be no lock."""
    if not HAS_FILE_LOCKS:
        raise OSError("this system has no flock, so a journal could not be told from a dead one's")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for _ in range(100):
        # Another starter may take the fresh file for a dead writer's before it is locked; it then removes it soon.
        lease = _try_lock(folder, writer_id)
        if lease is not None:
            return lease
        time.sleep(0.01)
    raise OSError(f"another process holds the lock of writer {writer_id}")


def take_dead_leases(
    folder: Path, on_problem: Callable[[str], None] = logger.warning, *, but: str = ""
) -> Iterator[Lease]:
    """Leases of writers that are dead, one at a time; those of the living, or of another taker, are passed over.

    So is the writer `but`: who looks knows of itself that it lives, even when somebody has deleted its lock file.
    `on_problem` is told of a writer whose lock cannot be asked. Raises `OSError` when the folder cannot be read.
    """
    if not HAS_FILE_LOCKS or not folder.is_dir():
        return
    for writer_id in writers_in(folder):
        if writer_id == but:
            continue
        try:
            lease = _try_lock(folder, writer_id)
        except OSError as error:
            on_problem(f"the journal of a writer before this one cannot be taken over: {error}")
        else:
            if lease is not None:
                yield lease


def writers_in(folder: Path) -> list[str]:
    """The ids of all writers that have a lock or a journal there, living and dead. Raises `OSError`."""
    return sorted({path.name.split(".")[0] for path in folder.iterdir() if _is_ours(path)})


def is_held(folder: Path, writer_id: str) -> bool:
    """Whether that writer lives, or somebody replays its journal. Makes no file. Raises `OSError`.

    A starter that looks for dead writers in the same microseconds may take a dead one for living.
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
        # Locked, but is it still the file at that path? A taker that finished has removed it.
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
