"""The same requests in a SQLite file and in PostgreSQL, to be asked the same."""

from __future__ import annotations

from contextlib import aclosing

from chainlog_async import RequestLogEntry
from chainlog_async.settings import Settings
from chainlog_async.storage.engines import open_storage
from tests.storage.random_log import batch_of

from .postgres import connected

BATCH = 40


async def store_in_each(logs: tuple[Settings, Settings], entries: list[RequestLogEntry], position: int = 0) -> int:
    """Stores them as the writer does, from that position of a stream on. Returns where it ends."""
    for first in range(0, len(entries), BATCH):
        batch = batch_of("w", position, entries[first : first + BATCH])
        for one in logs:
            async with aclosing(await open_storage(one)) as storage:
                await storage.start()
                # The writer too asks where its stream is before it commits.
                assert await storage.position("w") == position
                await storage.commit(batch)
        position = batch.end
    return position


async def store_in_postgres(log: Settings, entries: list[RequestLogEntry]) -> None:
    """Stores them as one batch, which is not folded."""
    async with aclosing(await open_storage(log)) as storage:
        await storage.start()
        await storage.commit(batch_of("w", 0, entries))


async def fold(url: str, *, batches: int | None = None) -> None:
    """Adds that many batches to the totals, or all."""
    async with connected(url) as connection:
        if batches is not None:
            await connection.fetchval("SELECT chainlog.fold($1)", batches)
            return
        while await connection.fetchval("SELECT chainlog.fold(10)"):
            pass


async def roll_up(url: str, until: int, *, small_ones: bool) -> None:
    """Rolls up what is folded and ended before that time (ms, UTC); with `small_ones` also what does not pay."""
    fewest = (0, 0) if small_ones else (100, 3)
    async with connected(url) as connection:
        while await connection.fetchval("SELECT chainlog.roll_up(0, $1, $2, $3, 1000)", until, *fewest):
            pass
