"""The writer's task outlives an exception from any call that it awaits, once or for ever."""

from __future__ import annotations

import asyncio
import importlib
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import ModuleType

import pytest

from chainlog_async import ChainLog
from chainlog_async.buffer import lease
from chainlog_async.common.clock import DAY_MS, now_ms
from chainlog_async.errors import ChainlogError
from chainlog_async.storage.sqlite.storage import SqliteStorage
from tests.support.entries import entry
from tests.support.faults import beside_it, leave_dead_journal
from tests.support.schemas import make_original
from tests.support.writing import (
    REFUSE,
    check_law,
    check_totals,
    execute,
    locked_soon,
    log_all,
    names,
    settings_for,
    stored,
    until,
)

pytestmark = pytest.mark.usefixtures("short_pauses")

WRITERS_MODULES = (
    "writer.committer",
    "writer.price_lookup",
    "storage.sqlite.connection",
    "common.cancellation",
    "storage.sqlite.maintenance.integrity_check",
    "storage.sqlite.maintenance.size_estimate",
    "storage.sqlite.maintenance.rounds",
    "storage.sqlite.quarantine",
    "writer.replay",
    "writer.replay_outcome",
    "storage.sqlite.maintenance.rows_ahead",
    "storage.sqlite.maintenance.retention",
    "storage.sqlite.maintenance.rollup_job",
    "storage.sqlite.schema",
    "storage.sqlite.maintenance.purge",
    "storage.sqlite.open",
    "storage.sqlite.storage",
    "storage.sqlite.write_connection",
    "storage.sqlite.maintenance.pages",
    "buffer.journal_manager",
    "buffer.recovery",
    "writer.writer",
)
"""Where the writer's task finds what it awaits."""

PASSED_OVER = {
    # The task itself.
    "writer.writer.Writer.run",
    # Closing that is kept from closing leaves a connection open, whatever comes after it.
    "storage.sqlite.connection.close_connection",
    "storage.sqlite.connection._close",
    "storage.sqlite.storage.SqliteStorage.aclose",
    "storage.sqlite.storage.SqliteStorage._close",
    # The start, which fails with it.
    "storage.sqlite.open.open_or_quarantine",
    "storage.sqlite.write_connection.WriteConnection._renew",
    # Awaited by the task that looks at alerts, and for an engine that goes back, which SQLite never does.
    "storage.sqlite.connection.open_aside",
    "writer.committer.Committer._send_again",
    # Only for a replay that is cut short, see the tests of cancellation, or for a round, see test_upkeep.py.
    "storage.sqlite.storage.SqliteStorage.wait_until_idle",
    "writer.replay_outcome.end_statement",
    "storage.sqlite.write_connection.WriteConnection.end_statement",
}

AT_THE_END = {
    "storage.sqlite.storage.SqliteStorage.interrupt",
    "storage.sqlite.storage.SqliteStorage._checkpoint",
    "buffer.journal_manager.JournalManager.close",
    "writer.writer.Writer._drain",
    "writer.writer.Writer._drain_and_clean_up",
    "writer.writer.Writer._forget",
    "writer.writer.Writer._find_position",
    "writer.writer.Writer._shut_down",
    "writer.writer.Writer._clean_up",
    "storage.sqlite.storage.SqliteStorage.forget",
}
"""Awaited when the log is closed, and not before."""

WITH_A_LOCK = {"storage.sqlite.storage.SqliteStorage.interrupt", "writer.writer.Writer._find_position"}
"""And only when time runs out."""

MIGRATES = {"storage.sqlite.schema._apply", "storage.sqlite.schema._run"}
"""Awaited only for a database that an older release made."""

PRICES = (
    "storage.sqlite.storage.SqliteStorage.add_prices",
    "writer.price_lookup.",
)

ROWS_AHEAD = "storage.sqlite.maintenance.rows_ahead."

PURGES = ("storage.sqlite.maintenance.purge.", "storage.sqlite.maintenance.pages.", ROWS_AHEAD)

Owner = type | ModuleType


def awaited_calls() -> dict[str, tuple[Owner, str]]:
    """Every coroutine function of these modules, by its full name."""
    found: dict[str, tuple[Owner, str]] = {}
    for name in WRITERS_MODULES:
        module = importlib.import_module(f"chainlog_async.{name}")
        owners: list[Owner] = [module, *(item for item in vars(module).values() if _is_class_of(item, module))]
        for owner in owners:
            for attribute, item in vars(owner).items():
                if inspect.iscoroutinefunction(item) and item.__module__ == module.__name__:
                    found[f"{name}.{item.__qualname__}"] = (owner, attribute)
    return {name: where for name, where in found.items() if name not in PASSED_OVER}


