"""What is promised about the writer's task: no error ends it, and none loses or doubles an entry."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from chainlog_async import ChainLog
from chainlog_async.storage.sqlite.storage import SqliteStorage
from tests.support.entries import entry
from tests.support.interrupting import Steps
from tests.support.writing import check_law, disk_error, settings_for, stored, until

ERRORS: list[BaseException] = [
    ValueError("no such thing"),
    RuntimeError("event loop trouble"),
    MemoryError(),
    RecursionError(),
    OSError("device gone"),
    TimeoutError(),
    EOFError(),
    sqlite3.OperationalError("disk I/O error"),
    sqlite3.ProgrammingError("closed"),
    sqlite3.DatabaseError("odd"),
    AssertionError("impossible"),
    ExceptionGroup("several", [ValueError()]),
]


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("writer.committer", "writer.writer"):
        monkeypatch.setattr(f"chainlog_async.{module}.MIN_RETRY_PAUSE_S", 0.001, raising=False)
        monkeypatch.setattr(f"chainlog_async.{module}.MAX_RETRY_PAUSE_S", 0.01, raising=False)


@asynccontextmanager
async def failing(name: str, error: BaseException, times: int) -> AsyncIterator[None]:
    """`SqliteStorage`'s method of that name raises so many times, then works again."""
    method: Callable[..., Awaitable[object]] = getattr(SqliteStorage, name)
    left = times

    async def fail(*arguments: object, **named: object) -> object:
        nonlocal left
        if left:
            left -= 1
            raise error
        return await method(*arguments, **named)

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(SqliteStorage, name, fail)
        yield


@pytest.mark.parametrize("times", [1, 8])
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
async def test_the_writer_outlives_an_error_of_the_commit(tmp_path: Path, error: BaseException, times: int) -> None:
    """Whatever a commit raises, once or again and again: the entries are kept, in order, and written once."""
    db_path = tmp_path / "log.db"
    async with ChainLog(settings_for(db_path, max_batch_size=3)) as chainlog:
        async with failing("commit", error, times):
            for number in range(10):
                chainlog.log_request(entry(model=f"m{number}"))
            await chainlog.flush()
        await chainlog.write(entry(model="after"))
        statistics = chainlog.statistics()
        check_law(statistics)
        assert (statistics.written, statistics.dropped) == (11, {})
        assert statistics.retries >= 1
        assert statistics.last_error is not None
        assert chainlog.health().status == "ok"
    assert await stored(db_path) == [*[f"m{number}" for number in range(10)], "after"]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_the_writer_outlives_an_error_of_any_statement(tmp_path: Path, after: bool) -> None:
    """An error before or after each statement of the running writer, one at a time, loses and doubles nothing."""
    step, reached = 0, True
    while reached:
        step += 1
        db_path = tmp_path / f"{step}.db"
        async with ChainLog(settings_for(db_path, max_batch_size=4)) as chainlog:
            with pytest.MonkeyPatch.context() as monkeypatch:
                steps = Steps(step, disk_error, late=after)
                steps.watch_statements(monkeypatch)
                for number in range(12):
                    chainlog.log_request(entry(model=f"m{number}"))
                await chainlog.flush()
                reached = steps.reached
            await chainlog.write(entry(model="m12"))
            check_law(chainlog.statistics())
            assert chainlog.statistics().dropped == {}
        assert await stored(db_path) == [f"m{number}" for number in range(13)], step
    assert step > 3


async def test_health_tells_of_errors_and_of_recovery(tmp_path: Path) -> None:
    """While commits fail, health is ``degraded`` with the reason; afterwards ``ok``, and the error stays readable."""
    async with ChainLog(settings_for(tmp_path / "log.db")) as chainlog:
        async with failing("commit", RuntimeError("out of order"), 1_000_000):
            chainlog.log_request(entry())
            await until(lambda: chainlog.statistics().retries >= 2)
            health = chainlog.health()
            assert health.status == "degraded"
            assert "out of order" in health.reasons[0]
            assert chainlog.statistics().pending == 1
        await chainlog.flush()
        assert chainlog.health().status == "ok"
        assert "out of order" in str(chainlog.statistics().last_error)
