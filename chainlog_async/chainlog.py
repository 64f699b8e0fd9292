"""`ChainLog`: the database, the writer and the reads in one object for a gateway."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar, Unpack

import anyio
import msgspec
from anyio import TASK_STATUS_IGNORED
from anyio.abc import TaskGroup, TaskStatus

from chainlog_async.common.cancellation import run_in_thread, run_shielded
from chainlog_async.common.gil_yield import GilYielder
from chainlog_async.common.spelling import did_you_mean
from chainlog_async.entry.model import RequestLogEntry
from chainlog_async.storage.base import BatchStorage
from chainlog_async.storage.engines import open_storage
from chainlog_async.usage.alerts import AlertReport
from chainlog_async.usage.budget import BudgetStatus
from chainlog_async.writer.guests import GuestWriters

from .errors import ClosedError, ForkedError, SettingsError
from .request_logger import RequestLogger
from .statistics import Health, Statistics
from .usage_aggregator import UsageAggregator

if TYPE_CHECKING:
    from .alerts import AlertWatcher
    from .otel_export import OtelExporter
    from .settings import Settings
    from .watch.options import WatchOptions

_T = TypeVar("_T")


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
        self._resolved = settings
        self._logger: RequestLogger | None = None
        self._usage: UsageAggregator | None = None
        # Bound to the logger's own method whenever the log opens: for each request that saves an attribute lookup and a
        # call compared with `self.request_logger.log_request(entry)`.
        self._log_request: Callable[[RequestLogEntry], bool] = self._refuse
        self._exporter: OtelExporter | None = None
        self._is_open = False

    async def __aenter__(self) -> Self:
        if self._is_open:
            if self._logger is not None and self._logger.is_forked:
                raise ForkedError(
                    "this log is open in the process that this one was forked from; open another file, spawn the "
                    "process instead, or fork before opening the log"
                )
            raise ClosedError("this log is already open; use it, or create a second ChainLog")
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
        """A generator, so that a task group that was entered is always exited, whatever fails in between."""
        body_error: BaseException | None = None
        self._exporter = None
        watcher: AlertWatcher | None = None
        async with self._open_database() as request_logger, anyio.create_task_group() as tasks:
            try:
                # Not tasks.start(), which waits forever when the end of asyncio.run cancels the task before it starts.
                start = _Start()
                tasks.start_soon(start.run, request_logger)
                await start.done()
                if self.settings.alerts:
                    watcher = await self._watch(tasks)
                if self.settings.otel_export.endpoint is not None:
                    await self._export(tasks)
                yield
            except BaseException as error:  # noqa: BLE001  # raised again below
                # Raised here, the task group would wrap it in an ExceptionGroup: a gateway's ValueError must stay one.
                body_error = error
            if watcher is not None:
                watcher.stop()
            if self._exporter is not None:
                self._exporter.stop()
            request_logger.stop()
        if body_error is not None:
            raise body_error

    async def run(self, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """Opens the log as a task: ``await task_group.start(chainlog.run)``. Cancel the task to shut down."""
        async with self:
            task_status.started()
            await anyio.sleep_forever()

    @asynccontextmanager
    async def lifespan(self, app: object) -> AsyncGenerator[dict[str, ChainLog]]:
        """For Starlette and FastAPI: ``Starlette(lifespan=chainlog.lifespan)`` sets ``request.state.chainlog``."""
        async with self:
            yield {"chainlog": self}

    def log_request(self, entry: RequestLogEntry) -> bool:
        """Accepts the entry and returns at once, from any thread: nothing here waits for the database.

        Returns True once the entry is in the journal (in memory, with ``journal: false``) and so will be written.
        Returns False when it was not accepted: a required value cannot be stored, the queue is full, or the log is
        shut down. Each of these is counted in `statistics` and logged at most once a minute per reason.

        Raises `ClosedError` when the log was never opened, and `ForkedError` in a process that was forked after it was
        opened; never for load or for what the entry holds.
        """
        log_request = self._log_request
        return log_request(entry)

    def submit(self, entry: RequestLogEntry) -> None:
        """Like `log_request`, but says why an entry is not accepted.

        Raises `InvalidEntryError`, `QueueFullError`, `ClosedError` or `ForkedError`; each is counted.
        """
        self.request_logger.submit(entry)

    def watch(self, client: _T, **options: Unpack[WatchOptions]) -> _T:
        """Logs every call of a model that the client makes, with the SDK's retries as its attempts; returns the client.

        Takes a client of an SDK that is built on httpx or httpx2, such as ``AsyncOpenAI()`` or ``Anthropic()``, or a
        client of these libraries, synchronous or not. It behaves as before: bodies pass through chunk by chunk, and no
        failure to log reaches it. Copies that an SDK makes of it are watched too. Watching it again replaces the
        options. `describe_calls` describes single calls.

        Raises `TypeError` when it is no such client, or for an option that `WatchOptions` does not have.
        """
        from .watch.client import watch_client

        return watch_client(client, self.log_request, options)

    async def write(self, entry: RequestLogEntry) -> None:
        """Returns when the entry is committed; many callers share one commit.

        Raises what `submit` raises, `EntryRejectedError` when the database refuses the row, `QueueFullError` when the
        entry was dropped for a newer one, and `EntryAbandonedError` when shutdown ran out of time. When the call is
        cancelled, the entry is still written.
        """
        await self.request_logger.write(entry)

    async def flush(self) -> None:
        """Returns when everything accepted before the call is committed.

        So is then what killed writers had left when this log was opened; later ones are looked for once a minute.

        Raises `ClosedError` when no writer runs, and `EntryAbandonedError` when shutdown ran out of time. Entries that
        were rejected by the database or dropped for newer ones raise nothing: see `statistics`.
        """
        await self.request_logger.flush()

    async def budget(self, name: str) -> BudgetStatus:
        """What is spent and left of the budget of that name in the settings, and when it starts anew.

        It counts what is in the database: an entry that waits for its batch, about `flush_interval_ms`, is not counted
        yet. It takes a few reads, whose cost does not grow with the log; a gateway that asks before each request may
        well keep the answer for a second. Raises `SettingsError` for an unknown name, and what `usage` raises.
        """
        for budget in self.settings.budgets:
            if budget.name == name:
                return await self.usage.get_budget(budget)
        names = [budget.name for budget in self.settings.budgets]
        near = did_you_mean(name, names)
        remedy = f"did you mean {near!r}?" if near else f"the budgets are {', '.join(names)}" if names else "add it"
        raise SettingsError(f"there is no budget {name[:200]!r} in the settings; {remedy}")

    @property
    def request_logger(self) -> RequestLogger:
        """The `RequestLogger` that writes. Raises `ClosedError` when the log was never opened."""
        if self._logger is None:
            raise ClosedError("the log is not open; use `async with ChainLog(settings)`")
        return self._logger

    @property
    def usage(self) -> UsageAggregator:
        """The `UsageAggregator` that reads. Raises `ClosedError` when the log was never opened."""
        if self._usage is None:
            raise ClosedError("the log is not open; use `async with ChainLog(settings)`")
        return self._usage

    @property
    def guests(self) -> GuestWriters:
        """What stores the batches of writers on other machines. Raises `ClosedError` when the log was never opened."""
        return self.request_logger.guests

    def statistics(self) -> Statistics:
        """What became of the entries so far; final after shutdown. Raises `ClosedError` before the first opening."""
        statistics = self.request_logger.statistics()
        if self._exporter is None:
            return statistics
        return msgspec.structs.replace(statistics, otel_export=self._exporter.counts())

    def health(self) -> Health:
        """Whether entries reach the database, with reasons and remedies when they do not."""
        if not self._is_open or self._logger is None:
            return Health(status="failed", reasons=("the log is not open; use `async with ChainLog(settings)`",))
        health = self._logger.health()
        note = self._exporter.note() if self._exporter is not None else None
        return health if note is None else msgspec.structs.replace(health, notes=(*health.notes, note))

    async def alerts(self, *, limit: int = 20) -> AlertReport:
        """The alerts of the settings, those that are firing, and the newest `limit` episodes, newest first.

        Raises `DatabaseError`, and `SettingsError` when the log is kept by an engine without alerts.
        """
        from .alerts import report_alerts

        return await report_alerts(self._resolved, limit=limit)

    async def _watch(self, tasks: TaskGroup) -> AlertWatcher:
        from .alerts import AlertWatcher

        watcher = AlertWatcher(self._resolved, self.usage, self.statistics)
        await watcher.load()
        tasks.start_soon(watcher.run)
        return watcher

    async def _export(self, tasks: TaskGroup) -> None:
        from . import __version__
        from .otel_export import OtelExporter

        exporter = OtelExporter(self._resolved, self.usage, __version__)
        await exporter.load()
        self._exporter = exporter
        tasks.start_soon(exporter.run)

    def _refuse(self, entry: RequestLogEntry) -> bool:
        return self.request_logger.log_request(entry)

    @asynccontextmanager
    async def _open_database(self) -> AsyncGenerator[RequestLogger]:
        # Absolute, because a gateway may change its working directory later.
        db_path = await run_in_thread(self.settings.db_path.absolute)
        self._resolved = settings = self.settings.model_copy(update={"db_path": db_path})
        # One for the writer and the reads, which share what the loop may pause. Only SQLite runs in threads of this
        # process.
        gil_yielder = GilYielder(enabled=settings.yield_gil and settings.engine == "sqlite")
        usage = UsageAggregator.from_settings(settings, gil_yielder=gil_yielder)
        storage = await open_storage(settings)
        # Nothing is awaited from here on, or a cancellation would leave the database open.
        self._usage = usage
        self._logger = request_logger = RequestLogger(storage, settings, on_reopen=usage.renew, gil_yielder=gil_yielder)
        self._log_request = request_logger.log_request
        try:
            yield request_logger
        finally:
            await run_shielded(_close(usage, storage))


class _Start:
    """Runs the writer and passes an error of its start to whoever opens the log."""

    def __init__(self) -> None:
        self._event = anyio.Event()
        self._error: Exception | None = None

    async def run(self, request_logger: RequestLogger) -> None:
        """Runs the writer; an error before it has started is raised by `done`."""
        try:
            await request_logger.run(task_status=self)
        except Exception as error:
            if self._event.is_set():
                raise
            self._error = error
            self._event.set()

    def started(self, value: None = None) -> None:
        """Called by the writer once entries are journaled."""
        self._event.set()

    async def done(self) -> None:
        """Returns once the writer has started. Raises the error that prevented it."""
        await self._event.wait()
        if self._error is not None:
            raise self._error


async def _close(usage: UsageAggregator, storage: BatchStorage) -> None:
    await usage.aclose()
    await storage.aclose()
