"""Entries that the database refused: listing, retrying and deleting them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import aiosqlite
import msgspec

from chainlog_async.common.progress import Progress, no_progress
from chainlog_async.common.sqlite import sqlite3
from chainlog_async.entry.json_input import entry_from_mapping, json_value
from chainlog_async.entry.redaction import Redactor
from chainlog_async.entry.repair import encode_storable
from chainlog_async.errors import InvalidEntryError
from chainlog_async.storage.base import StorageFault
from chainlog_async.storage.sqlite.errors import classify, sqlite_error_name

from .session import open_for_admin, open_for_reading, write_transaction

LIST_REJECTED = "SELECT id, rejected_at, error, entry FROM rejected_entries ORDER BY id DESC LIMIT ?"
REJECTED_IDS = "SELECT id FROM rejected_entries ORDER BY id"
REJECTED_ENTRY = "SELECT entry FROM rejected_entries WHERE id = ?"
REJECTED_SIZE = "SELECT rejected_at, LENGTH(CAST(entry AS BLOB)) FROM rejected_entries WHERE id = ?"
DELETE_REJECTED = "DELETE FROM rejected_entries WHERE id = ?"
WRITE_BATCH = "INSERT INTO batches (writer_id, start_position, end_position, lines) VALUES (?, 0, ?, ?)"
DELETE_POSITION = "DELETE FROM writer_positions WHERE writer_id = ?"
RETRY_WRITER_ID = "chainlog rejected retry"
"""Writer id under which an entry is retried with the statement of every batch; its position is deleted again."""


class RejectedEntry(msgspec.Struct, frozen=True, rename="camel"):
    """One entry that the database refused."""

    id: int
    rejected_at: int
    """In ms since the epoch, UTC."""
    error: str
    """What the database reported, with SQLite's error name; or what is wrong with the line in the journal."""
    entry: msgspec.Raw
    """JSON: an object with the entry's fields, or a string when the line was not an entry."""


class StillRejected(msgspec.Struct, frozen=True, rename="camel"):
    """An entry that was refused again, or does not exist."""

    id: int
    error: str


