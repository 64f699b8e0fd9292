"""Ways of a gateway to log its requests, for the process that runs the gateway."""

from __future__ import annotations

import asyncio
import sqlite3
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiosqlite
import msgspec

from benchmarks.harness.common import INSERT_ROW, Row
from benchmarks.harness.databases import open_async, open_plainly
from benchmarks.harness.releases import BEFORE
from chainlog_async import ChainLog, RequestLogEntry, Statistics
from chainlog_async.settings import Settings

FLUSH_S = 0.1
"""How often the writers take what waits, this library's included, in seconds."""


class Strategy(ABC):
    """One way. The database exists already."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @abstractmethod
    async def open(self) -> None:
        """Makes it ready, on the event loop that it will run on."""

    @abstractmethod
    def log(self, row: Row) -> None:
        """Takes the record of one request."""

    def statistics(self) -> Statistics | None:
        """What this library says of itself."""
        return None


class Nothing(Strategy):
    """No logging at all."""

    async def open(self) -> None:
        return

    def log(self, row: Row) -> None:
        return


class Chainlog(Strategy):
    """This library as it is by default."""

    journal = True

    async def open(self) -> None:
        settings = Settings(
            db_path=self._path,
            journal=self.journal,
            flush_interval_ms=int(FLUSH_S * 1_000),
            max_queue_size=10_000_000,
            max_queue_bytes=4 * 2**30,
        )
        self._chainlog = await AsyncExitStack().enter_async_context(ChainLog(settings))

    def log(self, row: Row) -> None:
        self._chainlog.log_request(
            RequestLogEntry(
                timestamp=row[0],
                chain_name=row[1],
                provider_id=row[2],
                model=row[3],
                prompt_tokens=row[4],
                completion_tokens=row[5],
                latency_ms=row[7],
                http_status=row[8],
                attempts=row[9],
                error_message=row[10],
            )
        )

    def statistics(self) -> Statistics:
        return self._chainlog.statistics()


class ChainlogInMemory(Chainlog):
    """Without its journal."""

    journal = False


class Insert(Strategy):
    """429chain's way: an INSERT on the event loop, a transaction each."""

    async def open(self) -> None:
        self._connection: sqlite3.Connection = open_plainly(self._path)

    def log(self, row: Row) -> None:
        self._connection.execute(INSERT_ROW, row)


class RowByRow(Strategy):
    """A queue, and a task that hands the rows to aiosqlite one at a time."""

    async def open(self) -> None:
        self._connection: aiosqlite.Connection = await open_async(self._path)
        self._queue: deque[Row] = deque()
        self._task = asyncio.create_task(self._write())

    def log(self, row: Row) -> None:
        self._queue.append(row)

    async def _write(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_S)
            while self._queue:
                await self._write_batch([self._queue.popleft() for _ in range(min(len(self._queue), 1_000))])

    async def _write_batch(self, rows: list[Row]) -> None:
        for row in rows:
            await self._connection.execute(INSERT_ROW, row)


class Executemany(RowByRow):
    """The same, with a transaction and an executemany for up to 1,000 rows."""

    async def _write_batch(self, rows: list[Row]) -> None:
        await self._connection.execute("BEGIN IMMEDIATE")
        await self._connection.executemany(INSERT_ROW, rows)
        await self._connection.execute("COMMIT")


STRATEGIES: dict[str, type[Strategy]] = {
    "no logging": Nothing,
    "chainlog, journal on": Chainlog,
    "chainlog, journal off": ChainlogInMemory,
    BEFORE: Chainlog,
    "aiosqlite, executemany": Executemany,
    "aiosqlite, row by row": RowByRow,
    "INSERT on the loop (429chain)": Insert,
}


class Probe(msgspec.Struct):
    """One look at the event loop."""

    at: float
    """`perf_counter`, in seconds."""
    late_s: float
    """How much later than asked for it came."""
    cpu_s: float
    """CPU time of the loop's thread so far."""


@asynccontextmanager
async def probing(probes: list[Probe], every_s: float = 0.02) -> AsyncIterator[None]:
    """Looks at the event loop now and then: how late its timers are, how much it works."""
    from time import perf_counter, thread_time

    async def look() -> None:
        while True:
            due = perf_counter() + every_s
            await asyncio.sleep(every_s)
            now = perf_counter()
            probes.append(Probe(now, now - due, thread_time()))

    task = asyncio.create_task(look())
    try:
        yield
    finally:
        task.cancel()
