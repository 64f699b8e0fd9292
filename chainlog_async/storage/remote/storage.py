"""Batches of this machine's journal, stored by a `chainlog serve` on another one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Final

import anyio
import msgspec

from chainlog_async.common.cancellation import run_in_thread
from chainlog_async.errors import ChainlogError, DatabaseError, RemoteError
from chainlog_async.storage.base import BatchStorage, StorageEvents, StorageFault
from chainlog_async.wire.batches import (
    BATCHES_PATH,
    LINE_FIELDS,
    MAX_REJECTED_BYTES,
    MIN_REJECTED_BYTES,
    PROTOCOL,
    Rejection,
    StreamPosition,
    compress,
)

from .errors import BodyTooLargeError, RowRefusedError, nonsense, other_protocol
from .exchange import Exchange, Reply

if TYPE_CHECKING:
    from chainlog_async.entry.batch import Batch
    from chainlog_async.settings import Settings

COMMIT_TIMEOUT_S: Final = 30.0
"""How long the server may take to store a batch, in seconds. Meanwhile entries wait in the journal."""

INTERRUPT_TIMEOUT_S: Final = 1.0
"""How long shutdown waits to hear how far the stream is committed, in seconds."""

LIMIT_FOR_S: Final = 60.0
"""How long a batch that was too large keeps others of its size from being sent, in seconds: the limit may be raised."""

MAINTENANCE_INTERVAL_S: Final = 3600.0
"""There is nothing to maintain here, in seconds: the server does that."""

_decode_position = msgspec.json.Decoder(StreamPosition).decode


class RemoteStorage(BatchStorage):
    """A server that stores each batch at most once, however often it is sent.

    A request whose answer is lost is sent again. The server answers how far the stream is committed, and stores only
    what lies beyond that.
    """

    def __init__(self, settings: Settings) -> None:
        self._exchange = Exchange(settings, timeout_s=COMMIT_TIMEOUT_S, connections=1)
        self._db_path = settings.db_path
        self._is_stuck = False
        self._too_large: tuple[int, float] | None = None
        """Size of a batch that the server did not take, in bytes, and when that was."""

    async def load(self) -> None:
        """Makes ready what the first batch needs. Raises `MissingExtraError`."""
        await self._exchange.load()

    @property
    def is_stuck(self) -> bool:
        """See `BatchStorage.is_stuck`."""
        return self._is_stuck

    @property
    def notes(self) -> tuple[str, ...]:
        """None."""
        return ()

    @property
    def damage_remedy(self) -> str:
        """Never needed: whatever is wrong with the server's database, this side waits."""
        return "see the log of the server"

    def report_to(self, events: StorageEvents, on_reopen: Callable[[], Awaitable[None]]) -> None:
        """There is nothing to report."""

    async def start(self) -> Path:
        """Returns `db_path`, which has no file here. Does not ask the server, which may be down for now."""
        return await run_in_thread(self._db_path.absolute)

    async def commit(self, batch: Batch) -> None:
        """See `BatchStorage.commit`. Raises `RemoteError`."""
        size = len(batch.lines)
        if batch.rows > 1 and self._is_too_large(size):
            # The answer would be the same, and the batch is split for it.
            raise BodyTooLargeError(f"a batch of {size} bytes is too large for {self._exchange.server}", of_server=True)
        body = await run_in_thread(compress, batch.lines)
        try:
            reply = await self._exchange.request(
                "POST",
                f"{BATCHES_PATH}/{batch.writer_id}/{batch.start}/{batch.end}",
                query={"fields": LINE_FIELDS},
                body=body,
                headers={"Content-Type": "application/octet-stream"},
            )
        except BodyTooLargeError:
            # One row alone is sent whatever its size, and says nothing new of smaller batches.
            if not self._is_too_large(size):
                self._too_large = (size, monotonic())
            raise
        self._require(self._position_in(reply, batch.writer_id), batch.end, reply)

    async def reject(self, row: Batch, error: Exception) -> None:
        """Has the server keep the row as rejected; of a very long one, its beginning."""
        reason = self.describe(error)
        try:
            await self._reject(row, reason, MAX_REJECTED_BYTES)
        except BodyTooLargeError:
            await self._reject(row, reason[:MIN_REJECTED_BYTES], MIN_REJECTED_BYTES)

    async def position(self, writer_id: str) -> int:
        """See `BatchStorage.position`. Raises `RemoteError`."""
        return self._position_in(await self._exchange.request("GET", f"{BATCHES_PATH}/{writer_id}"), writer_id)

    async def forget(self, writer_id: str) -> None:
        """See `BatchStorage.forget`. From then on the server refuses what may still be on its way of that stream."""
        self._position_in(await self._exchange.request("DELETE", f"{BATCHES_PATH}/{writer_id}"), writer_id)

    async def interrupt(self, batch: Batch) -> int | None:
        """Asks how far the stream is committed. A request that is still on its way may move that on."""
        with anyio.move_on_after(INTERRUPT_TIMEOUT_S):
            try:
                return await self.position(batch.writer_id)
            except DatabaseError:
                pass
        self._is_stuck = True
        return None

    async def wait_until_idle(self) -> bool:
        """A request that was given up cannot do harm: once a stream is forgotten, the server refuses its batches."""
        return True

    def classify(self, error: BaseException, batch: Batch | None = None) -> StorageFault:
        """A row is blamed only when the server itself refuses it; everything else waits for better times."""
        match error:
            case RowRefusedError():
                return StorageFault.ROW
            case BodyTooLargeError() if batch is not None and (batch.rows > 1 or error.of_server):
                return StorageFault.ROW
            case RemoteError():
                return StorageFault.STORAGE
            case DatabaseError():
                return StorageFault.UNKNOWN
        return StorageFault.OTHER

    def describe(self, error: BaseException) -> str:
        """The message of our own errors, which name the server and the remedy."""
        return str(error) if isinstance(error, ChainlogError) else repr(error)

    async def recover(self, fault: StorageFault) -> None:
        """Makes a new connection at the next try, perhaps to another address of the host."""
        await self._exchange.reset()

    async def maintain(self, *, is_behind: bool) -> float:
        """The server maintains its database."""
        return MAINTENANCE_INTERVAL_S

    async def check_after_crash(self) -> None:
        """There is no database on this machine."""

    async def aclose(self) -> None:
        """Closes the connection."""
        await self._exchange.aclose()

    def _is_too_large(self, size: int) -> bool:
        if self._too_large is None:
            return False
        known, since = self._too_large
        return size >= known and monotonic() - since < LIMIT_FOR_S

    async def _reject(self, row: Batch, reason: str, size: int) -> None:
        rejection = Rejection(row.end, row.lines.rstrip(b"\n")[:size], reason)
        reply = await self._exchange.request(
            "POST",
            f"{BATCHES_PATH}/{row.writer_id}/rejected",
            body=msgspec.json.encode(rejection),
            headers={"Content-Type": "application/json"},
        )
        self._require(self._position_in(reply, row.writer_id), row.end, reply)

    def _position_in(self, reply: Reply, writer_id: str) -> int:
        try:
            answer = _decode_position(reply.body)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise nonsense(self._exchange.server, *reply) from None
        if answer.protocol != PROTOCOL:
            raise other_protocol(self._exchange.server, answer.protocol)
        if answer.writer != writer_id or answer.position < 0:
            raise nonsense(self._exchange.server, *reply)
        return answer.position

    def _require(self, position: int, end: int, reply: Reply) -> None:
        if position < end:
            raise nonsense(self._exchange.server, *reply)