class RetryReport(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What `retry_rejected` did."""

    database: str
    written: tuple[int, ...]
    """Ids of the entries that are in the log now."""
    failed: tuple[StillRejected, ...]


class DeletePlan(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What `delete_rejected` would delete."""

    database: str
    found: tuple[int, ...]
    """Ids of rejected entries that exist."""
    missing: tuple[int, ...]
    """Ids that do not exist."""
    oldest: int | None
    """When the first of them was rejected, in ms since the epoch, UTC; None when none exists."""
    newest: int | None
    """When the last of them was rejected."""
    bytes: int
    """Size of their entries."""


class DeleteReport(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What `delete_rejected` did."""

    database: str
    deleted: tuple[int, ...]
    missing: tuple[int, ...]
    """Ids that do not exist."""


async def list_rejected(
    path: str | Path, limit: int | None = None, *, busy_timeout_ms: int = 5_000
) -> list[RejectedEntry]:
    """Returns the rejected entries, newest first, at most `limit`. Raises `DatabaseError`."""
    async with open_for_reading(path, busy_timeout_ms=busy_timeout_ms) as connection:
        rows = await connection.execute_fetchall(LIST_REJECTED, (-1 if limit is None else limit,))
        return [rejected_entry(tuple(row)) for row in rows]


def rejected_entry(row: Sequence[object]) -> RejectedEntry:
    """Of id, time, error and entry, as a database has them."""
    number, rejected_at, error, entry = row
    return RejectedEntry(int(str(number)), int(str(rejected_at)), str(error), msgspec.Raw(_json(str(entry))))


async def retry_rejected(
    path: str | Path,
    ids: Sequence[int] | None = None,
    *,
    redact: Callable[[str], str] = Redactor(),  # noqa: B008  # stateless to callers
    busy_timeout_ms: int = 5_000,
    on_progress: Progress = no_progress,
) -> RetryReport:
    """Writes rejected entries again: those with the `ids`, or without `ids` all of them, oldest first.

    Each is one transaction: the entry moves to the log and its totals, or stays rejected. Secrets are redacted by
    `redact`.

    Raises `DatabaseError` when the database cannot be written at all; what was written up to then stays written.
    """
    written: list[int] = []
    failed: list[StillRejected] = []
    async with open_for_admin(path, busy_timeout_ms=busy_timeout_ms) as connection:
        if ids is None:
            ids = [int(row[0]) for row in await connection.execute_fetchall(REJECTED_IDS)]
        for done, number in enumerate(ids):
            on_progress("retrying", done, len(ids))
            try:
                if await _retry(connection, number, redact):
                    written.append(number)
                else:
                    failed.append(StillRejected(number, "there is no rejected entry with that id"))
            except InvalidEntryError as error:
                failed.append(StillRejected(number, str(error)))
            except sqlite3.Error as error:
                if classify(error) is not StorageFault.ROW:
                    raise
                failed.append(StillRejected(number, f"{error} ({sqlite_error_name(error)})"))
    return RetryReport(database=str(path), written=tuple(written), failed=tuple(failed))


async def plan_deletion(path: str | Path, ids: Sequence[int], *, busy_timeout_ms: int = 5_000) -> DeletePlan:
    """Looks up what `delete_rejected` would delete; changes nothing. Raises `DatabaseError`."""
    found: dict[int, tuple[int, int]] = {}
    async with open_for_reading(path, busy_timeout_ms=busy_timeout_ms) as connection:
        for number in ids:
            for rejected_at, size in await connection.execute_fetchall(REJECTED_SIZE, (number,)):
                found[number] = (int(rejected_at), int(size))
    return deletion_plan(str(path), ids, found)


def deletion_plan(database: str, ids: Sequence[int], found: Mapping[int, tuple[int, int]]) -> DeletePlan:
    """Of the ids that were asked for, and the time and size of each that exists."""
    times = [rejected_at for rejected_at, _ in found.values()]
    return DeletePlan(
        database=database,
        found=tuple(number for number in ids if number in found),
        missing=tuple(number for number in ids if number not in found),
        oldest=min(times, default=None),
        newest=max(times, default=None),
        bytes=sum(size for _, size in found.values()),
    )


async def delete_rejected(path: str | Path, ids: Sequence[int], *, busy_timeout_ms: int = 5_000) -> DeleteReport:
    """Deletes rejected entries permanently, all in one transaction. Raises `DatabaseError`."""
    deleted: list[int] = []
    async with open_for_admin(path, busy_timeout_ms=busy_timeout_ms) as connection, write_transaction(connection):
        for number in ids:
            if list(await connection.execute_fetchall(REJECTED_ENTRY, (number,))):
                await connection.execute_fetchall(DELETE_REJECTED, (number,))
                deleted.append(number)
    missing = tuple(number for number in ids if number not in deleted)
    return DeleteReport(database=str(path), deleted=tuple(deleted), missing=missing)


async def _retry(connection: aiosqlite.Connection, number: int, redact: Callable[[str], str]) -> bool:
    """Returns False for an unknown id. Raises `InvalidEntryError` or `sqlite3.Error`; the entry then stays rejected."""
    async with write_transaction(connection):
        rows = list(await connection.execute_fetchall(REJECTED_ENTRY, (number,)))
        if not rows:
            return False
        line = encode_storable(entry_from_mapping(json_value(rows[0][0])), redact)
        await connection.execute_fetchall(WRITE_BATCH, (RETRY_WRITER_ID, len(line), b"[" + line + b"]"))
        await connection.execute_fetchall(DELETE_POSITION, (RETRY_WRITER_ID,))
        await connection.execute_fetchall(DELETE_REJECTED, (number,))
    return True


def _json(text: str) -> bytes:
    """Returns the text if it is JSON, otherwise the text as a JSON string, so that the result is always valid JSON."""
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return msgspec.json.encode(text)
    return text.encode()
