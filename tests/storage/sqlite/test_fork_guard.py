"""What is promised to gateways that fork: no child disturbs its parent, or shares a database with it unawares."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from chainlog_async import ChainLog, RequestLogEntry, UsageAggregator, initialize_database, migrate_schema
from chainlog_async.admin.check import check_database
from chainlog_async.errors import ChainlogError, ForkedError
from chainlog_async.settings import Settings
from chainlog_async.storage.sqlite.connection import close_connection
from tests.support.entries import entry
from tests.support.writing import (
    REPLAY_COMMIT_TIMEOUT_S,
    check_law,
    check_totals,
    in_memory,
    models,
    opened,
    settings_for,
    stored,
    until,
)

CHILD_FAILED = 70


def in_child(work: Callable[[], None]) -> int:
    """Runs the work in a forked child and gives its exit code: 0 when the work raised nothing."""
    child = os.fork()
    if child == 0:
        code = CHILD_FAILED
        try:
            work()
            code = 0
        except BaseException as error:  # noqa: BLE001  # nothing may leave a forked child
            os.write(2, f"in the child: {error!r}\n".encode())
        finally:
            os._exit(code)
    return child


def exit_code(child: int) -> int:
    """Waits for the child."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


# Python warns that a process with threads should not fork; gateways do it all the same, and that is what is tested.
fork = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


def _expect_forked(call: Callable[[RequestLogEntry], object]) -> None:
    try:
        call(entry(model="from the child"))
    except ForkedError as error:
        assert "spawn the process instead" in str(error)  # noqa: PT017  # pytest does not run in the child
    else:
        raise AssertionError("the child could log to the parent's log")


@fork
@needs_fork
async def test_a_forked_child_is_told_that_the_log_is_not_its_own(tmp_path: Path) -> None:
    """In the child `log_request` and `submit` raise `ForkedError`; the parent goes on, and counts nothing."""
    async with ChainLog(settings_for(tmp_path / "log.db")) as chainlog:
        await chainlog.write(entry(model="before"))
        chainlog.log_request(entry(model="waiting"))

        def work() -> None:
            _expect_forked(chainlog.log_request)
            _expect_forked(chainlog.submit)

        assert await asyncio.to_thread(exit_code, in_child(work)) == 0
        await chainlog.write(entry(model="after"))
        assert chainlog.statistics().submitted == 3
    assert await stored(tmp_path / "log.db") == ["before", "waiting", "after"]
    await asyncio.to_thread(check_totals, tmp_path / "log.db")


@fork
@needs_fork
async def test_a_forked_child_opens_a_log_on_another_file(tmp_path: Path) -> None:
    """A child may have a log of its own beside its parent's, while the parent goes on writing; neither loses a row."""
    theirs, own = tmp_path / "parent.db", tmp_path / "child.db"
    async with ChainLog(settings_for(theirs)) as chainlog:
        await chainlog.write(entry(model="parent"))
        child = in_child(lambda: asyncio.run(_write_own(settings_for(own))))
        waiting = asyncio.create_task(asyncio.to_thread(_exit_code_in_time, child))
        while not waiting.done():
            await chainlog.write(entry(model="parent"))
        assert waiting.result() == 0
    assert await stored(own) == ["child"] * 50
    assert await stored(theirs) == ["parent"] * chainlog.statistics().written
    for path in (theirs, own):
        await asyncio.to_thread(check_totals, path)


async def _write_own(settings: Settings) -> None:
    async with ChainLog(settings) as own:
        for _ in range(50):
            await own.write(entry(model="child"))
        assert len(await own.usage.get_recent_requests(100)) == 50


async def _opens(settings: Settings) -> None:
    async with ChainLog(settings):
        pass


async def _reads(settings: Settings) -> None:
    async with UsageAggregator(settings.db_path) as usage:
        await usage.get_summary_stats()


async def _checks(settings: Settings) -> None:
    await check_database(settings.db_path)


