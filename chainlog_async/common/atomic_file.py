"""A file in the making, which gets its name when it is whole. Everything here blocks; call it in a thread."""

from __future__ import annotations

import os
from pathlib import Path

from chainlog_async.errors import DatabaseError

from .disk_space import sync_folder
from .file_lock import is_at_path, try_lock

_SUFFIXES = ("-wal", "-shm", "-journal")


class AtomicFile:
    """A file beside the target, locked for as long as it is worked on, so that a dead one can be told."""

    def __init__(self, source: Path, target: Path, *, overwrite: bool) -> None:
        self._source = source
        # A rename would replace a symbolic link, not what it leads to.
        self._target = target.resolve()
        self._overwrite = overwrite
        self._descriptor: int | None = None
        self.path = self._target.with_name(f".{self._target.name}.partial")

    def begin(self) -> None:
        """Makes it, empty, or takes over what a killed process left. Raises `DatabaseError` or `OSError`."""
        self._refuse_bad_target()
        while self._descriptor is None:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                if _is_locked_and_in_place(self.path, descriptor):
                    self._descriptor = descriptor
            finally:
                if self._descriptor is None:
                    os.close(descriptor)
        os.ftruncate(self._descriptor, 0)
        os.fchmod(self._descriptor, 0o600)
        self._remove_journal()

    def publish(self) -> int:
        """Syncs it and gives it its name, for good. Returns its size in bytes. Raises `DatabaseError` or `OSError`."""
        descriptor = self._descriptor
        if descriptor is None:
            raise AssertionError("nothing was begun")
        os.fsync(descriptor)
        self._refuse_existing()
        size = os.fstat(descriptor).st_size
        self.path.rename(self._target)
        self._close()
        sync_folder(self._target.parent)
        return size

    def discard(self) -> None:
        """Leaves nothing behind; once the file has its name, does nothing."""
        if self._descriptor is not None:
            self.path.unlink(missing_ok=True)
            self._remove_journal()
            self._close()

    def _remove_journal(self) -> None:
        # SQLite would roll the journal of an earlier try back into the new file.
        Path(f"{self.path}-journal").unlink(missing_ok=True)

    def _close(self) -> None:
        # Not before the end: closing a file drops the locks that SQLite holds on it in this process.
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def _refuse_bad_target(self) -> None:
        source, target = self._source.resolve(), self._target
        if target.is_dir():
            raise DatabaseError(f"{target} is a folder; name a file in it")
        if not target.parent.is_dir():
            raise DatabaseError(f"{target.parent} is no folder; make it, or choose another one")
        own = [source, *(Path(f"{source}{suffix}") for suffix in _SUFFIXES)]
        if any(path == target or (path.exists() and target.exists() and path.samefile(target)) for path in own):
            raise DatabaseError(f"{target} belongs to the database itself; choose another name")
        self._refuse_existing()

    def _refuse_existing(self) -> None:
        for suffix in ("-wal", "-journal"):
            log = Path(f"{self._target}{suffix}")
            if log.exists():
                # SQLite would take it for the new file's own.
                raise DatabaseError(
                    f"{log} exists, so {self._target} is a database in use, or one that was not closed; "
                    "choose another name"
                )
        if self._target.exists() and not self._overwrite:
            raise DatabaseError(f"{self._target} exists already; choose another name, or replace it with --force")


def _is_locked_and_in_place(path: Path, descriptor: int) -> bool:
    """False when the file was published or removed before it was locked. Raises `DatabaseError` when it is in use."""
    if not try_lock(descriptor):
        raise DatabaseError(f"{path} is being written by another process; wait for it, or choose another name")
    return is_at_path(descriptor, path)
