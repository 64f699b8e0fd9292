"""Commits one batch, whatever errors the database raises."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from time import monotonic
from typing import Protocol, TypeAlias

import anyio

from chainlog_async.common.gil_yield import GilYielder
from chainlog_async.entry.batch import Batch
from chainlog_async.storage.base import BatchStorage, PositionBehindError, StorageFault

from .health import HealthState
from .price_lookup import PriceLookup

MIN_RETRY_PAUSE_S = 0.05
"""Pause after the first failed commit, in seconds; it doubles with each further failure."""

MAX_RETRY_PAUSE_S = 2.0
"""Longest pause between two tries, in seconds: how late a recovery is noticed at most."""


KeptBatches: TypeAlias = Callable[[str, int, int], AsyncGenerator[Batch]]
"""Reads a writer's lines from the journals, from one position to before another."""


class BatchOutcome(Protocol):
    """Is told what became of each part of a batch."""

    def mark_committed(self, batch: Batch) -> None:
        """These rows are committed."""

    def reject(self, batch: Batch, error: Exception) -> None:
        """This one row is in `rejected_entries`."""


class _CountedBefore:
    """The outcome of what is sent again: it was counted when it was committed for the first time."""

    def mark_committed(self, batch: Batch) -> None:
        """Counts nothing."""

    def reject(self, batch: Batch, error: Exception) -> None:
        """Counts nothing."""


class Committer:
    """Retries a batch until every row is committed or rejected, and finds the row that the database refuses.

    When the engine has lost what it had committed, that is sent again first, from the journals: `kept` reads what they
    still hold of a writer's stream, from one position to before another.
    """

    def __init__(
        self,
        storage: BatchStorage,
        health: HealthState,
        gil_yielder: GilYielder,
        kept: KeptBatches,
        prices: PriceLookup | None = None,
    ) -> None:
        self._storage = storage
        self._prices = prices
        self._health = health
        self._gil_yielder = gil_yielder
        self._kept = kept
        self._refused: dict[tuple[str, int], Exception] = {}
        self._behind: dict[str, int] = {}

    async def commit(self, batch: Batch, outcome: BatchOutcome) -> None:
        """Returns when every row is committed or rejected, however long that takes. Cancel it to stop trying.

        After a cancellation a statement may still be running in the engine. The rest of the batch can be committed
        again regardless: the engine skips what it already has.
        """
        pause_s = MIN_RETRY_PAUSE_S
        rest: Batch | None = batch
        while rest is not None:
            rest = await self.try_once(rest, outcome)
            if rest is not None:
                # Jitter, so that processes waiting for one lock do not all retry at once.
                await anyio.sleep(pause_s * random.uniform(0.5, 1.0))
                pause_s = min(2 * pause_s, MAX_RETRY_PAUSE_S)

    async def try_once(self, batch: Batch, outcome: BatchOutcome) -> Batch | None:
        """Tries once. Returns the rest of the batch, or None when every row is committed or rejected."""
        return await self._try_parts(batch, outcome) if await self.catch_up() else batch

    async def catch_up(self) -> bool:
        """Sends again what the engine has lost, if it has. Returns False when that has to be tried again."""
        for writer_id, until in list(self._behind.items()):
            try:
                lost = await self._send_again(writer_id, until)
            except Exception as error:  # noqa: BLE001  # whatever the error, there will be another try
                await self.note(error)
                return False
            if lost is None:
                return False
            del self._behind[writer_id]
            if lost:
                self._health.note_lost(lost)
        return True

    async def _send_again(self, writer_id: str, until: int) -> int | None:
        """Returns how many bytes of the stream are in no journal any more, or None when it was not finished."""
        position, lost = await self._storage.position(writer_id), 0
        async with aclosing(self._kept(writer_id, position, until)) as batches:
            async for batch in batches:
                if await self._try_parts(batch, _CountedBefore()) is not None:
                    return None
                lost += batch.start - position
                position = batch.end
        return lost + max(until - position, 0)

    async def _try_parts(self, batch: Batch, outcome: BatchOutcome) -> Batch | None:
        parts = [batch]
        while parts:
            part = parts.pop()
            refused = self._refused.get((part.writer_id, part.end)) if part.rows == 1 else None
            if refused is not None:
                # It may already be rejected; a commit would then be skipped and look like success.
                if not await self._reject(part, refused, outcome):
                    return _joined(part, parts)
                continue
            began_at = monotonic()
            try:
                with self._gil_yielder:
                    await self.store(part)
            except Exception as error:  # noqa: BLE001  # whatever the error, the batch must be kept
                if self._storage.classify(error, part) is StorageFault.ROW:
                    if part.rows > 1:
                        parts.extend(reversed(part.split()))
                    elif not await self._reject(part, error, outcome):
                        return _joined(part, parts)
                else:
                    self._health.note_retry()
                    await self.note(error)
                    return _joined(part, parts)
            else:
                self._health.note_success(monotonic() - began_at)
                outcome.mark_committed(part)
        return None

    async def store(self, batch: Batch) -> None:
        """Commits the batch once the prices of its models are there. Raises what the engine raises."""
        if self._prices is not None:
            await self._prices.prepare(batch)
        await self._storage.commit(batch)

    async def _reject(self, row: Batch, error: Exception, outcome: BatchOutcome) -> bool:
        """Rejects the row and counts it. If cancelled in between, the next try or `note_committed` counts it."""
        self._refused = {(row.writer_id, row.end): error}
        try:
            with self._gil_yielder:
                await self._storage.reject(row, error)
        except Exception as second_error:  # noqa: BLE001  # whatever the error, the row must be kept
            # The disk may be full by now: the row stays first in line and is tried again.
            self._health.note_retry()
            await self.note(second_error)
            return False
        self._refused = {}
        outcome.reject(row, error)
        return True

    def note_committed(self, batch: Batch, position: int, outcome: BatchOutcome) -> None:
        """After a cancelled try, counts the rows before that position; the last of them may have been rejected."""
        done = batch.part_before(position)
        refused = self._refused.get((done.writer_id, done.end)) if done.rows else None
        if refused is None:
            if done.rows:
                outcome.mark_committed(done)
            return
        line = done.lines.splitlines(keepends=True)[-1]
        row = Batch(done.writer_id, done.end - len(line), line, 1)
        if done.rows > 1:
            outcome.mark_committed(done.part_before(row.start))
        self._refused = {}
        outcome.reject(row, refused)

    async def note(self, error: Exception) -> None:
        """Reports the error and lets the engine recover, which with a damaged database may wait for an operator."""
        if isinstance(error, PositionBehindError):
            self._behind[error.writer_id] = max(error.until, self._behind.get(error.writer_id, 0))
        self._report(error)
        try:
            with self._gil_yielder:
                await self._storage.recover(self._storage.classify(error))
        except Exception as second_error:  # noqa: BLE001  # there will be another try
            self._report(second_error)

    def _report(self, error: Exception) -> None:
        detail, fault = self._storage.describe(error), self._storage.classify(error)
        if fault is StorageFault.DAMAGED:
            self._health.note_damage(detail, self._storage.damage_remedy)
        else:
            self._health.note_error(detail, fault)


def _joined(part: Batch, later: list[Batch]) -> Batch:
    rest = [part, *reversed(later)]
    return Batch(part.writer_id, part.start, b"".join(piece.lines for piece in rest), sum(piece.rows for piece in rest))