@fork
@needs_fork
@pytest.mark.parametrize("use", [_opens, _reads, _checks])
async def test_a_forked_child_is_kept_from_the_file_its_parent_has_open(
    tmp_path: Path, use: Callable[[Settings], Awaitable[None]]
) -> None:
    """By whatever name, to be written or to be read, also in a child of the child: a named error, and no lost row."""
    db_path, symlink, hardlink = tmp_path / "log.db", tmp_path / "symlink.db", tmp_path / "hardlink.db"
    async with ChainLog(settings_for(db_path)) as chainlog:
        await chainlog.write(entry(model="parent"))
        symlink.symlink_to(db_path)
        hardlink.hardlink_to(db_path)

        def work() -> None:
            for path in (db_path, symlink, hardlink):
                _expect_barred(use, settings_for(path))
            assert exit_code(in_child(lambda: _expect_barred(use, settings_for(db_path)))) == 0

        assert await asyncio.to_thread(_exit_code_in_time, in_child(work)) == 0
        await chainlog.write(entry(model="parent"))
    assert await stored(db_path) == ["parent"] * 2
    await asyncio.to_thread(check_totals, db_path)


def _expect_barred(use: Callable[[Settings], Awaitable[None]], settings: Settings) -> None:
    async def run() -> None:
        await use(settings)

    try:
        asyncio.run(run())
    except ForkedError as error:
        assert "was open in the process" in str(error)  # noqa: PT017  # pytest does not run in the child
    else:
        raise AssertionError("the child could open the file that its parent has open")


@fork
@needs_fork
async def test_readers_alone_keep_a_child_from_the_file(database: Path) -> None:
    """A parent that only reads has the file open as well; readers that a child inherits do not answer there."""
    async with UsageAggregator(database) as usage:
        await usage.get_summary_stats()

        async def ask() -> None:
            await usage.get_summary_stats()

        def work() -> None:
            _expect_barred(_opens, settings_for(database))
            _expect_error(ForkedError, ask)

        assert await asyncio.to_thread(_exit_code_in_time, in_child(work)) == 0
        assert (await usage.get_summary_stats()).total_requests == 0


