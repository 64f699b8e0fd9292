"""Database files that a forked child has to leave alone: those that its parent had open at the fork.

SQLite keeps one table of its locks a process, by device and inode. A child inherits that table, while the locks stay
with the parent: SQLite in the child takes the lock on such a file for its own, and rows are lost, or it waits for
ever. It has no way to begin anew, so the file cannot be opened in that child at all, not even to be read.
"""

from __future__ import annotations

import os
import threading
import weakref
from pathlib import Path
from typing import NamedTuple

import aiosqlite

from chainlog_async.errors import ForkedError

from .files import FileIdentity, file_identity


class _Known(NamedTuple):
    connection: weakref.ref[aiosqlite.Connection]
    thread: threading.Thread
    file: FileIdentity

    def is_open(self) -> bool:
        """Whether SQLite may have the file open for this connection, whoever opened or closed it."""
        connection = self.connection()
        if connection is not None and not connection._running and connection._connection is None:  # noqa: SLF001  # as below
            # It has been closed, and its thread is about to end.
            return False
        return self.thread.is_alive()


_lock = threading.Lock()
_known: tuple[_Known, ...] = ()
_at_fork: tuple[_Known, ...] = ()
_barred: frozenset[FileIdentity] = frozenset()


def note_opening(connection: aiosqlite.Connection, path: Path) -> None:
    """The connection is about to open that file. Blocks for a moment.

    Raises `ForkedError` when a process that this one was forked from had the file open at the fork, by whatever name.
    """
    global _known  # noqa: PLW0603  # as long as the process
    file = file_identity(path)
    if file is None:
        # There is no file; SQLite will say so.
        return
    if file in _barred:
        raise ForkedError(
            f"{path} was open in the process that process {os.getpid()} was forked from, and SQLite cannot share it "
            'with a forked child; spawn the child instead (multiprocessing\'s "spawn"), fork before the file is '
            "opened, or use another file"
        )
    thread = connection._thread  # noqa: SLF001  # there is no public way
    with _lock:
        lasting = (each for each in _known if each.thread.ident is None or each.thread.is_alive())
        # A new tuple each time: the fork reads it without the lock, which another thread may hold.
        _known = (*lasting, _Known(weakref.ref(connection), thread, file))


def note_closed(connection: aiosqlite.Connection) -> None:
    """SQLite has closed that connection, whose thread may go on for a moment."""
    global _known  # noqa: PLW0603  # as long as the process
    with _lock:
        _known = tuple(each for each in _known if each.connection() is not connection)


def _before_fork() -> None:
    # Afterwards, in the child, no thread but one seems to have been alive.
    global _at_fork  # noqa: PLW0603  # from here to the child
    _at_fork = tuple(each for each in _known if each.is_open())


def _after_fork_in_child() -> None:
    global _lock, _known, _barred  # noqa: PLW0603  # the child's own
    _lock = threading.Lock()
    _known = ()
    _barred |= {each.file for each in _at_fork}


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork_in_child)
