"""Stores the rows of an export, each once, under their own ids where that is possible.

A row that the log already has is left out, so that an export can be imported twice, or into the log it came from. Two
rows are the same request when all their values are the same but for the id in the database, and for an empty text where
the other has NULL; what the log has several times, it has for as many rows of the export.
"""

from __future__ import annotations

import logging
import math
import sqlite3
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import aiosqlite
import anyio
import msgspec

from chainlog_async.common.cancellation import run_shielded
from chainlog_async.entry.model import LATER_FIELDS, Attempt, RequestLogEntry
from chainlog_async.entry.repair import encode_storable
from chainlog_async.errors import DatabaseError
from chainlog_async.requests.model import COLUMNS, JSON_COLUMNS, RequestLogRow
from chainlog_async.requests.stored_row import logged_attempt, request_of_row
from chainlog_async.storage.base import StorageFault
from chainlog_async.storage.sqlite.connection import close_connection, initialize_database
from chainlog_async.storage.sqlite.errors import classify, named_errors

from .session import open_for_admin, write_slice

logger = logging.getLogger(__name__)

SLICE_ROWS = 1_000
"""Rows that are stored in one transaction; a gateway writes in between."""

MAX_KEPT_ID = 1_000_000_000_000
"""Highest id that is kept: later rows get higher ones, and there must be room for them."""

LOCK_PAUSE_S = 0.1
"""Pause between two tries to write while another process holds the lock, in seconds."""

WAITS_BEFORE_WARNING = 5
"""How often in a row the lock may be held by somebody, which may be a writer's maintenance, before that is told."""

_PREPARE = (
    # In the order of the ids: they are to grow in the order in which rows are stored.
    "CREATE TEMP TABLE staged (id INTEGER, place INTEGER, given BLOB, line BLOB, PRIMARY KEY (id, place))",
    # Rows of the log that are accounted for by a row of this export.
    "CREATE TEMP TABLE matched (id INTEGER PRIMARY KEY)",
)
_CLEAR = ("DELETE FROM staged", "DELETE FROM matched")
_STAGE = "INSERT INTO staged (id, place, given, line) VALUES (?, ?, ?, ?)"
_NEXT = "SELECT id, place, given, line FROM staged WHERE (id, place) > (?, ?) ORDER BY id, place LIMIT ?"
_MATCH = "INSERT INTO matched (id) VALUES (?)"
_LAST_ID = "SELECT COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'request_logs'), 0)"
# 429chain stores times with a fraction, which an export rounds.
_CANDIDATES = f"""
SELECT {", ".join(f"logged.{name}" for name in COLUMNS)}
FROM json_each(?) AS wanted CROSS JOIN request_logs AS logged INDEXED BY idx_logs_timestamp
  ON logged.timestamp >= wanted.value - 0.5 AND logged.timestamp < wanted.value + 0.5
WHERE logged.id NOT IN (SELECT id FROM matched)
ORDER BY logged.id
"""  # noqa: S608  # built from the names of the columns
_INSERT = f"INSERT INTO request_logs ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608  # likewise


class _Line(msgspec.Struct, array_like=True):
    """The values of a line, in the order of `RequestLogEntry`; one without optional values ends before them."""

    timestamp: int
    chain_name: str
    provider_id: str
    model: str
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int | None
    latency_ms: float
    http_status: int
    attempts: int
    error_message: str | None = None
    request_id: str | None = None
    caller: str | None = None
    ttft_ms: float | None = None
    cost_usd: float | None = None
    streamed: bool | None = None
    cached_tokens: int | None = None
    metadata: dict[str, msgspec.Raw] | None = None
    attempt_trail: list[msgspec.Raw] | None = None
    cache_write_tokens: int | None = None
    cache_write_1h_tokens: int | None = None
    reasoning_tokens: int | None = None
    prompt_audio_tokens: int | None = None
    completion_audio_tokens: int | None = None
    finish_reason: str | None = None
    service_tier: str | None = None
    response_id: str | None = None
    session_id: str | None = None
    tags: list[msgspec.Raw] | None = None
    cost_source: str | None = None


_Staged = tuple[int, int, bytes | None, bytes]
"""Id in the export, place in the export, key of the values as given if it differs, and the line."""

_decode_line = msgspec.json.Decoder(_Line).decode
_encode = msgspec.json.Encoder().encode
_encode_key = msgspec.json.Encoder(order="sorted").encode


class ExportedRow(msgspec.Struct, frozen=True):
    """A row of an export."""

    id: int
    """Its id in the log that it was exported from."""
    entry: RequestLogEntry


@dataclass(slots=True)
class RestoreCounts:
    """What became of the rows of exports."""

    staged: int = 0
    """Rows that were read."""
    stored: int = 0
    duplicates: int = 0
    """Rows that the log already had."""

    @property
    def missing(self) -> int:
        """Rows that were read and are not in the log."""
        return self.staged - self.stored - self.duplicates