def _is_class_of(item: object, module: ModuleType) -> bool:
    return isinstance(item, type) and item.__module__ == module.__name__


CALLS = awaited_calls()

NEAR_THE_JOURNAL = ("buffer.", "writer.", "common.")
"""Calls that are met with the journal mapped and with a system call for each line; the others as it comes."""


def with_both_journals(names: set[str]) -> list[tuple[str, str]]:
    """These calls, each with the ways to write the journal in which it is met."""
    return [
        (name, write)
        for name in sorted(names)
        for write in (("mmap", "pwrite") if name.startswith(NEAR_THE_JOURNAL) else ("auto",))
    ]


class Fault:
    """Makes one function raise: at its first call, or at each until it is lifted."""

    def __init__(self, owner: Owner, attribute: str, *, for_ever: bool) -> None:
        self.for_ever = for_ever
        self.active = False
        self.calls = 0
        function: Callable[..., object] = vars(owner)[attribute]
        self.places = [(owner, attribute)] if isinstance(owner, type) else _names_of(function)

        async def fail(*arguments: object, **named: object) -> object:
            if self.active:
                self.calls += 1
                self.active = self.for_ever
                for argument in arguments:
                    if inspect.iscoroutine(argument):
                        argument.close()
                raise RuntimeError("raised on purpose")
            return await function(*arguments, **named)  # type: ignore[misc]  # a coroutine function

        self.function = fail


def _names_of(function: object) -> list[tuple[Owner, str]]:
    """A module that imported the function has a name of its own for it."""
    modules = [
        importlib.import_module(f"chainlog_async.{name}") for name in (*WRITERS_MODULES, "chainlog", "request_logger")
    ]
    return [(module, name) for module in modules for name, item in vars(module).items() if item is function]


class Life:
    """A log in which everything happens that the writer may have to deal with, until it has met the fault."""

    def __init__(self, chainlog: ChainLog, fault: Fault, *, ahead: bool = False) -> None:
        self.chainlog = chainlog
        self.ahead = ahead
        """Whether entries are from the future."""
        """Of each entry."""
        self.fault = fault
        self.db_path = chainlog.settings.db_path
        self.logged = 0
        self.rounds = 0
        """Rounds of maintenance so far, or at least their beginnings."""

    async def run(self) -> None:
        """One trouble after the other."""
        for trouble in (self.write, self.refuse, self.delete, self.forbid, self.replace):
            if not self.fault.calls:
                await trouble()

    async def until(self, state: Callable[[], bool]) -> None:
        """Returns when the state has come, or the fault was met."""
        await until(lambda: bool(self.fault.calls) or state())

    async def write(self) -> None:
        """Enough for several segments of the journal, and for a round of maintenance."""
        rounds = self.rounds
        self.log("t", error_message="x" * 4_000)
        await self.until(lambda: not self.chainlog.statistics().pending and self.rounds > rounds)

    async def refuse(self) -> None:
        """Rows that the database does not take."""
        await asyncio.to_thread(execute, self.db_path, REFUSE.format("ABORT, 'no'"))
        self.log("refused")
        await self.until(lambda: not self.chainlog.statistics().pending)

    async def delete(self) -> None:
        """The file is gone, and its log with it."""
        async with self.another_connection():
            for suffix in ("", "-wal", "-shm"):
                beside_it(self.db_path, suffix).unlink(missing_ok=True)

    async def forbid(self) -> None:
        """The connection may not write, and what another one wrote is in the write-ahead log."""
        async with self.another_connection():
            await self.chainlog.request_logger.connection.execute_fetchall("PRAGMA query_only = ON")
            await asyncio.to_thread(execute, self.db_path, "CREATE TABLE anything (x)")

    async def replace(self) -> None:
        """What is at the path is no database any more."""
        async with self.another_connection():
            text = self.db_path.with_name("text")
            text.write_bytes(b"no database" * 1_000)
            text.replace(self.db_path)

    @asynccontextmanager
    async def another_connection(self) -> AsyncIterator[None]:
        """Ends when the log has opened the path again, and written there."""
        before = self.chainlog.request_logger.connection
        yield
        self.log("t")
        await self.until(lambda: self.chainlog.request_logger.connection is not before)
        await self.until(lambda: not self.chainlog.statistics().pending)

    def log(self, model: str, **overrides: object) -> None:
        """Some entries."""
        for _ in range(30):
            self.logged += 1
            times = {"timestamp": now_ms() + DAY_MS} if self.ahead else {}
            self.chainlog.log_request(entry(model=f"{model}{self.logged}", **overrides, **times))


