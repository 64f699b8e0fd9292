"""A file that gets its name only once it is complete. Everything here blocks; call it in a thread."""

from __future__ import annotations

import os
from pathlib import Path

from chainlog_async.errors import DatabaseError

from .database_files import SQLITE_SUFFIXES, journal_folder
from .disk_space import sync_folder
from .file_lock import is_at_path, try_lock


class AtomicFile:
    """A partial file next to its target; its lock tells a file being written from the leftover of a dead process."""

    def __init__(self, source: Path, target: Path, *, overwrite: bool) -> None:
        self._source = source
        # A rename would replace a symbolic link instead of its target.
        self._target = target.resolve()
        self._overwrite = overwrite
        self._descriptor: int | None = None
        self.path = self._target.with_name(f".{self._target.name}.partial")

    def begin(self) -> None:
        """Creates an empty file, or takes over the leftover of a killed process.

        Raises `DatabaseError` or `OSError`.
        """
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
        """Syncs the file and renames it to the target. Returns its size in bytes.

        Raises `DatabaseError` or `OSError`.
        """
        descriptor = self._descriptor
        if descriptor is None:
            raise AssertionError("begin() was not called")
        os.fsync(descriptor)
        self._refuse_existing()
        size = os.fstat(descriptor).st_size
        self.path.rename(self._target)
        self._close()
        sync_folder(self._target.parent)
        return size

    def discard(self) -> None:
        """Removes the file and everything next to it; does nothing once it was published."""
        if self._descriptor is not None:
            self.path.unlink(missing_ok=True)
            self._remove_journal()
            self._close()

    def _remove_journal(self) -> None:
        # SQLite would roll the journal of an earlier attempt back into the new file.
        Path(f"{self.path}-journal").unlink(missing_ok=True)

    def _close(self) -> None:
        # Only at the end: closing a file drops the locks that SQLite holds on it in this process.
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def _refuse_bad_target(self) -> None:
        source, target = self._source.resolve(), self._target
        if target.is_dir():
            raise DatabaseError(f"{target} is a folder; name a file in it")
        if not target.parent.is_dir():
            raise DatabaseError(f"{target.parent} is not a folder; create it, or choose another one")
        own = [source, *(Path(f"{source}{suffix}") for suffix in SQLITE_SUFFIXES)]
        # Entries that are accepted and not yet written are in there.
        journal = journal_folder(source)
        if journal in (target, *target.resolve().parents) or any(
            path == target or _is_same_file(path, target) for path in own
        ):
            raise DatabaseError(f"{target} belongs to the database itself; choose another name")
        self._refuse_existing()

    def _refuse_existing(self) -> None:
        for suffix in ("-wal", "-journal"):
            log = Path(f"{self._target}{suffix}")
            if log.exists():
                # SQLite would treat it as belonging to the new file.
                raise DatabaseError(
                    f"{log} exists, so {self._target} is a database in use, or one that was not closed; "
                    "choose another name"
                )
        if self._target.exists() and not self._overwrite:
            raise DatabaseError(f"{self._target} already exists; choose another name, or replace it with --force")


def _is_locked_and_in_place(path: Path, descriptor: int) -> bool:
    """False when the file was published or removed before it was locked. Raises `DatabaseError` when it is in use."""
    if not try_lock(descriptor):
        raise DatabaseError(f"{path} is being written by another process; wait for it, or choose another name")
    return is_at_path(descriptor, path)


def _is_same_file(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except FileNotFoundError:
        return False
