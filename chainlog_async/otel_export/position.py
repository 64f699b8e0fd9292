"""How far the export has come, in a file that one process uses at a time. Everything blocks; call it in a thread."""

from __future__ import annotations

import os

import msgspec

from chainlog_async.common.file_lock import try_lock
from chainlog_async.settings import Settings


class _Stored(msgspec.Struct, rename="camel"):
    after_id: int


class ExportPosition:
    """The id of the last request that was sent. Beside the database, or beside the journal of another engine."""

    def __init__(self, settings: Settings) -> None:
        beside = settings.db_path if settings.journal_path is None else settings.journal_path
        self._path = beside.with_name(beside.name + ".otel-export").absolute()
        self._lock: int | None = None

    def take(self) -> bool:
        """Returns whether this process may export from now on; False while another one does. Raises `OSError`."""
        if self._lock is not None:
            return True
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not try_lock(descriptor):
            os.close(descriptor)
            return False
        self._lock = descriptor
        return True

    def read(self) -> int | None:
        """Returns the id after which to go on; None when nothing was sent yet. Raises `OSError`.

        A file that cannot be understood counts as 0: rather everything again than something never.
        """
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=_Stored).after_id
        except FileNotFoundError:
            return None
        except msgspec.DecodeError:
            return 0

    def write(self, after_id: int) -> None:
        """Stores the id, so that it survives a kill. Raises `OSError`."""
        partial = self._path.with_name(self._path.name + ".partial")
        partial.write_bytes(msgspec.json.encode(_Stored(after_id)))
        partial.replace(self._path)

    def release(self) -> None:
        """Lets another process export."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