def life_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, write: str, *, for_ever: bool) -> Life:
    """A log that will meet the fault, with a dead writer's journal to begin with."""
    fault = Fault(*CALLS[name], for_ever=for_ever)
    for owner, attribute in fault.places:
        monkeypatch.setattr(owner, attribute, fault.function)
    db_path = tmp_path / "log.db"
    leave_dead_journal(db_path, names(0, 5))
    if name in MIGRATES:
        make_original(db_path, 2)
    settings = settings_for(
        db_path,
        on_corrupt="quarantine",
        max_batch_size=10,
        wal_limit_bytes=0,
        prices=name.startswith(PRICES),
        journal_write=write,
        journal_segment_bytes=16 * 1024,
        journal_max_bytes=1024 * 1024,
        retention_rows=20 if name.startswith(PURGES) else 0,
        retention_bytes=100_000 if name.startswith("storage.sqlite.maintenance.size_estimate.") else 0,
        shutdown_timeout_ms=200 if name in WITH_A_LOCK else 5_000,
    )
    life = Life(ChainLog(settings), fault, ahead=name.startswith(ROWS_AHEAD))
    run_if_due = SqliteStorage.maintain

    async def counting(storage: SqliteStorage, *, is_behind: bool) -> float:
        life.rounds += 1
        return await run_if_due(storage, is_behind=is_behind)

    if name != "storage.sqlite.storage.SqliteStorage.maintain":
        monkeypatch.setattr(SqliteStorage, "maintain", counting)
    return life


@pytest.mark.parametrize("for_ever", [False, True], ids=["once", "for ever"])
@pytest.mark.parametrize(("name", "write"), with_both_journals(set(CALLS) - AT_THE_END))
async def test_the_writer_outlives_an_error_of_any_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, write: str, for_ever: bool
) -> None:
    """While a call raises the books are right and nothing hangs; once it does not, the next entries are written."""
    life = life_with(tmp_path, monkeypatch, name, write, for_ever=for_ever)
    life.fault.active = True
    with expected_at_the_start():
        async with asyncio.timeout(40), life.chainlog:
            await life.run()
            check_law(life.chainlog.statistics())
            life.fault.active = False
            await _next_is_written(life.chainlog)
    assert life.fault.calls
    await _reopen(life)


@pytest.mark.parametrize(("name", "write"), with_both_journals(AT_THE_END))
async def test_an_error_at_the_end_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, write: str
) -> None:
    """Whatever the shutdown trips over, it ends, and what it did not get to is written by the next start."""
    life = life_with(tmp_path, monkeypatch, name, write, for_ever=False)
    db_path = life.chainlog.settings.db_path
    with expected_at_the_start():
        async with locked_soon(db_path) as hold, asyncio.timeout(40), life.chainlog:
            await _next_is_written(life.chainlog)
            if name in WITH_A_LOCK:
                await hold()
            log_all(life.chainlog, ["waiting"] * 30)
            life.fault.active = True
    assert life.fault.calls
    life.fault.active = False
    end_process()
    async with asyncio.timeout(40), life.chainlog:
        await _next_is_written(life.chainlog)
    assert (await stored(db_path)).count("waiting") == 30


def end_process() -> None:
    """What the end of the process would do: a log that does not know its end keeps its journal's lock until then."""
    for held in list(lease._leases):
        held.disown()


@contextmanager
def expected_at_the_start() -> Iterator[None]:
    """A start may fail; it says why."""
    try:
        yield
    except (RuntimeError, ChainlogError) as error:
        if "on purpose" not in f"{error} {error.__cause__}":
            raise
    except ExceptionGroup as errors:
        if "on purpose" not in str(errors.exceptions):
            raise


async def _reopen(life: Life) -> None:
    life.fault.active = False
    async with asyncio.timeout(40), life.chainlog:
        await _next_is_written(life.chainlog)
    check_law(life.chainlog.statistics())
    if not life.chainlog.settings.retention_rows and not life.chainlog.settings.retention_bytes:
        await asyncio.to_thread(check_totals, life.db_path)


async def _next_is_written(chainlog: ChainLog) -> None:
    db_path = chainlog.settings.db_path
    await chainlog.write(entry(model="next"))
    await chainlog.flush()
    assert chainlog.statistics().pending == 0
    assert (await stored(db_path))[-1] == "next"
    check_law(chainlog.statistics())