@fork
@needs_fork
async def test_a_file_that_was_closed_is_free_at_once(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child may open it although the thread of the closed connection, as on a busy machine, has yet to end."""
    connection = await initialize_database(database)
    thread, is_alive = connection._thread, threading.Thread.is_alive
    await close_connection(connection)
    del connection
    gc.collect()
    monkeypatch.setattr(threading.Thread, "is_alive", lambda each: each is thread or is_alive(each))
    child = in_child(lambda: asyncio.run(_opens(settings_for(database))))
    assert await asyncio.to_thread(exit_code, child) == 0


@fork
@needs_fork
async def test_nothing_of_an_inherited_log_waits_for_the_parents_threads(tmp_path: Path) -> None:
    """Whatever a child asks of it, it is told at once, and may open a log of its own on another file."""
    async with ChainLog(settings_for(tmp_path / "log.db")) as chainlog:
        await chainlog.write(entry(model="parent"))
        inherited = chainlog.request_logger

        async def write() -> None:
            await chainlog.write(entry(model="child"))

        async def read() -> None:
            await chainlog.usage.get_summary_stats()

        async def open_again() -> None:
            async with chainlog:
                pass

        def work() -> None:
            for use in (write, read, chainlog.flush, open_again, chainlog.run, inherited.run, inherited.flush):
                _expect_error(ForkedError, use)
            assert chainlog.health().status == "failed"
            asyncio.run(_write_own(settings_for(tmp_path / "own.db")))

        assert await asyncio.to_thread(_exit_code_in_time, in_child(work)) == 0
    assert await stored(tmp_path / "log.db") == ["parent"]


def _expect_error(kind: type[ChainlogError], work: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        await work()

    try:
        asyncio.run(run())
    except kind:
        return
    raise AssertionError(f"no {kind.__name__} was raised")


@fork
@needs_fork
@pytest.mark.filterwarnings("ignore:.*was deleted before being closed:ResourceWarning")
async def test_a_child_never_closes_what_it_inherited(database: Path) -> None:
    """A child that lets go of its parent's connection keeps its files open: SQLite must not close them there."""
    connections = [await initialize_database(database)]
    await migrate_schema(connections[0])
    descriptors = _open_files(database)
    assert descriptors

    def work() -> None:
        connections.clear()
        for _ in range(3):
            gc.collect()
        assert _open_files(database) == descriptors

    assert await asyncio.to_thread(exit_code, in_child(work)) == 0
    await close_connection(connections[0])


def _open_files(db_path: Path) -> list[str]:
    """The database's files that this process has open, without the journal's."""
    targets = [os.path.realpath(link) for link in Path("/proc/self/fd").iterdir()]
    return sorted(target for target in targets if target.removesuffix("-wal").removesuffix("-shm") == str(db_path))


@fork
@needs_fork
async def test_the_parents_object_opens_anew_in_a_child(tmp_path: Path) -> None:
    """An object that was closed before the fork belongs to nobody: the child opens it anew, on the same file."""
    chainlog = ChainLog(settings_for(tmp_path / "log.db"))
    async with chainlog:
        await chainlog.write(entry(model="parent"))

    async def use() -> None:
        async with chainlog:
            await chainlog.write(entry(model="child"))

    assert await asyncio.to_thread(exit_code, in_child(lambda: asyncio.run(use()))) == 0
    assert await stored(tmp_path / "log.db") == ["parent", "child"]


@fork
@needs_fork
def test_a_fork_in_the_middle_of_logging_does_not_lock_up(tmp_path: Path) -> None:
    """A child that is forked while threads of the parent hold the log's locks is told at once, and never hangs."""
    over = threading.Event()

    def log_on(chainlog: ChainLog) -> None:
        while not over.is_set():
            chainlog.log_request(entry())

    with opened(in_memory(tmp_path / "log.db", max_queue_size=1_000)) as (chainlog, _):
        threads = [threading.Thread(target=log_on, args=(chainlog,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            children = [in_child(lambda: _expect_forked(chainlog.log_request)) for _ in range(20)]
            assert [_exit_code_in_time(child) for child in children] == [0] * 20
        finally:
            over.set()
            for thread in threads:
                thread.join()
    statistics = chainlog.statistics()
    check_law(statistics)
    assert len(models(tmp_path / "log.db")) == statistics.written


def _exit_code_in_time(child: int) -> int:
    """Waits, but not for ever: a child that hangs is ended, which shows in its code."""
    timer = threading.Timer(REPLAY_COMMIT_TIMEOUT_S, os.kill, (child, 9))
    timer.start()
    try:
        return exit_code(child)
    finally:
        timer.cancel()


@fork
@needs_fork
async def test_what_waits_is_written_by_the_parent_alone(tmp_path: Path) -> None:
    """A child that inherits a full queue and its journal writes none of it, also when it ends in the ordinary way."""
    db_path = tmp_path / "log.db"
    async with ChainLog(settings_for(db_path, flush_interval_ms=60_000)) as chainlog:
        await chainlog.write(entry(model="first"))
        for number in range(20):
            chainlog.log_request(entry(model=f"m{number}"))
        child = os.fork()
        if child == 0:
            try:
                gc.collect()
                sys.stdout.flush()
            finally:
                os._exit(0)
        assert await asyncio.to_thread(exit_code, child) == 0
    assert await stored(db_path) == ["first", *[f"m{number}" for number in range(20)]]


OUTLIVED = """
import asyncio, os, sys
from chainlog_async import ChainLog, RequestLogEntry
from chainlog_async.settings import Settings

async def main():
    async with ChainLog(Settings(db_path=sys.argv[1], flush_interval_ms=60_000)) as chainlog:
        def made(model):
            return RequestLogEntry(chain_name="c", provider_id="p", model=model, latency_ms=1, http_status=200)
        await chainlog.write(made("first"))
        for number in range(20):
            assert chainlog.log_request(made(f"m{number}"))
        if os.fork() == 0:
            print("forked", flush=True)
            sys.stdin.read()
        os._exit(0)

asyncio.run(main())
"""


def _start(program: str, db_path: Path) -> subprocess.Popen[bytes]:
    # Not asyncio's kind: its `wait` waits for the child as well, which has the same pipes.
    command = [sys.executable, "-W", "ignore", "-c", program, str(db_path)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


@needs_fork
async def test_a_child_does_not_keep_its_dead_parents_journal(tmp_path: Path) -> None:
    """When the parent dies and a child of it lives on, the next start takes over what the parent had accepted."""
    db_path = tmp_path / "log.db"
    with _start(OUTLIVED, db_path) as process:
        assert process.stdout is not None
        assert await asyncio.to_thread(process.stdout.readline) == b"forked\n"
        await asyncio.to_thread(process.wait)
        async with ChainLog(settings_for(db_path)) as chainlog:
            await until(lambda: chainlog.statistics().replayed == 20)
    assert await stored(db_path) == ["first", *[f"m{number}" for number in range(20)]]
