"""Keeps a forked child from opening database files that its parent had open at the fork.

SQLite keeps one table of its locks per process, by device and inode. A child inherits the table, but the locks stay
with the parent: SQLite in the child believes that it holds them, and loses rows or waits forever. The table cannot be
reset, so the child must not open such a file at all, not even for reading.
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
        """Whether SQLite may still have the file open for this connection."""
        connection = self.connection()
        if connection is not None and not connection._running and connection._connection is None:  # noqa: SLF001  # there is no public way
            # It was closed, and its thread is about to end.
            return False
        return self.thread.is_alive()


_lock = threading.Lock()
_known: tuple[_Known, ...] = ()
_at_fork: tuple[_Known, ...] = ()
_barred: frozenset[FileIdentity] = frozenset()


def note_opening(connection: aiosqlite.Connection, path: Path) -> None:
    """Notes that the connection is about to open that file. Blocks briefly.

    Raises `ForkedError` when a process that this one was forked from had the file open at the fork, by whatever name.
    """
    global _known  # noqa: PLW0603  # lasts as long as the process
    file = file_identity(path)
    if file is None:
        # SQLite will report that there is no file.
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
        # A new tuple each time: the fork handler reads it without the lock, which another thread may hold.
        _known = (*lasting, _Known(weakref.ref(connection), thread, file))


def note_closed(connection: aiosqlite.Connection) -> None:
    """Notes that SQLite has closed that connection; its thread may still run for a moment."""
    global _known  # noqa: PLW0603  # lasts as long as the process
    with _lock:
        _known = tuple(each for each in _known if each.connection() is not connection)


def _before_fork() -> None:
    # In the child it is too late: there, only the forking thread is alive.
    global _at_fork  # noqa: PLW0603  # read by the handler in the child
    _at_fork = tuple(each for each in _known if each.is_open())


def _after_fork_in_child() -> None:
    global _lock, _known, _barred  # noqa: PLW0603  # the child starts with its own
    _lock = threading.Lock()
    _known = ()
    _barred |= {each.file for each in _at_fork}


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork_in_child)
