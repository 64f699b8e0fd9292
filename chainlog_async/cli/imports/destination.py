"""Where an import puts what it read: entries into the log's queue, rows of an export beside what the log has."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import anyio

from chainlog_async.admin.restore import ExportedRow, Restore, RestoreCounts, open_restore
from chainlog_async.chainlog import ChainLog
from chainlog_async.entry.redaction import Redactor
from chainlog_async.errors import DatabaseError, QueueFullError
from chainlog_async.settings import Settings
from chainlog_async.statistics import Statistics

from .formats import Item

MAX_PENDING_ENTRIES = 20_000
"""How many entries may wait for the database before reading pauses."""

GIVE_UP_AFTER_S = 1.0
"""How long writing may fail, for a reason other than a lock, before the import ends, in seconds."""

_LOOK_EVERY_S = 0.1


@asynccontextmanager
async def open_destination(settings: Settings) -> AsyncGenerator[Destination]:
    """Opens the log. Raises `DatabaseError` when that fails."""
    async with ChainLog(settings) as chainlog, AsyncExitStack() as stack:
        yield Destination(chainlog, settings, stack)


class Destination:
    """The log that is imported into. What cannot be written ends the import, but for a lock, which is waited for."""

    def __init__(self, chainlog: ChainLog, settings: Settings, stack: AsyncExitStack) -> None:
        self._chainlog = chainlog
        self._settings = settings
        self._stack = stack
        self._restore: Restore | None = None

    @property
    def counts(self) -> RestoreCounts:
        """What became of the rows of exports."""
        return RestoreCounts() if self._restore is None else self._restore.counts

    def statistics(self) -> Statistics:
        """What became of the entries; final once the destination is closed."""
        return self._chainlog.statistics()

    async def take(self, item: Item) -> None:
        """Takes an entry or a row. Raises `InvalidEntryError`, or `DatabaseError` when nothing can be written."""
        if isinstance(item, ExportedRow):
            await self._take_row(item)
            return
        try:
            self._chainlog.submit(item)
        except QueueFullError:
            await self.flush()
            self._chainlog.submit(item)

    async def end_block(self) -> None:
        """Called between blocks: waits for room. Raises `DatabaseError`."""
        pending = self._chainlog.statistics().pending
        if pending >= MAX_PENDING_ENTRIES or (pending and self._chainlog.request_logger.write_error):
            await self.flush()
        if self._restore is not None:
            await self._restore.stage()

    async def end_file(self, begin_storing: Callable[[int], None], advance: Callable[[int], None]) -> None:
        """Stores the rows of an export that was read. Raises `DatabaseError`."""
        if self._restore is None:
            return
        await self.end_block()
        if self._restore.counts.missing:
            begin_storing(self._restore.counts.missing)
            await self._restore.store(advance)

    async def flush(self) -> None:
        """Returns when every entry is written. Raises `DatabaseError` when nothing can be written for a second."""
        failure: str | None = None

        async def give_up() -> None:
            nonlocal failure
            reason: str | None = None
            failed_s = 0.0
            while failed_s < GIVE_UP_AFTER_S:
                await anyio.sleep(_LOOK_EVERY_S)
                reason = self._chainlog.request_logger.write_error
                failed_s = failed_s + _LOOK_EVERY_S if reason else 0.0
            failure = reason
            tasks.cancel_scope.cancel()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(give_up)
            await self._chainlog.flush()
            tasks.cancel_scope.cancel()
        if failure is not None:
            raise DatabaseError(f"{self._settings.database} cannot be written: {failure}")

    async def _take_row(self, row: ExportedRow) -> None:
        if self._restore is None:
            if self._settings.engine != "sqlite":
                raise DatabaseError(
                    f"rows of an export can be restored into a database file only, not into {self._settings.database}: "
                    "import them where that is, or name a file with --db"
                )
            opened = open_restore(self._settings.db_path, Redactor(self._settings.redact_patterns))
            self._restore = await self._stack.enter_async_context(opened)
        self._restore.take(row)
