"""The one task that moves entries from the queue to the database."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from time import monotonic

import anyio
from anyio import TASK_STATUS_IGNORED, CancelScope, to_thread
from anyio.abc import TaskGroup, TaskStatus

from .committer import FIRST_PAUSE_S, LONGEST_PAUSE_S, Committer
from .condition import Condition
from .errors import ChainlogError
from .faults import errorname
from .integrity import check_after_unclean_end
from .journal import remove_segments
from .maintenance import Maintenance
from .queue import EntryQueue
from .replay import replay_dead_writers
from .store import Store
from .stream import Stream

logger = logging.getLogger("chainlog_async")

GRACE_S = 1.0
"""How long shutdown tidies up after the drain, in seconds, when the database or the disk does not answer."""


class Writer:
    """Waits for entries, commits them in batches, and lives through every error."""

    def __init__(
        self,
        condition: Condition,
        queue: EntryQueue,
        store: Store,
        stream: Stream,
        maintenance: Maintenance,
        *,
        max_batch_size: int,
        flush_interval_ms: int,
        shutdown_timeout_ms: int,
    ) -> None:
        self._condition = condition
        self._queue = queue
        self._store = store
        self._stream = stream
        self._maintenance = maintenance
        self._committer = Committer(store, condition)
        self._max_batch_size = max_batch_size
        self._flush_interval_s = flush_interval_ms / 1_000
        self._shutdown_timeout_s = shutdown_timeout_ms / 1_000
        self._serving = CancelScope()
        self._taken_at = -self._flush_interval_s

    def stop(self) -> None:
        """Asks the writer to drain and end; only from its own event loop."""
        self._serving.cancel()

    async def run(self, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """Writes until stopped or cancelled, then drains for as long as the shutdown timeout allows.

        What dead writers left in their journals is written first.
        """
        try:
            await self._stream.open(await self._store.locate())
            self._queue.attach()
            self._condition.running = True
            task_status.started()
            async with anyio.create_task_group() as tasks:
                with self._serving:
                    await self._serve(tasks)
                tasks.cancel_scope.cancel()
        finally:
            self._condition.running = False
            self._queue.close()
            try:
                await self._shut_down()
            finally:
                self._queue.detach()

    async def _serve(self, tasks: TaskGroup) -> None:
        replayed = False
        while True:
            try:
                if not replayed:
                    await replay_dead_writers(
                        self._stream, self._store, self._committer, self._queue, max_batch_rows=self._max_batch_size
                    )
                    replayed = True
                    if self._stream.left_behind:
                        tasks.start_soon(check_after_unclean_end, self._store.path, self._condition)
                await self._wait_for_batch()
                await self._write_next()
                await self._maintenance.run_if_due()
            except Exception as error:  # noqa: BLE001  # see below
                # Whatever it was: a log that stops for good because of one error is the worst of all.
                self._condition.note_error(f"{error} ({errorname(error)})")
                await anyio.sleep(FIRST_PAUSE_S)

    async def _wait_for_batch(self) -> None:
        """Returns when a batch is due: a full one, one that somebody waits for, or one that is old enough.

        The interval counts from the batch before, so a lone entry after a quiet spell goes at once, and a stream of
        them makes one commit per interval. Returns also when maintenance is due.
        """
        queue = self._queue
        while True:
            queue.wake.clear()
            wait_s = self._maintenance.due_in_s()
            if queue.pending:
                due_in_s = self._taken_at + self._flush_interval_s - monotonic()
                if due_in_s <= 0 or queue.has_full_batch or queue.someone_waits:
                    return
                wait_s = min(wait_s, due_in_s)
            elif wait_s <= 0:
                return
            with anyio.move_on_after(wait_s):
                await queue.wake.wait()

    async def _write_next(self) -> None:
        batch = self._queue.take()
        if batch:
            self._taken_at = monotonic()
            await self._committer.commit(batch, self._queue)
            await self._stream.remove_released()

    async def _shut_down(self) -> None:
        """Drains under the deadline, even when the task is cancelled over and over; then puts things in order."""
        deadline = anyio.current_time() + self._shutdown_timeout_s
        cancelled: asyncio.CancelledError | None = None
        done = False
        while not done:
            try:
                with CancelScope(shield=True, deadline=deadline):
                    await self._drain()
                with CancelScope(shield=True, deadline=max(deadline, anyio.current_time()) + GRACE_S):
                    await self._tidy_up()
                done = True
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled

    async def _drain(self) -> None:
        pause_s = FIRST_PAUSE_S
        while batch := self._queue.take():
            if await self._committer.try_once(batch, self._queue):
                await anyio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _tidy_up(self) -> None:
        batch = self._queue.take()
        if batch and await self._store.interrupt(batch):
            self._queue.settle(batch)
        abandoned = self._queue.abandon()
        kept = self._queue.pending
        if abandoned or kept:
            logger.error(
                "shutdown took longer than %d ms: %d entries were lost, %d wait in the journal for the next start; "
                "last error: %s",
                self._shutdown_timeout_s * 1_000,
                abandoned,
                kept,
                self._condition.last_error,
            )
        forget = False
        try:
            await to_thread.run_sync(remove_segments, self._queue.end_journal())
            if not kept:
                await self._store.forget_position(self._stream.writer_id)
                forget = True
        except (OSError, sqlite3.Error, ChainlogError, ValueError) as error:
            # Nothing is lost: the lock file stays, and the next start tidies up.
            logger.warning("the journal was not cleared at shutdown: %s (%s)", error, errorname(error))
        finally:
            await self._stream.close(forget=forget)
