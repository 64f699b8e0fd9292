"""What waits for more to come, such as spans for their parents, in files, so that a kill loses none of it.

A process appends to one file at a time and holds a lock on each of its files. What a process left that was killed is
read by the next that starts. Everything here blocks for a moment; call it in a thread.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Generic, NamedTuple, TypeVar
from uuid import uuid4

import msgspec

from chainlog_async.common.file_lock import is_at_path, try_lock

MAX_FILE_BYTES: Final = 16 * 1024 * 1024

_encoder = msgspec.json.Encoder()

Item = TypeVar("Item", bound=msgspec.Struct)


class _File(NamedTuple):
    path: Path
    descriptor: int
    begun_s: float


class Spool(Generic[Item]):
    """Files of items of one type in a folder. Times are those of a monotonic clock, in seconds. Not thread-safe."""

    def __init__(self, kind: type[Item], folder: Path, *, rotate_s: float) -> None:
        self._decoder = msgspec.json.Decoder(kind)
        self._folder = folder
        self._rotate_s = rotate_s
        self._files: deque[_File] = deque()
        self._last_s: deque[float] = deque()
        """When each file was last written to."""
        self._size = 0

    def has_left(self) -> bool:
        """Returns whether there are files, of this process or of others."""
        return any(self._folder.glob("*.jsonl"))

    def append(self, items: Sequence[Item], now_s: float) -> None:
        """Appends items; they survive a kill from here on. Raises `OSError`."""
        lines = _encoder.encode_lines(items)
        if not self._files or self._size > MAX_FILE_BYTES or self._files[-1].begun_s + self._rotate_s <= now_s:
            self._begin_file(now_s)
        _write(self._files[-1].descriptor, lines)
        self._size += len(lines)
        self._last_s[-1] = now_s

    def discard(self, before_s: float) -> None:
        """Deletes the files that were last written to before that time, because all that is in them is logged."""
        while self._files and self._last_s[0] < before_s:
            file = self._files.popleft()
            self._last_s.popleft()
            file.path.unlink(missing_ok=True)
            os.close(file.descriptor)
        if not self._files:
            self._size = 0

    def recover(self, now_s: float) -> list[Item]:
        """Takes over the files of processes that ended, and returns what is in them. Raises `OSError`."""
        # A gateway may change its working directory later.
        self._folder = self._folder.absolute()
        items: list[Item] = []
        for path in sorted(self._folder.glob("*.jsonl")):
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_APPEND)
            except FileNotFoundError:
                continue
            if not try_lock(descriptor) or not is_at_path(descriptor, path):
                os.close(descriptor)
                continue
            self._files.append(_File(path, descriptor, 0.0))
            self._last_s.append(now_s)
            items += self._read(path)
        return items

    def close(self) -> None:
        """Lets go of the files that are left, for the next process."""
        while self._files:
            os.close(self._files.popleft().descriptor)
        self._last_s.clear()

    def _begin_file(self, now_s: float) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / f"{uuid4().hex}.jsonl"
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
        try_lock(descriptor)
        self._files.append(_File(path, descriptor, now_s))
        self._last_s.append(now_s)
        self._size = 0

    def _read(self, path: Path) -> list[Item]:
        items = []
        for line in path.read_bytes().split(b"\n"):
            try:
                items.append(self._decoder.decode(line))
            except msgspec.DecodeError:
                # Empty, or the last one, which a kill cut short: its sender got no answer and sends it again.
                continue
        return items


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
