"""The SQLite engine: one statement per batch, one hand-over to aiosqlite's thread."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import aiosqlite
import anyio
import msgspec

from chainlog_async.common.cancellation import run_shielded
from chainlog_async.common.clock import now_ms
from chainlog_async.common.sqlite import sqlite3
from chainlog_async.entry.line import check_line, line_as_json
from chainlog_async.errors import InvalidEntryError
from chainlog_async.prices.model import Price
from chainlog_async.storage.base import BatchStorage, IgnoredEvents, StorageEvents, StorageFault
from chainlog_async.storage.sqlite.maintenance.integrity_check import check_integrity
from chainlog_async.storage.sqlite.maintenance.rounds import MaintenanceRounds

from .connection import close_connection
from .errors import classify, describe, named_errors, sqlite_error_name
from .prices import ADD_PRICE_NAMES, ADD_PRICES, prices_as_json
from .version import tell_once_of_sqlite, version_notes
from .write_connection import WriteConnection

if TYPE_CHECKING:
    from chainlog_async.entry.batch import Batch
    from chainlog_async.settings import Settings

logger = logging.getLogger(__name__)

_WRITE_BATCH = "INSERT INTO batches (writer_id, start_position, end_position, lines) VALUES (?, ?, ?, ?)"
_REJECT = "INSERT INTO rejections (writer_id, end_position, rejected_at, error, entry) VALUES (?, ?, ?, ?, ?)"
_POSITION = "SELECT position FROM writer_positions WHERE writer_id = ?"
_FORGET = "DELETE FROM writer_positions WHERE writer_id = ?"

INTERRUPT_TIMEOUT_S = 1.0
"""How long shutdown waits for the outcome of a statement that it interrupted, in seconds."""

STUCK_CLOSE_TIMEOUT_S = 0.5
"""How long to wait for a connection to close when the database just failed to respond, in seconds."""

CLOSING_CHECKPOINT_TIMEOUT_S = 2.0
"""Longest checkpoint at shutdown, in seconds; SQLite does the rest at the next opening."""

DAMAGE_REMEDY = (
    "move it away together with its -wal and -shm, or move a recovered copy (sqlite3 FILE .recover) into its place; "
    "writing then resumes on its own"
)


class SqliteStorage(BatchStorage):
    """One SQLite file, over a connection from `open_database` that this object owns from now on."""

    def __init__(self, connection: aiosqlite.Connection, settings: Settings) -> None:
        self._file = WriteConnection(connection, settings, on_reopen=self._note_reopened)
        self._rounds = MaintenanceRounds(self._file, settings)
        self._events: StorageEvents = IgnoredEvents()
        self._on_reopen: Callable[[], Awaitable[None]] | None = None
        self._is_stuck = False

    @property
    def connection(self) -> aiosqlite.Connection:
        """The connection; a different one after the file was replaced."""
        return self._file.connection

    @property
    def is_stuck(self) -> bool:
        """See `BatchStorage.is_stuck`."""
        return self._is_stuck

    @property
    def notes(self) -> tuple[str, ...]:
        """Known bugs of this release of SQLite."""
        return version_notes()

    @property
    def damage_remedy(self) -> str:
        """See `BatchStorage.damage_remedy`."""
        return DAMAGE_REMEDY

    def report_to(self, events: StorageEvents, on_reopen: Callable[[], Awaitable[None]]) -> None:
        """See `BatchStorage.report_to`."""
        self._events, self._on_reopen = events, on_reopen

    async def start(self) -> Path:
        """Returns where the file is; its journal is beside it. Raises `DatabaseError`."""
        tell_once_of_sqlite()
        with named_errors(self._file.path):
            return await self._file.locate()

    async def commit(self, batch: Batch) -> None:
        """See `BatchStorage.commit`. Raises `sqlite3.Error`, or what opening a replaced file raises."""
        await self._file.require_file()
        payload = b"[" + batch.lines[:-1].replace(b"\n", b",") + b"]"
        # Autocommit: the statement is the transaction. On a busy loop a batch costs the time its thread waits for the
        # GIL, so there is one hand-over and one step (docs/explanation/design.md, "One statement per batch").
        await self.connection.execute_fetchall(_WRITE_BATCH, (batch.writer_id, batch.start, batch.end, payload))

    async def add_prices(self, prices: Sequence[Price], names: Mapping[tuple[str, str], tuple[str, str]]) -> None:
        """See `BatchStorage.add_prices`. Raises like `commit`."""
        await self._file.require_file()
        if prices:
            await self.connection.execute_fetchall(ADD_PRICES, (prices_as_json(prices),))
        if named := [(*logged, *priced) for logged, priced in names.items() if logged != priced]:
            await self.connection.execute_fetchall(ADD_PRICE_NAMES, (msgspec.json.encode(named).decode(),))

    async def reject(self, row: Batch, error: Exception) -> None:
        """Keeps the row in `rejected_entries`; otherwise like `commit`."""
        await self._file.require_file()
        entry = line_as_json(row.lines.rstrip(b"\n"))
        await self.connection.execute_fetchall(_REJECT, (row.writer_id, row.end, now_ms(), describe(error), entry))

    async def position(self, writer_id: str) -> int:
        """See `BatchStorage.position`. Raises like `commit`."""
        await self._file.require_file()
        return await self._position(writer_id)

    async def forget(self, writer_id: str) -> None:
        """See `BatchStorage.forget`. Raises `sqlite3.Error`, or `ValueError` when the connection is closed."""
        await self.connection.execute_fetchall(_FORGET, (writer_id,))

    async def interrupt(self, batch: Batch) -> int | None:
        """See `BatchStorage.interrupt`."""
        with anyio.move_on_after(INTERRUPT_TIMEOUT_S):
            try:
                await self.connection.interrupt()
                return await self._position(batch.writer_id)
            except (sqlite3.Error, ValueError):
                # An error is an answer too: the statement has ended.
                return 0
        self._is_stuck = True
        return None

    async def wait_until_idle(self) -> bool:
        """See `BatchStorage.wait_until_idle`."""
        with anyio.move_on_after(INTERRUPT_TIMEOUT_S):
            # An error is an answer too: the statement has ended.
            with suppress(sqlite3.Error, ValueError):
                await self.connection.interrupt()
                await self._file.query("SELECT 1")
            return True
        self._is_stuck = True
        return False

    def classify(self, error: BaseException, batch: Batch | None = None) -> StorageFault:
        """By SQLite's name of the error; SQLITE_ERROR blames a row if a line of the batch is not valid JSON."""
        if batch is not None and isinstance(error, sqlite3.Error) and sqlite_error_name(error) == "SQLITE_ERROR":
            return StorageFault.ROW if any(map(_is_broken, batch.lines.splitlines())) else StorageFault.UNKNOWN
        fault = classify(error)
        if batch is not None and fault is StorageFault.ROW and not isinstance(error, sqlite3.Error):
            # Only the statement that inserts a row can blame it, not an error while the file is opened again.
            return StorageFault.UNKNOWN
        return fault

    def describe(self, error: BaseException) -> str:
        """With SQLite's name of the error."""
        return describe(error)

    async def recover(self, fault: StorageFault) -> None:
        """See `BatchStorage.recover`. Raises `DatabaseError` or `OSError` when the path cannot be opened now."""
        await self._file.recover(fault)

    async def maintain(self, *, is_behind: bool) -> float:
        """See `BatchStorage.maintain`."""
        return await self._rounds.run_if_due(self._events, is_behind=is_behind)

    async def check_after_crash(self) -> None:
        """Runs ``PRAGMA quick_check`` on a reader, beside the writer."""
        finding = await check_integrity(self._file.path)
        if finding is not None:
            self._events.note_corruption(f"quick_check found: {finding}; make a copy, then run `chainlog check`")

    async def aclose(self) -> None:
        """Moves the write-ahead log into the database, so that it is one file, and closes the connection."""
        await run_shielded(self._close())

    async def _close(self) -> None:
        if self._is_stuck:
            await close_connection(self.connection, interrupting=True, timeout_s=STUCK_CLOSE_TIMEOUT_S)
            return
        try:
            with anyio.move_on_after(CLOSING_CHECKPOINT_TIMEOUT_S):
                await self._checkpoint()
        finally:
            # Interrupting: a batch that shutdown abandoned, or the checkpoint, may still be running.
            await close_connection(self.connection, interrupting=True)

    async def _checkpoint(self) -> None:
        try:
            busy, frames, moved = await self._file.numbers("PRAGMA wal_checkpoint(TRUNCATE)")
        except (sqlite3.Error, ValueError) as error:
            logger.warning("the checkpoint at shutdown failed: %s", describe(error))
        else:
            if busy:
                logger.info(
                    "the checkpoint at shutdown moved %d of %d frames; another process is reading", moved, frames
                )

    async def _position(self, writer_id: str) -> int:
        rows = await self._file.query(_POSITION, (writer_id,))
        return int(str(rows[0][0])) if rows else 0

    async def _note_reopened(self) -> None:
        self._events.note_reopened()
        if self._on_reopen is not None:
            await self._on_reopen()


def _is_broken(line: bytes) -> bool:
    try:
        check_line(line)
    except InvalidEntryError:
        return True
    return False
