"""The writer's task outlives an exception from any call that it awaits, once or for ever."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import pkgutil
import sqlite3
from collections.abc import Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType

import pytest
from factories import entry
from fault_tools import leave_dead_journal
from writing_tools import check_law, check_totals, log_all, names, settings_for, stored, until

import chainlog_async
from chainlog_async import ChainLog
from chainlog_async.errors import ChainlogError

WRITERS_MODULES = (
    "committer", "database", "finishing", "integrity", "maintenance", "quarantine", "replay", "retention", "schema",
    "slices", "store", "stream", "usage", "writer",
)  # fmt: skip
"""Where the writer's task finds what it awaits."""

OWN = {"committer.Committer.commit", "writer.Writer.run"}
"""The tasks themselves, and what is nothing but a loop around what is tried here."""

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
    return {name: where for name, where in found.items() if name not in OWN}


def _is_class_of(item: object, module: ModuleType) -> bool:
    return isinstance(item, type) and item.__module__ == module.__name__


CALLS = awaited_calls()


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
        importlib.import_module(f"chainlog_async.{info.name}")
        for info in pkgutil.iter_modules(chainlog_async.__path__)
        if info.name in WRITERS_MODULES
    ]
    return [(module, name) for module in modules for name, item in vars(module).items() if item is function]


async def trouble(db_path: Path, chainlog: ChainLog, fault: Fault) -> None:
    """All that the writer may have to deal with, one after the other, until it has met the fault or there is no more."""
    for number, work in enumerate((_log, _delete, _lock, _break)):
        if fault.calls:
            return
        await work(db_path, chainlog, number)
        for _ in range(25):
            if not fault.calls:
                await asyncio.sleep(0.004)


async def _log(db_path: Path, chainlog: ChainLog, number: int) -> None:
    log_all(chainlog, [f"t{number}-{turn}" for turn in range(30)])


async def _delete(db_path: Path, chainlog: ChainLog, number: int) -> None:
    """The file is gone, and its log with it."""
    for suffix in ("", "-wal", "-shm"):
        Path(f"{db_path}{suffix}").unlink(missing_ok=True)
    log_all(chainlog, [f"t{number}-{turn}" for turn in range(30)])


async def _lock(db_path: Path, chainlog: ChainLog, number: int) -> None:
    """The connection may not write."""
    await chainlog._require_logger().connection.execute_fetchall("PRAGMA query_only = ON")
    log_all(chainlog, [f"t{number}-{turn}" for turn in range(30)])


async def _break(db_path: Path, chainlog: ChainLog, number: int) -> None:
    """What is at the path is no database any more."""
    text = db_path.with_name("text")
    text.write_bytes(b"no database" * 1_000)
    text.replace(db_path)
    log_all(chainlog, [f"t{number}-{turn}" for turn in range(30)])


@pytest.mark.parametrize("for_ever", [False, True], ids=["once", "for ever"])
@pytest.mark.parametrize("name", CALLS)
async def test_the_writer_outlives_an_error_of_any_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, for_ever: bool
) -> None:
    """While a call raises the books are right and nothing hangs; once it does not, the next entries are written."""
    fault = Fault(*CALLS[name], for_ever=for_ever)
    for owner, attribute in fault.places:
        monkeypatch.setattr(owner, attribute, fault.function)
    db_path = tmp_path / "log.db"
    leave_dead_journal(db_path, names(0, 5))
    chainlog = ChainLog(settings_for(db_path, on_corrupt="quarantine", max_batch_size=10, retention_rows=10_000))
    fault.active = True
    try:
        async with asyncio.timeout(20), chainlog:
            await trouble(db_path, chainlog, fault)
            check_law(chainlog.statistics())
            fault.active = False
            await _next_is_written(chainlog)
    except (RuntimeError, ChainlogError) as error:
        # A start may fail; it says why.
        assert "on purpose" in f"{error} {error.__cause__}"
    except ExceptionGroup as errors:
        assert "on purpose" in str(errors.exceptions)
    fault.active = False
    with open("/tmp/lab/faults/reach", "a") as f: print(name, for_ever, fault.calls, file=f)
    async with asyncio.timeout(20), chainlog:
        await _next_is_written(chainlog)
    check_law(chainlog.statistics())
    await asyncio.to_thread(check_totals, db_path)


async def _next_is_written(chainlog: ChainLog) -> None:
    db_path = chainlog.settings.db_path
    await chainlog.write(entry(model="next"))
    await chainlog.flush()
    assert chainlog.statistics().pending == 0
    assert (await stored(db_path))[-1] == "next"
    check_law(chainlog.statistics())
