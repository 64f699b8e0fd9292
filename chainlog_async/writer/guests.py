"""Batches of writers on other machines, which arrive over HTTP and are stored by this process's writer.

They come one by one between its own batches: the engine is used by one task at a time. Whoever sent a batch waits for
the answer, keeps it in a journal of its own, and sends it again when it hears of an error.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Final

import anyio

from chainlog_async.entry.batch import Batch
from chainlog_async.errors import ClosedError, DatabaseError, EntryRejectedError, StreamError
from chainlog_async.storage.base import BatchStorage, StorageFault

from .committer import Committer
from .health import HealthState

ANSWER_TIMEOUT_S: Final = 10.0
"""How long a batch may wait for its turn, in seconds; less than its sender waits for the answer."""

FORGOTTEN_FOR_S: Final = 600.0
"""How long batches of a stream that has ended are refused, in seconds: longer than a request may be on its way."""

MAX_STREAMS: Final = 10_000
"""Most streams whose positions are remembered, and most whose end is."""


class _Job:
    def __init__(self, work: Callable[[], Awaitable[int]]) -> None:
        self.work = work
        self.done = anyio.Event()
        self.position = 0
        self.error: Exception | None = None
        self.has_begun = False


class GuestWriters:
    """The streams of writers on other machines. Its public methods are called by their requests, `work` by the writer.

    Each returns how far the stream is committed then, in bytes, and raises `ClosedError` when no writer runs,
    `DatabaseError` when the database does not take it now, `EntryRejectedError` when it refuses a row, and
    `StreamError` when the batch does not belong to the stream.
    """

    def __init__(
        self, storage: BatchStorage, committer: Committer, health: HealthState, wake_writer: Callable[[], None]
    ) -> None:
        self._storage = storage
        self._committer = committer
        self._health = health
        self._wake_writer = wake_writer
        self._jobs: deque[_Job] = deque()
        self._is_open = False
        self._positions: OrderedDict[str, int] = OrderedDict()
        self._forgotten: OrderedDict[str, float] = OrderedDict()

    @property
    def is_waiting(self) -> bool:
        """Whether there is something to do."""
        return bool(self._jobs)

    async def commit(self, batch: Batch) -> int:
        """Stores what is beyond the stored position, all of it or nothing."""
        return await self._do(lambda: self._commit(batch))

    async def reject(self, row: Batch, reason: str) -> int:
        """Keeps a row apart that was refused for that reason."""
        return await self._do(lambda: self._reject(row, reason))

    async def position(self, writer_id: str) -> int:
        """Stores nothing."""
        return await self._do(lambda: self._look_up(writer_id))

    async def forget(self, writer_id: str) -> int:
        """Ends a stream, whose position is deleted. What is still on its way of it is refused from now on."""
        return await self._do(lambda: self._forget(writer_id))

    def open(self) -> None:
        """The writer runs."""
        self._is_open = True

    def close(self) -> None:
        """The writer ends: nothing is stored any more."""
        self._is_open = False
        while self._jobs:
            self._end(self._jobs.popleft(), ClosedError("the log is shut down; send it again"))

    def forget_positions(self) -> None:
        """Another database is open now."""
        self._positions.clear()

    async def work(self) -> None:
        """Does what waits now, and not what arrives meanwhile."""
        for _ in range(len(self._jobs)):
            if not self._jobs:
                # Others gave up meanwhile.
                return
            job = self._jobs.popleft()
            job.has_begun = True
            error: Exception = ClosedError("the log is shut down; send it again")
            try:
                job.position = await job.work()
            except Exception as raised:  # noqa: BLE001  # whoever waits hears of it
                error = raised
            else:
                job.done.set()
            finally:
                # Also when the writer is cancelled meanwhile.
                if not job.done.is_set():
                    self._end(job, error)

    async def _do(self, work: Callable[[], Awaitable[int]]) -> int:
        if not self._is_open:
            raise ClosedError("no writer is running; open the log")
        job = _Job(work)
        self._jobs.append(job)
        self._wake_writer()
        try:
            with anyio.move_on_after(ANSWER_TIMEOUT_S):
                await job.done.wait()
        finally:
            # Its sender is answered, or has gone: while the writer is stuck, the batch must not fill the memory.
            if job in self._jobs:
                self._jobs.remove(job)
        if not job.done.is_set():
            reason = self._health.write_error or (
                "the database does not answer; another process may hold its lock"
                if job.has_begun
                else "it is busy with earlier entries"
            )
            raise DatabaseError(f"the log did not store it within {ANSWER_TIMEOUT_S:g} s: {reason}")
        if job.error is not None:
            raise job.error
        return job.position

    @staticmethod
    def _end(job: _Job, error: Exception) -> None:
        job.error = error
        job.done.set()

    async def _commit(self, batch: Batch) -> int:
        self._require_not_forgotten(batch.writer_id)
        # A look-up is a statement of its own, and needless while each batch begins where the one before ended.
        if self._positions.get(batch.writer_id) != batch.start:
            position = await self._look_up(batch.writer_id)
            if position >= batch.end:
                return position
            batch = _beyond(batch, position)
        began_at = monotonic()
        try:
            await self._committer.store(batch)
        except Exception as error:  # whatever the error, its sender keeps the batch
            self._positions.pop(batch.writer_id, None)
            if self._storage.classify(error, batch) is not StorageFault.ROW:
                raise await self._noted(error) from error
            # Another process may have stored a part of it: then no row is to blame.
            if await self._look_up(batch.writer_id) > batch.start:
                return await self._commit(batch)
            raise EntryRejectedError(self._storage.describe(error)) from error
        self._health.note_success(monotonic() - began_at)
        self._remember(batch.writer_id, batch.end)
        return batch.end

    async def _reject(self, row: Batch, reason: str) -> int:
        self._require_not_forgotten(row.writer_id)
        if (position := await self._look_up(row.writer_id)) >= row.end:
            return position
        try:
            await self._storage.reject(row, EntryRejectedError(reason))
        except Exception as error:  # whatever the error, its sender keeps the row
            self._positions.pop(row.writer_id, None)
            raise await self._noted(error) from error
        self._remember(row.writer_id, row.end)
        return row.end

    async def _look_up(self, writer_id: str) -> int:
        try:
            position = await self._storage.position(writer_id)
        except Exception as error:  # whatever the error, its sender asks again
            raise await self._noted(error) from error
        self._remember(writer_id, position)
        return position

    async def _forget(self, writer_id: str) -> int:
        # First, so that nothing of the stream is stored after its position is gone, which would store it twice.
        self._forgotten[writer_id] = monotonic()
        self._forgotten.move_to_end(writer_id)
        if len(self._forgotten) > MAX_STREAMS:
            self._forgotten.popitem(last=False)
        self._positions.pop(writer_id, None)
        try:
            await self._storage.forget(writer_id)
        except Exception as error:  # whatever the error, its sender asks again
            raise await self._noted(error) from error
        return 0

    async def _noted(self, error: Exception) -> DatabaseError:
        """Treats the error as one of the own batches, because it is the same database that fails."""
        self._health.note_retry()
        await self._committer.note(error)
        return DatabaseError(self._storage.describe(error))

    def _require_not_forgotten(self, writer_id: str) -> None:
        ended_at = self._forgotten.get(writer_id)
        if ended_at is not None and monotonic() - ended_at < FORGOTTEN_FOR_S:
            raise StreamError(f"the stream of writer {writer_id} has ended; its journal is stored and was deleted")

    def _remember(self, writer_id: str, position: int) -> None:
        self._positions[writer_id] = position
        self._positions.move_to_end(writer_id)
        if len(self._positions) > MAX_STREAMS:
            self._positions.popitem(last=False)


def _beyond(batch: Batch, position: int) -> Batch:
    if position <= batch.start:
        return batch
    if batch.lines[position - batch.start - 1 : position - batch.start] != b"\n":
        raise StreamError(
            f"the stream of writer {batch.writer_id} is committed up to {position}, which is inside a line of the "
            "batch; two writers must not have one id"
        )
    return batch.part_after(position)