async def require_writable(path: str | Path, *, busy_timeout_ms: int = 5_000) -> None:
    """Raises `DatabaseError` when nothing can be written to the database, as when its file is read-only.

    A lock of another process is no reason, nor is anything that opening the log would report. Creates the database if
    it is missing.
    """
    try:
        connection = await initialize_database(path, busy_timeout_ms=busy_timeout_ms)
    except DatabaseError:
        # Opening the log says so too, or has a remedy.
        return
    try:
        with named_errors(path):
            # BEGIN IMMEDIATE alone succeeds on a file that is read-only.
            for statement in ("BEGIN IMMEDIATE", "CREATE TABLE write_probe (id)", "ROLLBACK"):
                await connection.execute_fetchall(statement)
    except DatabaseError as error:
        if classify(error) is not StorageFault.BUSY:
            raise
    finally:
        await close_connection(connection)


@asynccontextmanager
async def open_restore(
    path: str | Path, redact: Callable[[str], str], *, busy_timeout_ms: int = 500
) -> AsyncGenerator[Restore]:
    """Opens the log for the rows of exports. Secrets in them are redacted by `redact`.

    Raises `DatabaseError` when the log cannot be opened, and in the block when it cannot be written.
    """
    async with open_for_admin(path, busy_timeout_ms=busy_timeout_ms) as connection:
        for statement in _PREPARE:
            await connection.execute_fetchall(statement)
        yield Restore(path, connection, redact)


class Restore:
    """Takes the rows of one export after another: `take` and `stage` them, then `store` them."""

    def __init__(self, path: str | Path, connection: aiosqlite.Connection, redact: Callable[[str], str]) -> None:
        self._path = path
        self._connection = connection
        self._redact = redact
        self._taken: list[_Staged] = []
        self._places = 0
        self._last: tuple[int, set[bytes]] = (-1, set())
        self._waits = 0
        self.counts = RestoreCounts()

    def take(self, row: ExportedRow) -> None:
        """Checks a row and keeps it for `stage`. Raises `InvalidEntryError` for one that cannot be stored."""
        line = encode_storable(row.entry, self._redact)
        self._places += 1
        self._taken.append((row.id, self._places, _key_as_given(row.entry, line), line))

    async def stage(self) -> None:
        """Puts what was taken aside, on disk, until the export is read to its end. Raises `DatabaseError`."""
        if not self._taken:
            return
        taken, self._taken = self._taken, []
        with named_errors(self._path):
            await run_shielded(self._stage(taken))
        self.counts.staged += len(taken)

    async def store(self, on_progress: Callable[[int], None]) -> None:
        """Stores what was staged, in slices, unless the log has it. `on_progress` gets the rows done so far.

        Waits while another process holds the lock; cancel it to stop waiting. Then the slices before are stored.
        Raises `DatabaseError`.
        """
        await self.stage()
        self._last = (-1, set())
        after, done = (-1, -1), 0
        with named_errors(self._path):
            while rows := await self._next_staged(after):
                offered = [_Offered.of(*row) for row in rows]
                while not await run_shielded(self._store_slice(offered)):  # noqa: ASYNC110  # a lock has no event to wait for
                    await anyio.sleep(LOCK_PAUSE_S)
                after = (rows[-1][0], rows[-1][1])
                done += len(rows)
                on_progress(done)
            for statement in _CLEAR:
                await self._connection.execute_fetchall(statement)

    async def _next_staged(self, after: tuple[int, int]) -> list[_Staged]:
        rows = await self._connection.execute_fetchall(_NEXT, (*after, SLICE_ROWS))
        return [cast("_Staged", tuple(row)) for row in rows]

    async def _stage(self, taken: Sequence[_Staged]) -> None:
        # One transaction, which touches temporary tables only and so takes no lock.
        await self._connection.execute_fetchall("BEGIN")
        await self._connection.executemany(_STAGE, taken)
        await self._connection.execute_fetchall("COMMIT")

    async def _store_slice(self, offered: Sequence[_Offered]) -> bool:
        """Stores or leaves out each row. Returns False when another process holds the lock."""
        try:
            async with write_slice(self._connection):
                stored = await self._match_and_insert(offered)
        except sqlite3.Error as error:
            if classify(error) is not StorageFault.BUSY:
                raise
            self._waits += 1
            if self._waits == WAITS_BEFORE_WARNING:
                logger.warning("the database is locked by another process; waiting for it")
            return False
        self._waits = 0
        self.counts.stored += stored
        self.counts.duplicates += len(offered) - stored
        return True

    async def _match_and_insert(self, offered: Sequence[_Offered]) -> int:
        ((last_id,),) = await self._connection.execute_fetchall(_LAST_ID)
        known = await self._find_candidates(offered)
        new: list[tuple[object, ...]] = []
        matched: list[tuple[int]] = []
        for row in offered:
            if self._is_repeated(row):
                continue
            if same := known.get(row.given) or known.get(row.key):
                # Its own id first: another row with these values may be in the export too.
                found = row.id if row.id in same else next(iter(same))
                del same[found]
                matched.append((found,))
            else:
                last_id = max(last_id + 1, row.id if row.id <= MAX_KEPT_ID else 0)
                new.append((last_id, *row.values))
                matched.append((last_id,))
        await self._connection.executemany(_INSERT, new)
        await self._connection.executemany(_MATCH, matched)
        return len(new)

    def _is_repeated(self, row: _Offered) -> bool:
        """Whether the export has this very row twice, as one of two overlapping exports in one file."""
        last_id, keys = self._last
        if last_id != row.id:
            self._last = (row.id, {row.key})
            return False
        if row.key in keys:
            return True
        keys.add(row.key)
        return False

    async def _find_candidates(self, offered: Sequence[_Offered]) -> dict[bytes, dict[int, None]]:
        """The ids of rows of the log that are not accounted for yet, by their values."""
        found: dict[bytes, dict[int, None]] = {key: {} for row in offered for key in (row.given, row.key)}
        times = _encode(sorted({row.values[0] for row in offered if isinstance(row.values[0], int)})).decode()
        async with self._connection.execute(_CANDIDATES, (times,)) as cursor:
            while rows := await cursor.fetchmany(SLICE_ROWS):
                for row in rows:
                    request = request_of_row(tuple(row))
                    if (same := found.get(_key_of_request(request))) is not None:
                        same[request.id] = None
        return found


