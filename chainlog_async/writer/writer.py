"""The one task that moves entries from the queue to the database."""

from __future__ import annotations

import logging
from time import monotonic
from typing import TYPE_CHECKING

import anyio
from anyio import TASK_STATUS_IGNORED, CancelScope
from anyio.abc import TaskGroup, TaskStatus

from chainlog_async.buffer.journal_manager import JournalManager
from chainlog_async.buffer.queue import EntryQueue
from chainlog_async.common.cancellation import run_shielded
from chainlog_async.common.gil_yield import GilYielder
from chainlog_async.errors import ChainlogError
from chainlog_async.storage.base import BatchStorage, StorageFault

from .committer import MAX_RETRY_PAUSE_S, MIN_RETRY_PAUSE_S, Committer
from .guests import GuestWriters
from .health import HealthState
from .price_lookup import PriceLookup
from .replay import replay_dead_writers
from .replay_outcome import ReplayOutcome

if TYPE_CHECKING:
    from chainlog_async.settings import Settings

logger = logging.getLogger(__name__)

SHUTDOWN_CLEANUP_S = 1.0
"""Longest time that shutdown spends deleting the journal and the position once everything is written, in seconds."""

LOOK_AGAIN_S = 60.0
"""Time between two searches for the journals of writers that were killed while this one runs, in seconds."""

MAINTENANCE_RETRY_S = 1.0
"""Time until the next round of maintenance after one that raised, in seconds."""


