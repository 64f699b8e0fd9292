"""The PostgreSQL engine: a batch is one call of one function, and one round trip."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import anyio
import asyncpg
import msgspec

from chainlog_async.common.clock import now_ms
from chainlog_async.entry.line import line_as_json
from chainlog_async.prices.model import RATES
from chainlog_async.storage.base import (
    BatchStorage,
    IgnoredEvents,
    PositionBehindError,
    StorageEvents,
    StorageFault,
)

from .errors import classify, describe
from .maintenance import MaintenanceRounds
from .write_connection import WriteConnection

if TYPE_CHECKING:
    from chainlog_async.entry.batch import Batch
    from chainlog_async.prices.model import Price
    from chainlog_async.settings import Settings

logger = logging.getLogger(__name__)

_WRITE = "SELECT {s}.write_batch($1, $2, $3, $4)"
_ADD_PRICES = "SELECT {s}.add_prices($1, $2)"
_REJECT = "SELECT {s}.reject_line($1, $2, $3, $4, $5, $6)"
_POSITION = "SELECT {s}.stream_position($1)"
_LOOK_UP = "SELECT position FROM {s}.streams WHERE writer_id = $1 AND forgotten_at IS NULL"
_FORGET = "SELECT {s}.forget_stream($1)"

INTERRUPT_TIMEOUT_S = 1.0
"""How long shutdown waits for the outcome of a statement that it gave up, in seconds."""

PRICE_COLUMNS = ("provider_id", "model", "service_tier", "priority", "since", "above_tokens", "source", *RATES)
_encode = msgspec.json.Encoder().encode
_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")


class PostgresStorage(BatchStorage):
    """One schema of a database, over a connection that this object owns and replaces."""

    def __init__(self, link: WriteConnection, settings: Settings) -> None:
        self._link = link
        self._journal_beside = settings.db_path
        self._rounds = MaintenanceRounds(link, settings)
        self._committed: dict[str, int] = {}
        self._is_stuck = False
        self._events: StorageEvents = IgnoredEvents()
        url = link.url
        self._write, self._reject, self._position = map(url.sql, (_WRITE, _REJECT, _POSITION))
        self._look_up, self._forget = map(url.sql, (_LOOK_UP, _FORGET))
        self._notes = (
            ("retention_bytes has no effect on PostgreSQL; set retention_days or retention_rows",)
            if settings.retention_bytes
            else ()
        )

    @property
    def is_stuck(self) -> bool:
        """See `BatchStorage.is_stuck`."""
        return self._is_stuck

    @property
    def notes(self) -> tuple[str, ...]:
        """Settings that this engine does not know."""
        return self._notes

    @property
    def damage_remedy(self) -> str:
        """See `BatchStorage.damage_remedy`."""
        return "restore the database from a backup, or promote a standby, and name it in db_url"

    def report_to(self, events: StorageEvents, on_reopen: Callable[[], Awaitable[None]]) -> None:
        """See `BatchStorage.report_to`; every connection reaches the same database, so `on_reopen` is not needed."""
        self._events = events

    async def start(self) -> Path:
        """See `BatchStorage.start`."""
        return await anyio.to_thread.run_sync(self._journal_beside.absolute)

    async def commit(self, batch: Batch) -> None:
        """See `BatchStorage.commit`. Raises the driver's errors, `DatabaseError` or `PositionBehindError`."""
        known = await self._known(batch)
        while batch.end > known:
            # Where an earlier try was committed, although its answer never came, only the rest is left.
            lines = _json_array(batch.lines[max(known - batch.start, 0) :])
            found = await self._call_twice(self._write, batch.writer_id, known, batch.end, lines)
            known = self._believe(batch, known, found)

    async def add_prices(self, prices: Sequence[Price], names: Mapping[tuple[str, str], tuple[str, str]]) -> None:
        """See `BatchStorage.add_prices`. Raises like `commit`."""
        named = [(*logged, *priced) for logged, priced in names.items() if logged != priced]
        if prices or named:
            await self._call(self._link.url.sql(_ADD_PRICES), prices_as_json(prices), _encode(named).decode())

    async def reject(self, row: Batch, error: Exception) -> None:
        """Keeps the row in `rejected_entries`; otherwise like `commit`."""
        known = await self._known(row)
        if row.end <= known:
            return
        entry = line_as_json(row.lines.rstrip(b"\n")).replace("\0", "\ufffd")
        found = await self._call(
            self._reject, row.writer_id, known, row.end, now_ms(), describe(error).replace("\0", "\ufffd"), entry
        )
        self._believe(row, known, found)

    async def position(self, writer_id: str) -> int:
        """See `BatchStorage.position`. Raises like `commit`."""
        position = await self._call(self._position, writer_id)
        self._committed[writer_id] = position
        return position

    async def forget(self, writer_id: str) -> None:
        """See `BatchStorage.forget`. Raises like `commit`."""
        await self._call(self._forget, writer_id)
        self._committed.pop(writer_id, None)

    async def interrupt(self, batch: Batch) -> int | None:
        """See `BatchStorage.interrupt`. Asks on a new connection, which waits for the batch if it is under way."""
        self._link.give_up()
        with anyio.move_on_after(INTERRUPT_TIMEOUT_S):
            try:
                return await self.position(batch.writer_id)
            except Exception as error:  # noqa: BLE001  # whatever the error, the outcome is unknown
                logger.debug("the position of %s is unknown: %s", batch.writer_id, describe(error))
                return None
        self._is_stuck = True
        return None

    async def wait_until_idle(self) -> bool:
        """See `BatchStorage.wait_until_idle`: nothing runs on a connection that was given up."""
        self._link.give_up()
        return True

    def classify(self, error: BaseException, batch: Batch | None = None) -> StorageFault:
        """By SQLSTATE; a line that is not UTF-8 is a row's fault as well."""
        if batch is not None and isinstance(error, UnicodeDecodeError):
            return StorageFault.ROW
        return classify(error)

    def describe(self, error: BaseException) -> str:
        """With the name of the kind of error and its SQLSTATE."""
        return describe(error)

    async def recover(self, fault: StorageFault) -> None:
        """Connects again if that can help. Raises `DatabaseError` when no host can be used now."""
        if fault not in (StorageFault.BUSY, StorageFault.ROW, StorageFault.BEHIND):
            self._link.give_up()
            await self._link.connect()

    async def maintain(self, *, is_behind: bool) -> float:
        """See `BatchStorage.maintain`. Raises `PositionBehindError` as well."""
        await self._look_for_positions_that_went_back()
        return await self._rounds.run_if_due(self._events, is_behind=is_behind)

    async def check_after_crash(self) -> None:
        """The server checks itself after its own crashes, and a writer's crash cannot damage it."""

    async def aclose(self) -> None:
        """Ends the connection."""
        self._link.give_up()

    async def _known(self, batch: Batch) -> int:
        """How far the stream was committed when it was last heard of."""
        known = self._committed.get(batch.writer_id)
        return await self.position(batch.writer_id) if known is None else known

    async def _look_for_positions_that_went_back(self) -> None:
        """A writer without entries to write has to notice as well when a server that was behind takes over."""
        for writer_id, known in list(self._committed.items()):
            found = await self._call(self._look_up, writer_id) or 0
            if found < known:
                self._committed[writer_id] = found
                raise PositionBehindError(writer_id, found, known)

    def _believe(self, batch: Batch, known: int, found: int) -> int:
        """Takes the database's word for the position that it found. Returns how far the stream is committed now."""
        self._committed[batch.writer_id] = now = batch.end if found == known else found
        if found < known:
            raise PositionBehindError(batch.writer_id, found, known)
        return now

    async def _call_twice(self, sql: str, *arguments: object) -> int:
        """Calls once more where a partition was made between the choice of another and the insertion there."""
        try:
            return await self._call(sql, *arguments)
        except asyncpg.CheckViolationError as error:
            if error.constraint_name is not None:
                raise
        return await self._call(sql, *arguments)

    async def _call(self, sql: str, *arguments: object) -> int:
        return cast("int", await self._link.run(lambda connection: connection.fetchval(sql, *arguments)))


def prices_as_json(prices: Sequence[Price]) -> str:
    """The prices as the functions `add_prices` and `set_prices` of the database take them."""
    return _encode([[getattr(price, name) for name in PRICE_COLUMNS] for price in prices]).decode()


def _json_array(lines: bytes) -> str:
    """The lines as one JSON array. A NUL, which PostgreSQL's texts cannot hold, becomes a replacement character."""
    text = f"[{lines[:-1].decode().replace(chr(10), ',')}]"
    return _NUL.sub(r"\1\\ufffd", text) if "\\u0000" in text else text