@dataclass(frozen=True, slots=True)
class _Offered:
    """A staged row, with what it is compared by."""

    id: int
    values: tuple[object, ...]
    """What is stored, in the order of `COLUMNS` without the id."""
    given: bytes
    """Key of its values as they were exported; an older release may have stored what is redacted or cut today."""
    key: bytes
    """Key of its values as they are stored now."""

    @classmethod
    def of(cls, row_id: int, _place: int, given: bytes | None, line: bytes) -> _Offered:
        values = _values_of(line)
        key = _key_of(values)
        return cls(row_id, values, key if given is None else given, key)


def _key_as_given(entry: RequestLogEntry, line: bytes) -> bytes | None:
    """The key of an entry without any repair; None when it is that of the line, or when there is none."""
    try:
        given = _encode(entry)
        return None if given == line else _key_of(_values_of(given))
    except Exception:  # noqa: BLE001  # an entry may hold anything at all
        return None


def _values_of(line: bytes) -> tuple[object, ...]:
    """The values that a line is stored as, which are those of the trigger `write_batch`."""
    entry = _decode_line(line)
    total = entry.prompt_tokens + entry.completion_tokens if entry.total_tokens is None else entry.total_tokens
    return (
        entry.timestamp,
        entry.chain_name,
        entry.provider_id,
        entry.model,
        entry.prompt_tokens,
        entry.completion_tokens,
        total,
        math.floor(entry.latency_ms + 0.5),
        entry.http_status,
        entry.attempts,
        entry.error_message,
        entry.request_id,
        entry.caller,
        None if entry.ttft_ms is None else math.floor(entry.ttft_ms + 0.5),
        None if entry.cost_usd is None else float(entry.cost_usd),
        entry.streamed,
        entry.cached_tokens,
        _json_text(entry.metadata),
        _json_text(entry.attempt_trail),
        *(getattr(entry, name) for name in LATER_FIELDS if name not in {"tags", "cost_source"}),
        _json_text(entry.tags),
        None if entry.cost_usd is None else entry.cost_source or "gateway",
    )


def _json_text(value: object) -> str | None:
    return None if value is None else _encode(value).decode()


def _key_of(values: tuple[object, ...]) -> bytes:
    named = dict(zip(COLUMNS[1:], values, strict=True))
    for name in JSON_COLUMNS:
        if named[name] is not None:
            named[name] = msgspec.json.decode(str(named[name]))
    if (trail := named["attempt_trail"]) is not None:
        named["attempt_trail"] = [
            msgspec.structs.astuple(logged_attempt(one)) for one in msgspec.convert(trail, list[Attempt])
        ]
    return _encode_key(list(map(_unless_empty, named.values())))


def _key_of_request(request: RequestLogRow) -> bytes:
    named = dict(zip(COLUMNS, msgspec.structs.astuple(request), strict=True))
    del named["id"]
    if request.attempt_trail is not None:
        named["attempt_trail"] = [msgspec.structs.astuple(one) for one in request.attempt_trail]
    return _encode_key(list(map(_unless_empty, named.values())))


def _unless_empty(value: object) -> object:
    """A program that writes a CSV again does not tell an empty text from NULL, so they are the same here."""
    return None if isinstance(value, str) and not value else value