class Writer:
    """Waits for entries, commits them in batches, and survives every error."""

    def __init__(
        self,
        health: HealthState,
        queue: EntryQueue,
        storage: BatchStorage,
        journals: JournalManager,
        gil_yielder: GilYielder,
        settings: Settings,
    ) -> None:
        self._health = health
        self._queue = queue
        self._storage = storage
        self._journals = journals
        # Another machine looks prices up by itself.
        self._prices = PriceLookup(storage, enabled=settings.prices and settings.engine != "remote")
        self._committer = Committer(storage, health, gil_yielder, journals.kept_batches, self._prices)
        self.guests = GuestWriters(storage, self._committer, health, queue.waker.wake)
        self._max_batch_size = settings.max_batch_size
        self._flush_interval_s = settings.flush_interval_ms / 1_000
        self._shutdown_timeout_s = settings.shutdown_timeout_ms / 1_000
        self._gil_yielder = gil_yielder
        self._serving = CancelScope()
        self._replayed: dict[str, ReplayOutcome] = {}
        self._is_replayed = False
        self._look_again_at = 0.0
        self._taken_at = -self._flush_interval_s
        self._maintain_at = monotonic()

    def stop(self) -> None:
        """Tells the writer to drain the queue and end; call it from the writer's event loop."""
        self._serving.cancel()

    def forget_database(self) -> None:
        """Forgets what the database was known to hold, because another one is open now."""
        self.guests.forget_positions()
        self._prices.forget()

    async def run(self, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """Writes until stopped or cancelled, then drains the queue within the shutdown timeout.

        The journals of dead writers are replayed first; what is not replayed before it is stopped belongs to the drain.
        From then on it looks for those of writers that died since, every `LOOK_AGAIN_S`.
        """
        try:
            await self._journals.open(await self._storage.start())
            self._queue.attach()
            self._health.running = True
            self.guests.open()
            task_status.started()
            async with anyio.create_task_group() as tasks:
                with self._serving:
                    tasks.start_soon(self._journals.look_after)
                    await self._serve(tasks)
                tasks.cancel_scope.cancel()
        finally:
            self._health.running = False
            self._queue.close()
            self.guests.close()
            try:
                await self._shut_down()
            finally:
                self._queue.detach()

    async def _serve(self, tasks: TaskGroup) -> None:
        pause_s = MIN_RETRY_PAUSE_S
        while True:
            try:
                # Also without anything to write.
                await self._committer.catch_up()
                if not self._is_replayed:
                    await self._replay()
                    if self._journals.left_behind:
                        tasks.start_soon(self._storage.check_after_crash)
                elif monotonic() >= self._look_again_at:
                    self._is_replayed = False
                    await self._replay()
                if await self._wait_for_batch():
                    await self._write_next()
                with self._gil_yielder:
                    await self.guests.work()
                await self._maintain()
                pause_s = MIN_RETRY_PAUSE_S
            except Exception as error:  # noqa: BLE001  # a log must not stop because of one error
                await self._committer.note(error)
                await anyio.sleep(pause_s)
                pause_s = min(2 * pause_s, MAX_RETRY_PAUSE_S)

    async def _replay(self) -> None:
        problems: list[str] = []
        try:
            with self._gil_yielder:
                await replay_dead_writers(
                    self._journals,
                    self._storage,
                    self._committer,
                    self._queue,
                    max_batch_rows=self._max_batch_size,
                    on_unreadable=problems.append,
                    outcomes=self._replayed,
                )
        except Exception as error:
            if isinstance(error, ChainlogError) or self._storage.classify(error) is not StorageFault.OTHER:
                raise
            # What dead writers left must not keep this one from writing.
            problems.append(f"the journals of earlier writers were not replayed: {error!r}")
        self._health.note_leftovers(problems)
        self._is_replayed = True
        self._look_again_at = monotonic() + LOOK_AGAIN_S
        self._replayed.clear()
        self._queue.end_replay()

    async def _maintain(self) -> None:
        if monotonic() < self._maintain_at:
            return
        # Set before the round, for one that raises.
        self._maintain_at = monotonic() + MAINTENANCE_RETRY_S
        with self._gil_yielder:
            self._maintain_at = monotonic() + await self._storage.maintain(is_behind=self._queue.has_full_batch)

    async def _wait_for_batch(self) -> bool:
        """Returns True when a batch is due: it is full, a flush waits for it, or the flush interval is over.

        The interval counts from the previous batch, so a single entry after a quiet time is written at once, and a
        steady flow makes one commit per interval. Returns False when other work is due instead: maintenance, a look for
        journals, or a batch of another machine.
        """
        queue = self._queue
        while True:
            queue.waker.event.clear()
            wait_s = min(self._maintain_at, self._look_again_at) - monotonic()
            if queue.pending:
                due_in_s = self._taken_at + self._flush_interval_s - monotonic()
                if due_in_s <= 0 or queue.has_full_batch or queue.someone_waits:
                    return True
                wait_s = min(wait_s, due_in_s)
            if wait_s <= 0 or self.guests.is_waiting:
                return False
            with anyio.move_on_after(wait_s):
                await queue.waker.event.wait()

    async def _write_next(self) -> None:
        batch = self._queue.take()
        if batch:
            self._taken_at = monotonic()
            await self._committer.commit(batch, self._queue)
            with self._gil_yielder:
                await self._journals.remove_committed()

    async def _shut_down(self) -> None:
        """Drains within the deadline, even when the task is cancelled again and again, then cleans up."""
        await run_shielded(self._drain_and_clean_up())

    async def _drain_and_clean_up(self) -> None:
        try:
            with anyio.move_on_after(self._shutdown_timeout_s):
                await self._drain()
        except Exception as error:  # noqa: BLE001  # whatever the error, the cleanup must happen
            self._health.note_error(self._storage.describe(error))
        await self._clean_up()

    async def _drain(self) -> None:
        # First what may be in memory only, and then what waits in journals.
        pause_s = MIN_RETRY_PAUSE_S
        while batch := self._queue.take():
            if await self._committer.try_once(batch, self._queue):
                await anyio.sleep(pause_s)
                pause_s = min(2 * pause_s, MAX_RETRY_PAUSE_S)
        while not self._is_replayed:
            try:
                await self._replay()
            except Exception as error:  # noqa: BLE001  # whatever the error, the next try may succeed in time
                await self._committer.note(error)
                await anyio.sleep(pause_s)
                pause_s = min(2 * pause_s, MAX_RETRY_PAUSE_S)

    async def _clean_up(self) -> None:
        position_is_known = await self._find_position()
        self._abandon_the_rest()
        forget = False
        try:
            with anyio.move_on_after(SHUTDOWN_CLEANUP_S):
                is_cleared = await self._journals.remove_committed()
                forget = position_is_known and not self._queue.pending and is_cleared and await self._forget()
        finally:
            # If the last statement may still be committed, the lock is kept until the process ends: a replay before
            # that could write entries twice.
            await self._journals.close(forget=forget, keep_lock=not position_is_known)

    def _abandon_the_rest(self) -> None:
        abandoned = self._queue.abandon()
        kept = self._queue.pending
        if abandoned or kept:
            logger.error(
                "shutdown took longer than %d ms: %d entries were lost, %d are in the journal for the next start%s",
                self._shutdown_timeout_s * 1_000,
                abandoned,
                kept,
                self._last_error(),
            )
        if self._journals.left_behind and not self._is_replayed:
            logger.warning(
                "the journals of earlier writers were not replayed within %d ms and wait for the next start%s",
                self._shutdown_timeout_s * 1_000,
                self._last_error(),
            )
        self._queue.end_journal()

    def _last_error(self) -> str:
        error = self._health.last_error
        return "" if error is None else f"; last error: {error}"

    async def _find_position(self) -> bool:
        """After a drain that ran out of time, finds out what became of its batch. False if there is no answer."""
        batch = self._queue.in_hand
        if batch is None:
            return True
        try:
            position = await self._storage.interrupt(batch)
        except Exception as error:  # noqa: BLE001  # whatever the error, the outcome is unknown
            self._health.note_error(self._storage.describe(error))
            position = None
        if position is not None:
            self._committer.note_committed(batch, position, self._queue)
        return position is not None

    async def _forget(self) -> bool:
        """Deletes the position, once everything is committed and the journal deleted. False when that failed."""
        try:
            await self._storage.forget(self._journals.writer_id)
        except Exception as error:  # noqa: BLE001  # nothing is lost: the lock file stays, and the next start cleans up
            logger.warning("the writer's position was not deleted at shutdown: %s", self._storage.describe(error))
            return False
        return True
