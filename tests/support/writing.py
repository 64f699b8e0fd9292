"""What the tests of writing share: a look at the database from outside, somebody else's lock, a wait for a state."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from functools import cache
from pathlib import Path
from time import monotonic

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal

from chainlog_async import ChainLog, RequestLogEntry
from chainlog_async.settings import Settings
from chainlog_async.statistics import EntryCounts
from chainlog_async.storage.sqlite.migration_steps import latest_version

from .entries import entry
from .schemas import make_version

REPLAY_COMMIT_TIMEOUT_S = 20.0
"""How long a state that has to come may take, in seconds; far more than it ever does."""


@cache
def _empty_log() -> bytes:
    """What is in an empty database of the newest version."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "empty.db"
        make_version(path, latest_version())
        execute(path, "PRAGMA journal_mode = WAL")
        return path.read_bytes()


def settings_for(db_path: Path, **overrides: object) -> Settings:
    """Settings of a log on that file, which looks up no prices.

    The file is made here if its folder is there: migrating a new one takes longer than most tests.
    """
    if db_path.parent.is_dir() and not db_path.exists():
        db_path.write_bytes(_empty_log())
    return log_settings(db_path, **overrides)


def log_settings(db_path: Path, **overrides: object) -> Settings:
    """The same settings, for a log whose file is not there yet."""
    return Settings(**{"db_path": db_path, "prices": False} | overrides)


def in_memory(db_path: Path, **overrides: object) -> Settings:
    """Settings of a log without a journal: the queue is bounded by memory, and lost when shutdown runs out of time."""
    return settings_for(db_path, journal=False, **overrides)


def query(db_path: Path, sql: str, *parameters: object) -> list[tuple[object, ...]]:
    """Asks the database over a connection of its own; blocks."""
    with closing(sqlite3.connect(db_path, timeout=REPLAY_COMMIT_TIMEOUT_S)) as connection:
        return connection.execute(sql, parameters).fetchall()


def execute(db_path: Path, sql: str) -> None:
    """Changes the database over a connection of its own; blocks."""
    with closing(sqlite3.connect(db_path, timeout=REPLAY_COMMIT_TIMEOUT_S, isolation_level=None)) as connection:
        connection.execute(sql)


def models(db_path: Path) -> list[str]:
    """The model of every stored row, in the order of storing; the tests use it as the entry's name. Blocks."""
    return [str(model) for (model,) in query(db_path, "SELECT model FROM request_logs ORDER BY id")]


async def stored(db_path: Path) -> list[str]:
    """The result of `models`, read in a thread so that the event loop goes on."""
    return await asyncio.to_thread(models, db_path)


def check_law(statistics: EntryCounts) -> None:
    """Every entry is written, pending or dropped, and in one of these only."""
    accounted = statistics.written + statistics.pending + sum(statistics.dropped.values())
    assert statistics.submitted == accounted, statistics
    assert sum(statistics.batch_entries.counts) == statistics.batches, statistics
    assert statistics.batch_entries.sum == statistics.written, statistics
    assert statistics.pending or not statistics.oldest_pending_ms, statistics


def check_totals(db_path: Path) -> None:
    """What the triggers added up is what the rows add up to, and the file is sound. Blocks."""
    sums = "COUNT(*), SUM(total_tokens), SUM(prompt_tokens), SUM(completion_tokens), MAX(timestamp)"
    totals = "total_requests, total_tokens, total_prompt_tokens, total_completion_tokens, last_request_timestamp"
    with closing(sqlite3.connect(db_path, timeout=REPLAY_COMMIT_TIMEOUT_S)) as connection:

        def ask(sql: str) -> list[tuple[object, ...]]:
            return connection.execute(sql).fetchall()

        for table, key in (("usage_by_provider", "provider_id"), ("usage_by_chain", "chain_name")):
            kept = ask(f"SELECT {key}, {totals} FROM {table} ORDER BY {key}")
            assert kept == ask(f"SELECT {key}, {sums} FROM request_logs GROUP BY {key} ORDER BY {key}")
        assert ask("PRAGMA integrity_check") == [("ok",)]


async def until(state: Callable[[], bool], *, patience_s: float = REPLAY_COMMIT_TIMEOUT_S) -> None:
    """Returns once the state has come; fails the test when it does not."""
    deadline = monotonic() + patience_s
    while not state():
        assert monotonic() < deadline, "the awaited state did not come"
        await asyncio.sleep(0.002)


async def until_stored(db_path: Path, count: int) -> None:
    """Returns once another connection sees that many rows."""
    deadline = monotonic() + REPLAY_COMMIT_TIMEOUT_S
    while len(await stored(db_path)) < count:
        assert monotonic() < deadline, f"{count} rows did not come"


@contextmanager
def write_lock(db_path: Path) -> Iterator[None]:
    """Holds the database's write lock. Blocks."""
    with closing(sqlite3.connect(db_path, timeout=REPLAY_COMMIT_TIMEOUT_S, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


class Locked:
    """The write lock, held by another connection until `release`."""

    def __init__(self, db_path: Path) -> None:
        self._connection = sqlite3.connect(
            db_path, timeout=REPLAY_COMMIT_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        self._connection.execute("BEGIN IMMEDIATE")

    def release(self) -> None:
        """Lets go. Blocks."""
        self._connection.execute("ROLLBACK")
        self._connection.close()


@asynccontextmanager
async def locked(db_path: Path) -> AsyncIterator[None]:
    """Holds the write lock without holding up the event loop."""
    lock = await asyncio.to_thread(Locked, db_path)
    try:
        yield
    finally:
        await asyncio.to_thread(lock.release)


@asynccontextmanager
async def locked_soon(db_path: Path) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Gives a function that takes the lock, which is then held to the end of the block."""
    async with AsyncExitStack() as stack:

        async def hold() -> None:
            await stack.enter_async_context(locked(db_path))

        yield hold


REFUSE = (
    "CREATE TRIGGER refuse BEFORE INSERT ON request_logs WHEN NEW.model LIKE 'refused%' BEGIN SELECT RAISE({}); END"
)


async def refuse_rows(db_path: Path) -> None:
    """From now on the database refuses every row whose model begins with "refused"."""
    await asyncio.to_thread(execute, db_path, REFUSE.format("ABORT, 'no such row here'"))


def names(start: int, stop: int) -> list[str]:
    """Models that tell entries apart."""
    return [f"m{number}" for number in range(start, stop)]


def log_all(chainlog: ChainLog, models: list[str]) -> list[bool]:
    """Logs one entry for each."""
    return [chainlog.log_request(entry(model=model)) for model in models]


async def outcomes(chainlog: ChainLog, entries: list[RequestLogEntry]) -> list[asyncio.Task[None]]:
    """Writes all of them at once; the tasks have begun, in order, and have not ended."""
    tasks = [asyncio.create_task(chainlog.write(each)) for each in entries]
    await asyncio.sleep(0)
    return tasks


@contextmanager
def opened(settings: Settings) -> Iterator[tuple[ChainLog, BlockingPortal]]:
    """A log that runs in a thread of its own, for a test that is no coroutine."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(ChainLog(settings)) as chainlog:
        yield chainlog, portal


def disk_error() -> None:
    """Raises what SQLite raises when a disk fails."""
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorname = "SQLITE_IOERR"
    raise error


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the library warned of."""
    return [record.getMessage() for record in caplog.records if record.name.startswith("chainlog_async")]
