"""What is promised about the one object of a gateway: opening, using, failing, closing, opening again."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import aiosqlite
import anyio
import pytest
from httpx import ASGITransport, AsyncClient
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from chainlog_async import ChainLog, ChainlogError
from chainlog_async.errors import (
    ClosedError,
    DatabaseError,
    ForeignDatabaseError,
    NewerDatabaseError,
    NotADatabaseError,
)
from tests.support.entries import entry
from tests.support.interrupting import Steps
from tests.support.writing import disk_error, execute, in_memory, locked, log_settings, query, stored


def names_in(folder: Path) -> list[str]:
    """What lies in the folder, as deep as it goes."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


# Use


async def test_a_gateway_logs_and_reads(tmp_path: Path) -> None:
    """Opened, the log takes entries, and what was written is read back through the same object."""
    async with ChainLog(log_settings(tmp_path / "made" / "on" / "the" / "way" / "log.db")) as chainlog:
        assert chainlog.health().status == "ok"
        await chainlog.write(entry(provider_id="groq", prompt_tokens=10, completion_tokens=5))
        assert chainlog.log_request(entry(provider_id="cerebras", attempts=2, latency_ms=1))
        await chainlog.flush()
        assert [usage.provider_id for usage in await chainlog.usage.get_all_provider_usage()] == ["cerebras", "groq"]
        (groq,) = [each for each in await chainlog.usage.get_all_provider_usage() if each.provider_id == "groq"]
        assert (groq.total_requests, groq.total_tokens) == (1, 15)
        assert (await chainlog.usage.get_summary_stats()).waterfall_requests == 1
        assert len(await chainlog.usage.get_recent_requests()) == 2


