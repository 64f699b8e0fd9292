"""Getting one batch into the database, whatever the database says to it."""

from __future__ import annotations

import random
from time import monotonic
from typing import Protocol

import anyio

from chainlog_async.entry.batch import Batch
from chainlog_async.storage.base import BatchStorage, StorageFault

from .gil_yield import GilYielder
from .health import HealthState

MIN_RETRY_PAUSE_S = 0.05
"""Pause after a first failed commit, in seconds; it doubles with each further one."""

MAX_RETRY_PAUSE_S = 2.0
"""Longest pause between two tries, in seconds: how late a recovery is noticed at the most."""


class BatchOutcome(Protocol):
    """Who wants to know what became of a batch."""

    def mark_committed(self, batch: Batch) -> None:
        """These rows are committed."""

    def reject(self, batch: Batch, error: Exception) -> None:
        """This one row is in `rejected_entries`."""


class Committer:
    """Tries until a batch is settled; finds the row that the database refuses."""

    def __init__(self, storage: BatchStorage, health: HealthState, gil_yielder: GilYielder) -> None:
        self._storage = storage
        self._health = health
        self._gil_yielder = gil_yielder
        self._refused: dict[tuple[str, int], Exception] = {}

    async def commit(self, batch: Batch, outcome: BatchOutcome) -> None:
        """Returns when every row is committed or rejected, however long that takes. Cancel it to give up.

        Cancelled, a statement goes on in aiosqlite's thread. The rest of the batch can be handed in again all the
        same: the database passes over what it has.
        """
        pause_s = MIN_RETRY_PAUSE_S
        rest: Batch | None = batch
        while rest is not None:
            rest = await self.try_once(rest, outcome)
            if rest is not None:
                # Jitter, so that several processes that wait for one lock do not all come back at once.
                await anyio.sleep(pause_s * random.uniform(0.5, 1.0))
                pause_s = min(2 * pause_s, MAX_RETRY_PAUSE_S)

    async def try_once(self, batch: Batch, outcome: BatchOutcome) -> Batch | None:
        """One try. Returns what is left of the batch, or None when all of it is settled."""
        parts = [batch]
        while parts:
            part = parts.pop()
            refused = self._refused.get((part.writer_id, part.end)) if part.rows == 1 else None
            if refused is not None:
                # It may be put aside already, and then a commit would be passed over and look like success.
                if not await self._reject(part, refused, outcome):
                    return _joined(part, parts)
                continue
            began_at = monotonic()
            try:
                with self._gil_yielder:
                    await self._storage.commit(part)
            except Exception as error:  # noqa: BLE001  # whatever it is, the batch has to be kept
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

    async def _reject(self, row: Batch, error: Exception, outcome: BatchOutcome) -> bool:
        """Rejects the row and counts it. Cut off in between, it is counted by the next try or by `note_committed`."""
        self._refused = {(row.writer_id, row.end): error}
        try:
            with self._gil_yielder:
                await self._storage.reject(row, error)
        except Exception as second_error:  # noqa: BLE001  # the same
            # The disk may be full by now: the row stays at the head, and is judged again at the next try.
            self._health.note_retry()
            await self.note(second_error)
            return False
        self._refused = {}
        outcome.reject(row, error)
        return True

    def note_committed(self, batch: Batch, position: int, outcome: BatchOutcome) -> None:
        """After a try that was cut off: counts the rows before that position, of which the last may be put aside."""
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
        """Says what went wrong and does what can be done about it; with a damaged file that may take for ever."""
        self._say(error)
        try:
            with self._gil_yielder:
                await self._storage.recover(self._storage.classify(error))
        except Exception as second_error:  # noqa: BLE001  # there will be a next try, whatever it is
            self._say(second_error)

    def _say(self, error: Exception) -> None:
        detail = self._storage.describe(error)
        if self._storage.classify(error) is StorageFault.DAMAGED:
            self._health.note_damage(detail, self._storage.damage_remedy)
        else:
            self._health.note_error(detail)


def _joined(part: Batch, later: list[Batch]) -> Batch:
    rest = [part, *reversed(later)]
    return Batch(part.writer_id, part.start, b"".join(piece.lines for piece in rest), sum(piece.rows for piece in rest))
