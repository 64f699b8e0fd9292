"""The ids of entries that were received, so that one which is sent again counts once.

The newest are in memory and in two files beside the journal, which the next start reads. An id is written after its
entry is accepted: a kill between the two lets the entry count again when it is repeated, and none is ever lost.
Processes with one log share the files, but each knows only its own ids and those that were there when it started.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

import anyio

from chainlog_async.common.cancellation import run_in_thread
from chainlog_async.common.file_lock import is_at_path, try_lock
from chainlog_async.common.log_throttle import LogThrottle
from chainlog_async.settings import Settings

MAX_IDS: Final = 100_000
"""How many ids a file holds. At least the newest so many are known, and at most twice as many."""

LOCK_PAUSE_S: Final = 0.001
"""Pause before another try while another process appends, in seconds."""

_SIZE: Final = 16
"""Bytes of an id: a hash, so that texts of any length need the same room."""


def id_of(*parts: str) -> bytes:
    """Returns the id that these texts make up."""
    return hashlib.blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=_SIZE).digest()


class ReceivedIds:
    """The ids of the newest entries that had one. For one event loop."""

    def __init__(self, settings: Settings) -> None:
        folder = settings.journal_path or settings.db_path.with_name(settings.db_path.name + ".journal")
        self._path = folder.with_name(folder.name.removesuffix(".journal") + ".received") if settings.journal else None
        self._new: set[bytes] = set()
        self._old: set[bytes] = set()
        self._unkept: list[bytes] = []
        self._is_loaded = False
        self._lock = anyio.Lock()
        self._throttle = LogThrottle()

    async def load(self) -> None:
        """Reads what an earlier process received; called again, does nothing."""
        async with self._lock:
            if self._is_loaded:
                return
            if self._path is not None:
                # A gateway may change its working directory later.
                self._path = await run_in_thread(self._path.absolute)
                self._old, self._new = await run_in_thread(_read, self._path)
            self._is_loaded = True

    def __contains__(self, entry_id: bytes) -> bool:
        """Returns whether an entry with this id was received."""
        return entry_id in self._new or entry_id in self._old

    def add(self, entry_id: bytes) -> None:
        """Remembers an id, in memory at first."""
        self._new.add(entry_id)
        self._unkept.append(entry_id)

    async def keep(self) -> None:
        """Writes the ids that were added, so that they survive a kill."""
        if not self._unkept:
            return
        async with self._lock:
            unkept, self._unkept = self._unkept, []
            if len(self._new) >= MAX_IDS:
                self._old, self._new = self._new, set()
            if self._path is None or not unkept:
                return
            try:
                await run_in_thread(_append, self._path, b"".join(unkept))
            except OSError as error:
                self._throttle.warn(
                    "ids of entries are in memory only, after a kill repeated ones count again", str(error)
                )


def _previous(path: Path) -> Path:
    return path.with_name(path.name + ".previous")


def _read(path: Path) -> tuple[set[bytes], set[bytes]]:
    old, new = (_ids(one) for one in (_previous(path), path))
    return old, new


def _ids(path: Path) -> set[bytes]:
    try:
        data = path.read_bytes()
    except OSError:
        return set()
    return {data[start : start + _SIZE] for start in range(0, len(data) - _SIZE + 1, _SIZE)}


def _append(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path) as file:
        # A kill or a full disk may have left a part of an id, after which all others would be read askew.
        file.truncate(file.seek(0, os.SEEK_END) // _SIZE * _SIZE)
        file.write(data)
        file.flush()
        # By the file's own size, to which other processes contribute.
        if file.tell() >= MAX_IDS * _SIZE:
            path.replace(_previous(path))


@contextmanager
def _locked(path: Path) -> Iterator[BinaryIO]:
    """Opens the file at the path, which no other process appends to or replaces until the end of the block."""
    while True:
        with path.open("ab") as file:
            if try_lock(file.fileno()) and is_at_path(file.fileno(), path):
                yield file
                return
        time.sleep(LOCK_PAUSE_S)
