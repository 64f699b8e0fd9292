"""Entries that the database refused: looking at them, trying again, deleting them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

import aiosqlite
import msgspec

from chainlog_async.common.progress import Progress, no_progress
from chainlog_async.entry.json_input import entry_from_json
from chainlog_async.entry.line import encode_line
from chainlog_async.entry.redaction import Redactor
from chainlog_async.errors import InvalidEntryError
from chainlog_async.storage.base import StorageFault
from chainlog_async.storage.sqlite.errors import classify, sqlite_error_name

from .session import open_for_admin, open_for_reading, write_transaction

LIST_REJECTED = "SELECT id, rejected_at, error, entry FROM rejected_entries ORDER BY id DESC LIMIT ?"
REJECTED_IDS = "SELECT id FROM rejected_entries ORDER BY id"
REJECTED_ENTRY = "SELECT entry FROM rejected_entries WHERE id = ?"
DELETE_REJECTED = "DELETE FROM rejected_entries WHERE id = ?"
WRITE_BATCH = "INSERT INTO batches (writer_id, start_position, end_position, lines) VALUES (?, 0, ?, ?)"
DELETE_POSITION = "DELETE FROM writer_positions WHERE writer_id = ?"
RETRY_WRITER_ID = "chainlog rejected retry"
"""Stands for a writer while one entry is written by the same statement as every batch; its position goes with it."""


class RejectedEntry(msgspec.Struct, frozen=True, rename="camel"):
    """One entry that the database refused."""

    id: int
    rejected_at: int
    """In ms since the epoch, UTC."""
    error: str
    """What the database said, with SQLite's name for it; or what is wrong with the line in the journal."""
    entry: msgspec.Raw
    """JSON: an object with the entry's fields, or a string when the line was none."""


class StillRejected(msgspec.Struct, frozen=True, rename="camel"):
    """An entry that was tried again in vain, or is not there."""

    id: int
    error: str


class RetryReport(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What `retry_rejected` did."""

    database: str
    written: tuple[int, ...]
    """Ids of the entries that are in the log now."""
    failed: tuple[StillRejected, ...]


class DeleteReport(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What `delete_rejected` did."""

    database: str
    deleted: tuple[int, ...]
    missing: tuple[int, ...]
    """Ids that are not there."""


async def list_rejected(
    path: str | Path, limit: int | None = None, *, busy_timeout_ms: int = 5_000
) -> list[RejectedEntry]:
    """The refused entries, newest first. Raises `DatabaseError`, such as `DatabaseMissingError`."""
    async with open_for_reading(path, busy_timeout_ms=busy_timeout_ms) as connection:
        rows = await connection.execute_fetchall(LIST_REJECTED, (-1 if limit is None else limit,))
        return [RejectedEntry(row[0], row[1], row[2], msgspec.Raw(_json(row[3]))) for row in rows]


async def retry_rejected(
    path: str | Path,
    ids: Sequence[int] | None = None,
    *,
    redact: Callable[[str], str] = Redactor(),  # noqa: B008  # immutable
    busy_timeout_ms: int = 5_000,
    on_progress: Progress = no_progress,
) -> RetryReport:
    """Tries to write refused entries, oldest first; all of them without `ids`.

    Each is one transaction: it is in the log and its totals and gone from here, or it stays here as it was. Raises
    `DatabaseError` when the database cannot be written at all; what was written up to then stays written.
    """
    written: list[int] = []
    failed: list[StillRejected] = []
    async with open_for_admin(path, busy_timeout_ms=busy_timeout_ms) as connection:
        if ids is None:
            ids = [int(row[0]) for row in await connection.execute_fetchall(REJECTED_IDS)]
        for done, number in enumerate(ids):
            on_progress("trying again", done, len(ids))
            try:
                if await _retry(connection, number, redact):
                    written.append(number)
                else:
                    failed.append(StillRejected(number, "there is no rejected entry of that number"))
            except InvalidEntryError as error:
                failed.append(StillRejected(number, str(error)))
            except sqlite3.Error as error:
                if classify(error) is not StorageFault.ROW:
                    raise
                failed.append(StillRejected(number, f"{error} ({sqlite_error_name(error)})"))
    return RetryReport(database=str(path), written=tuple(written), failed=tuple(failed))


async def delete_rejected(path: str | Path, ids: Sequence[int], *, busy_timeout_ms: int = 5_000) -> DeleteReport:
    """Deletes refused entries for good, all in one transaction. Raises `DatabaseError`."""
    deleted: list[int] = []
    async with open_for_admin(path, busy_timeout_ms=busy_timeout_ms) as connection, write_transaction(connection):
        for number in ids:
            if list(await connection.execute_fetchall(REJECTED_ENTRY, (number,))):
                await connection.execute_fetchall(DELETE_REJECTED, (number,))
                deleted.append(number)
    missing = tuple(number for number in ids if number not in deleted)
    return DeleteReport(database=str(path), deleted=tuple(deleted), missing=missing)


async def _retry(connection: aiosqlite.Connection, number: int, redact: Callable[[str], str]) -> bool:
    """False when there is no such entry. Raises `InvalidEntryError` or `sqlite3.Error`; the entry then stays."""
    async with write_transaction(connection):
        rows = list(await connection.execute_fetchall(REJECTED_ENTRY, (number,)))
        if not rows:
            return False
        line = encode_line(entry_from_json(rows[0][0]), redact)
        await connection.execute_fetchall(WRITE_BATCH, (RETRY_WRITER_ID, len(line), b"[" + line + b"]"))
        await connection.execute_fetchall(DELETE_POSITION, (RETRY_WRITER_ID,))
        await connection.execute_fetchall(DELETE_REJECTED, (number,))
    return True


def _json(text: str) -> bytes:
    """The text if it is JSON, else the text as a JSON string, so that whatever holds it is JSON."""
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return msgspec.json.encode(text)
    return text.encode()
