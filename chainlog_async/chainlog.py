"""One object for a gateway: the database, the writer and the reads under one roof."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import anyio
from anyio import TASK_STATUS_IGNORED
from anyio.abc import TaskStatus

from chainlog_async.common.cancellation import run_in_thread, run_shielded
from chainlog_async.entry.model import RequestLogEntry
from chainlog_async.storage.sqlite.connection import close_connection
from chainlog_async.storage.sqlite.errors import sqlite_error_name
from chainlog_async.storage.sqlite.open import open_or_quarantine

from .errors import ClosedError, DatabaseError, ForkedError
from .request_logger import RequestLogger
from .statistics import Health, Statistics
from .usage_aggregator import UsageAggregator

if TYPE_CHECKING:
    import aiosqlite

    from .settings import Settings

logger = logging.getLogger("chainlog_async")

STUCK_TIMEOUT_S = 0.5
"""Longest wait for a connection to close whose database did not answer a moment ago, in seconds."""

CHECKPOINT_TIMEOUT_S = 2.0
"""Longest wait at shutdown for the write-ahead log to be moved into the database, in seconds; SQLite does it later."""


class ChainLog:
    """The request log of one gateway process.

    ``async with ChainLog(settings) as chainlog`` opens and migrates the database and runs the writer; leaving it
    drains the queue under ``shutdown_timeout_ms`` and closes everything. A failed start raises a `ChainlogError` and
    leaves nothing open. One object serves one such block at a time, and can be opened again afterwards.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        if settings is None:
            from .settings import Settings

            settings = Settings()
        self.settings: Settings = settings
        self._logger: RequestLogger | None = None
        self._usage: UsageAggregator | None = None
        self._log_request = self._refuse
        self._is_open = False

    async def __aenter__(self) -> Self:
        if self._is_open:
            if self._logger is not None and self._logger.is_forked:
                raise ForkedError(
                    "this log is open in the process that this one was forked from; make a second ChainLog on another "
                    "file, spawn the process instead, or fork before the log is opened"
                )
            raise ClosedError("this log is open already; use the open one, or make a second ChainLog")
        self._is_open = True
        self._context = self._opened()
        try:
            await self._context.__aenter__()
        except BaseException:
            self._is_open = False
            raise
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        try:
            return await self._context.__aexit__(exc_type, exc, traceback)
        finally:
            self._is_open = False

    @asynccontextmanager
    async def _opened(self) -> AsyncGenerator[None]:
        """Written as a generator, so that a task group which is entered is left, whatever fails in between."""
        body_error: BaseException | None = None
        async with self._open_database() as request_logger, anyio.create_task_group() as tasks:
            try:
                # Not tasks.start(): it waits for ever when the end of asyncio.run cancels the task before it began.
                start = _Start(self.settings.db_path)
                tasks.start_soon(start.run, request_logger)
                await start.done()
                yield
            except BaseException as error:  # noqa: BLE001  # raised again below
                # Raised in here, the task group would wrap it: a gateway's ValueError has to stay one.
                body_error = error
            request_logger.stop()
        if body_error is not None:
            raise body_error

    async def run(self, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """The same as a task: ``await task_group.start(chainlog.run)``; cancel it, or its group, to shut down."""
        async with self:
            task_status.started()
            await anyio.sleep_forever()

    @asynccontextmanager
    async def lifespan(self, app: object) -> AsyncGenerator[dict[str, ChainLog]]:
        """For Starlette and FastAPI: ``Starlette(lifespan=chainlog.lifespan)`` gives ``request.state.chainlog``."""
        async with self:
            yield {"chainlog": self}

    def log_request(self, entry: RequestLogEntry) -> bool:
        """See `RequestLogger.log_request`. Raises `ClosedError` when the log was never opened."""
        log_request = self._log_request
        return log_request(entry)

    def submit(self, entry: RequestLogEntry) -> None:
        """See `RequestLogger.submit`."""
        self._require_logger().submit(entry)

    async def write(self, entry: RequestLogEntry) -> None:
        """See `RequestLogger.write`."""
        await self._require_logger().write(entry)

    async def flush(self) -> None:
        """See `RequestLogger.flush`."""
        await self._require_logger().flush()

    @property
    def usage(self) -> UsageAggregator:
        """The reads. Raises `ClosedError` when the log was never opened."""
        if self._usage is None:
            raise ClosedError("the log is not open; use `async with ChainLog(settings)`")
        return self._usage

    def statistics(self) -> Statistics:
        """The books at this moment; after shutdown, the final ones. Raises `ClosedError` before the first opening."""
        return self._require_logger().statistics()

    def health(self) -> Health:
        """Whether entries reach the database."""
        if not self._is_open or self._logger is None:
            return Health(status="failed", reasons=("the log is not open; use `async with ChainLog(settings)`",))
        return self._logger.health()

    def _refuse(self, entry: RequestLogEntry) -> bool:
        return self._require_logger().log_request(entry)

    def _require_logger(self) -> RequestLogger:
        if self._logger is None:
            raise ClosedError("the log is not open; use `async with ChainLog(settings)`")
        return self._logger

    @asynccontextmanager
    async def _open_database(self) -> AsyncGenerator[RequestLogger]:
        settings = self.settings
        # Absolute, for a gateway may change its working directory later.
        db_path = await run_in_thread(settings.db_path.absolute)
        connection = await open_or_quarantine(settings)
        # Nothing is awaited from here on, or a cancellation would leave the connection open.
        self._usage = usage = UsageAggregator(
            db_path,
            busy_timeout_ms=settings.busy_timeout_ms,
            max_readers=settings.max_readers,
            read_timeout_ms=settings.read_timeout_ms,
        )
        self._logger = request_logger = RequestLogger(connection, settings, on_reopen=usage.renew)
        self._log_request = request_logger.log_request
        try:
            yield request_logger
        finally:
            await run_shielded(_close(usage, request_logger))


class _Start:
    """The writer's start, and what became of it."""

    def __init__(self, db_path: Path) -> None:
        self._db_path = db_path
        self._event = anyio.Event()
        self._error: Exception | None = None

    async def run(self, request_logger: RequestLogger) -> None:
        """The writer; an error of its start goes to whoever waits for `done`."""
        try:
            await request_logger.run(task_status=self)
        except Exception as error:
            if self._event.is_set():
                raise
            self._error = error
            self._event.set()

    def started(self, value: None = None) -> None:
        """The writer's word that entries are journaled from now on."""
        self._event.set()

    async def done(self) -> None:
        """Returns once the writer has started. Raises `DatabaseError` when it could not."""
        await self._event.wait()
        if isinstance(self._error, sqlite3.Error):
            raise DatabaseError(
                f"{self._db_path}: the writer could not start: {self._error} ({sqlite_error_name(self._error)})"
            ) from self._error
        if self._error is not None:
            raise self._error


async def _close(usage: UsageAggregator, request_logger: RequestLogger) -> None:
    await usage.aclose()
    if request_logger.is_stuck:
        await close_connection(request_logger.connection, interrupting=True, timeout_s=STUCK_TIMEOUT_S)
        return
    with anyio.move_on_after(CHECKPOINT_TIMEOUT_S):
        await _checkpoint(request_logger.connection)
    # Interrupting: a batch that shutdown gave up, or the checkpoint, may still be under way.
    await close_connection(request_logger.connection, interrupting=True)


async def _checkpoint(connection: aiosqlite.Connection) -> None:
    """Moves the write-ahead log into the database, so that it is one file; others may still hold parts of it."""
    try:
        ((busy, frames, moved),) = await connection.execute_fetchall("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.Error as error:
        logger.warning("the checkpoint at shutdown failed: %s (%s)", error, sqlite_error_name(error))
    else:
        if busy:
            logger.info("the checkpoint at shutdown moved %d of %d frames; another process reads", moved, frames)