async def test_without_settings_the_defaults_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`ChainLog()` writes to ``./data/observability.db``."""
    monkeypatch.chdir(tmp_path)
    async with ChainLog() as chainlog:
        await chainlog.write(entry())
    assert len(await stored(tmp_path / "data" / "observability.db")) == 1


async def test_a_log_runs_as_a_background_task(tmp_path: Path) -> None:
    """Started in a task group, it is open when `start` returns, and drained when the group is cancelled."""
    chainlog = ChainLog(log_settings(tmp_path / "log.db"))
    async with anyio.create_task_group() as tasks:
        await tasks.start(chainlog.run)
        assert chainlog.health().status == "ok"
        await chainlog.write(entry(model="awaited"))
        assert chainlog.log_request(entry(model="waiting"))
        tasks.cancel_scope.cancel()
    assert await stored(tmp_path / "log.db") == ["awaited", "waiting"]
    assert chainlog.health().status == "failed"


async def test_a_log_runs_as_a_lifespan(tmp_path: Path) -> None:
    """Starlette opens and closes it with the application, and hands it to the handlers."""
    chainlog = ChainLog(log_settings(tmp_path / "log.db"))

    async def handle(request: Request) -> JSONResponse:
        log: ChainLog = request.state.chainlog
        return JSONResponse({"accepted": log.log_request(entry(model="from a handler"))})

    app = Starlette(routes=[Route("/", handle)], lifespan=chainlog.lifespan)
    async with app.router.lifespan_context(app) as state:

        async def with_state(scope: dict[str, object], *rest: object) -> None:
            await app({**scope, "state": dict(state or {})}, *rest)  # type: ignore[arg-type]  # ASGI, handed on

        async with AsyncClient(transport=ASGITransport(with_state), base_url="http://gateway") as client:  # type: ignore[arg-type]  # ASGI, handed on
            assert (await client.get("/")).json() == {"accepted": True}
    assert await stored(tmp_path / "log.db") == ["from a handler"]
    assert chainlog.health().status == "failed"


async def test_two_logs_of_one_process_share_a_file(tmp_path: Path) -> None:
    """Two objects on one file do not disturb each other, and the end of one is not that of the other."""
    db_path = tmp_path / "log.db"
    async with ChainLog(log_settings(db_path)) as first:
        async with ChainLog(log_settings(db_path)) as second:
            await asyncio.gather(
                *[log.write(entry(model=name)) for log, name in ((first, "a"), (second, "b")) for _ in range(50)]
            )
        await first.write(entry(model="a"))
    written = await stored(db_path)
    assert (written.count("a"), written.count("b")) == (51, 50)


# Open and closed


async def test_a_log_that_was_never_opened_says_so(tmp_path: Path) -> None:
    """Before the first opening every call names the remedy, and health is ``failed`` for that reason."""
    chainlog = ChainLog(log_settings(tmp_path / "log.db"))
    for call in (
        lambda: chainlog.log_request(entry()),
        lambda: chainlog.submit(entry()),
        chainlog.statistics,
        lambda: chainlog.usage,
    ):
        with pytest.raises(ClosedError, match="async with ChainLog"):
            call()
    with pytest.raises(ClosedError, match="async with ChainLog"):
        await chainlog.write(entry())
    with pytest.raises(ClosedError, match="async with ChainLog"):
        await chainlog.flush()
    assert chainlog.health().status == "failed"
    assert "async with" in chainlog.health().reasons[0]
    assert names_in(tmp_path) == []


async def test_a_closed_log_still_tells_its_books(tmp_path: Path) -> None:
    """After the end the statistics are the final ones, a flush has nothing to wait for, and reads are over."""
    chainlog = ChainLog(log_settings(tmp_path / "log.db"))
    async with chainlog:
        await chainlog.write(entry())
    assert chainlog.statistics().written == 1
    await chainlog.flush()
    assert chainlog.log_request(entry()) is False
    with pytest.raises(ClosedError):
        await chainlog.usage.get_summary_stats()


async def test_a_log_can_be_opened_again(tmp_path: Path) -> None:
    """One object may be opened, closed and opened again; each life has its own books, and the rows add up."""
    chainlog = ChainLog(log_settings(tmp_path / "log.db"))
    for life in range(3):
        async with chainlog as opened:
            assert opened is chainlog
            assert chainlog.statistics().submitted == 0
            await chainlog.write(entry(model=f"m{life}"))
            assert (await chainlog.usage.get_summary_stats()).total_requests == life + 1
        assert chainlog.statistics().written == 1
    assert await stored(tmp_path / "log.db") == ["m0", "m1", "m2"]


async def test_an_open_log_cannot_be_opened_twice(tmp_path: Path) -> None:
    """A second `async with` on the same object is refused, and does not disturb the first."""
    chainlog = ChainLog(log_settings(tmp_path / "log.db"))
    async with chainlog:
        with pytest.raises(ClosedError, match="already open"):
            async with chainlog:
                pass
        with pytest.raises(ClosedError, match="already open"):
            await chainlog.run(task_status=anyio.TASK_STATUS_IGNORED)
        await chainlog.write(entry())
    assert len(await stored(tmp_path / "log.db")) == 1


async def test_closing_leaves_one_file(tmp_path: Path) -> None:
    """Afterwards there is the database, without a write-ahead log beside it, and nothing waits in a journal."""
    db_path = tmp_path / "log.db"
    async with ChainLog(log_settings(db_path)) as chainlog:
        for _ in range(100):
            chainlog.log_request(entry())
    assert [name for name in names_in(tmp_path) if not name.startswith("log.db.journal")] == ["log.db"]
    assert [name for name in names_in(tmp_path) if name.endswith(".jsonl")] == []


# Errors of the gateway


class Unusual(BaseException):
    """Neither an Exception nor a cancellation."""


@pytest.mark.parametrize(
    "error",
    [
        ValueError("the gateway's"),
        ExceptionGroup("a group", [OSError()]),
        Unusual(),
        ClosedError("mine"),
        StopAsyncIteration(),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_an_error_in_the_block_comes_out_as_itself(tmp_path: Path, error: BaseException) -> None:
    """What the gateway raises inside is raised outside, not wrapped in a group; what was logged before it is kept."""
    chainlog = ChainLog(log_settings(tmp_path / "log.db"))
    with pytest.raises(type(error)) as caught:
        await _fail_in(chainlog, error)
    assert caught.value is error
    assert caught.value.__cause__ is None
    assert len(await stored(tmp_path / "log.db")) == 1


async def _fail_in(chainlog: ChainLog, error: BaseException) -> None:
    async with chainlog:
        chainlog.log_request(entry())
        raise error


async def test_an_error_in_the_lifespan_comes_out_as_itself(tmp_path: Path) -> None:
    """An error inside the lifespan is raised as itself, not wrapped in a group."""
    chainlog = ChainLog(log_settings(tmp_path / "log.db"))
    with pytest.raises(ValueError, match="start of the gateway"):
        async with chainlog.lifespan(object()):
            raise ValueError("start of the gateway")


# A start that fails


def _text_file(path: Path) -> None:
    path.write_text("this is no database, but it is long enough to be looked at" * 100)


def _folder(path: Path) -> None:
    path.mkdir()


def _foreign(path: Path) -> None:
    execute(path, "CREATE TABLE somebody_elses (id INTEGER)")


def _newer(path: Path) -> None:
    async def make() -> None:
        async with ChainLog(in_memory(path)):
            pass

    asyncio.run(make())
    execute(path, "PRAGMA user_version = 1000")


def _parent_is_a_file(path: Path) -> None:
    path.parent.rmdir()
    path.parent.write_text("no folder")


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (_text_file, NotADatabaseError),
        (_folder, DatabaseError),
        (_foreign, ForeignDatabaseError),
        (_newer, NewerDatabaseError),
        (_parent_is_a_file, DatabaseError),
    ],
)
async def test_a_start_that_fails_says_why(
    tmp_path: Path, spoil: Callable[[Path], None], error: type[ChainlogError]
) -> None:
    """The error names the file and the remedy, comes out as itself, and nothing is left open or changed."""
    folder = tmp_path / "folder"
    folder.mkdir()
    path = folder / "log.db"
    await asyncio.to_thread(spoil, path)
    before = await asyncio.to_thread(_contents, tmp_path)
    open_files = _open_files(tmp_path)
    chainlog = ChainLog(log_settings(path))
    with pytest.raises(error, match=str(path)):
        async with chainlog:
            pytest.fail("it is open")
    async with anyio.create_task_group() as tasks:
        with pytest.raises(error, match=str(path)):
            await tasks.start(chainlog.run)
    assert _open_files(tmp_path) == open_files
    assert await asyncio.to_thread(_contents, tmp_path) == before
    assert chainlog.health().status == "failed"
    with pytest.raises(ClosedError):
        chainlog.log_request(entry())


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _open_files(folder: Path) -> list[str]:
    descriptors = Path("/proc/self/fd")
    if not descriptors.is_dir():
        return []
    targets = [str(each.readlink()) for each in descriptors.iterdir() if each.is_symlink()]
    return sorted(target for target in targets if target.startswith(str(folder)))


async def test_a_locked_database_fails_the_start_in_time(tmp_path: Path) -> None:
    """When the file must be migrated and somebody holds its lock for longer than `busy_timeout_ms`, the start fails."""
    db_path = tmp_path / "log.db"
    await asyncio.to_thread(execute, db_path, "PRAGMA journal_mode = WAL")
    async with locked(db_path):
        with anyio.fail_after(10):
            with pytest.raises(DatabaseError, match="lock"):
                async with ChainLog(log_settings(db_path, busy_timeout_ms=50)):
                    pytest.fail("it is open")
    async with ChainLog(log_settings(db_path, busy_timeout_ms=50)) as chainlog:
        await chainlog.write(entry())


async def test_after_a_failed_start_the_log_can_be_opened(tmp_path: Path) -> None:
    """Once the cause is gone, the same object opens."""
    path = tmp_path / "log.db"
    path.mkdir()
    chainlog = ChainLog(log_settings(path))
    with pytest.raises(DatabaseError):
        async with chainlog:
            pytest.fail("it is open")
    path.rmdir()
    async with chainlog:
        await chainlog.write(entry())
    assert len(await stored(path)) == 1


@pytest.mark.parametrize("journal", [False, True], ids=["memory", "journal"])
async def test_an_error_at_any_statement_of_the_start_leaves_nothing_open(
    tmp_path: Path, database: Path, journal: bool
) -> None:
    """Whichever statement of opening fails, the start says so, closes everything, and the next one goes through."""
    step, reached = 0, True
    while reached:
        step += 1
        db_path = tmp_path / f"{step}.db"
        shutil.copy(database, db_path)
        said = "disk I/O error"
        with pytest.MonkeyPatch.context() as monkeypatch:
            steps = Steps(step, disk_error)
            steps.watch_statements(monkeypatch)
            try:
                async with ChainLog(log_settings(db_path, journal=journal)) as chainlog:
                    reached = steps.reached
                    steps.at = -1
                    await chainlog.write(entry())
            except ChainlogError as error:
                said = str(error)
        assert "disk I/O error" in said
        assert _open_files(db_path.parent) == []
        async with ChainLog(log_settings(db_path, journal=journal)) as chainlog:
            await chainlog.write(entry(model="second"))
        assert (await stored(db_path))[-1] == "second"
    assert step > 5


# Reads


async def test_the_writer_never_touches_a_readers_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reads run on connections that cannot write."""
    async with ChainLog(log_settings(tmp_path / "log.db")) as chainlog:
        await chainlog.write(entry())
        execute_before = aiosqlite.Connection._execute
        seen: set[aiosqlite.Connection] = set()

        async def noted(connection: aiosqlite.Connection, *arguments: object) -> object:
            # The writer's maintenance may run at the same moment.
            if "summary" in str(arguments[1:]):
                seen.add(connection)
            return await execute_before(connection, *arguments)  # type: ignore[no-untyped-call]  # aiosqlite's own

        monkeypatch.setattr(aiosqlite.Connection, "_execute", noted)
        await chainlog.usage.get_summary_stats()
        (reader,) = seen
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            await reader.execute_fetchall("DELETE FROM request_logs")
    assert query(tmp_path / "log.db", "SELECT COUNT(*) FROM request_logs") == [(1,)]
