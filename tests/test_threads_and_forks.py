"""What is promised to gateways with threads and with forks: any thread may log, no child disturbs its parent."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from factories import entry
from threads import lasting_workers, workers
from writing_tools import PATIENCE_S, check_law, check_totals, in_memory, models, opened, settings_for, stored, until

from chainlog_async import ChainLog, RequestLogEntry
from chainlog_async.errors import ForkedError
from chainlog_async.settings import Settings

THREADS = 8
ENTRIES = 5_000

# Threads


@pytest.mark.parametrize("journal", [False, True], ids=["memory", "journal"])
def test_threads_that_log_at_once_lose_nothing(tmp_path: Path, journal: bool) -> None:
    """Eight threads, five thousand entries each: all are written, once, each thread's in its order."""
    db_path = tmp_path / "log.db"
    accepted = [0] * THREADS

    def log_all(number: int, chainlog: ChainLog) -> None:
        for each in range(ENTRIES):
            accepted[number] += chainlog.log_request(entry(model=f"t{number}-{each}"))

    with opened(settings_for(db_path, journal=journal)) as (chainlog, _):
        _together([partial(log_all, number, chainlog) for number in range(THREADS)])
    assert accepted == [ENTRIES] * THREADS
    statistics = chainlog.statistics()
    assert (statistics.submitted, statistics.written, statistics.dropped) == (THREADS * ENTRIES, THREADS * ENTRIES, {})
    written = models(db_path)
    for number in range(THREADS):
        own = [model for model in written if model.startswith(f"t{number}-")]
        assert own == [f"t{number}-{each}" for each in range(ENTRIES)]
    check_totals(db_path)


def _together(calls: list[Callable[[], None]]) -> None:
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], None]) -> None:
        barrier.wait()
        call()

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_threads_that_overflow_the_queue_are_all_counted(tmp_path: Path) -> None:
    """With a small queue every entry of every thread is either written or counted, whichever are dropped."""
    db_path = tmp_path / "log.db"
    settings = in_memory(db_path, max_queue_size=64, max_batch_size=16, on_full="drop_oldest")

    def log_all(chainlog: ChainLog) -> None:
        for number in range(1_000):
            chainlog.log_request(entry(http_status=99 if number % 10 == 0 else 200))

    with opened(settings) as (chainlog, _):
        _together([lambda: log_all(chainlog)] * 4)
    statistics = chainlog.statistics()
    check_law(statistics)
    assert (statistics.submitted, statistics.pending, statistics.dropped["invalid"]) == (4_000, 0, 400)
    assert len(models(db_path)) == statistics.written
    assert statistics.last_error is None


def test_threads_that_log_while_the_log_closes_are_all_counted(tmp_path: Path) -> None:
    """What `log_request` said True to is written, and what it said False to is counted, up to the last moment."""
    db_path = tmp_path / "log.db"
    accepted = [0] * 4
    over = threading.Event()

    def log_on(number: int, chainlog: ChainLog) -> None:
        while not over.is_set():
            accepted[number] += chainlog.log_request(entry())

    with opened(settings_for(db_path)) as (chainlog, _):
        threads = [threading.Thread(target=log_on, args=(number, chainlog)) for number in range(4)]
        for thread in threads:
            thread.start()
    over.set()
    for thread in threads:
        thread.join()
    statistics = chainlog.statistics()
    check_law(statistics)
    assert (statistics.written, statistics.pending) == (sum(accepted), 0)
    assert set(statistics.dropped) <= {"closed"}
    assert len(models(db_path)) == sum(accepted)


async def test_an_entry_from_another_thread_wakes_the_writer(tmp_path: Path) -> None:
    """On an idle event loop, an entry that a thread logs is written without anybody's flush."""
    async with ChainLog(settings_for(tmp_path / "log.db")) as chainlog:
        await asyncio.to_thread(chainlog.log_request, entry())
        await until(lambda: chainlog.statistics().written == 1)


async def test_no_thread_outlives_the_close(tmp_path: Path) -> None:
    """Connections run in threads; after the end of the block none of them is left."""
    before = workers()
    async with ChainLog(settings_for(tmp_path / "log.db")) as chainlog:
        await chainlog.write(entry())
        await asyncio.gather(*[chainlog.usage.get_summary_stats() for _ in range(8)])
        assert len(workers() - before) >= 2
    assert lasting_workers(workers() - before) == []


# A log that is called while it is being called


class Echo(logging.Handler):
    """A log handler that logs a request for each line, as a gateway's own might."""

    def __init__(self, chainlog: ChainLog) -> None:
        super().__init__()
        self.chainlog = chainlog
        self.answers: list[bool] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Hands the line in as an entry that is refused in its turn."""
        self.answers.append(self.chainlog.log_request(entry(http_status=1)))


async def test_a_log_handler_may_log_a_request(tmp_path: Path) -> None:
    """The library's own log line about a refused entry may end in `log_request` again: no deadlock, no endless loop."""
    async with ChainLog(settings_for(tmp_path / "log.db")) as chainlog:
        echo = Echo(chainlog)
        logging.getLogger("chainlog_async").addHandler(echo)
        try:
            assert chainlog.log_request(entry(http_status=1)) is False
        finally:
            logging.getLogger("chainlog_async").removeHandler(echo)
        assert echo.answers == [False]
        assert chainlog.statistics().dropped == {"invalid": 2}


def test_a_finalizer_may_log_a_request(tmp_path: Path) -> None:
    """An object that the garbage collector ends in the middle of `log_request` may call it: written, or counted."""
    finalized = 0

    class Ending:
        def __init__(self) -> None:
            self.circle = self

        def __del__(self) -> None:
            nonlocal finalized
            finalized += chainlog.log_request(entry(model="from a finalizer"))

    thresholds = gc.get_threshold()
    with opened(settings_for(tmp_path / "log.db")) as (chainlog, _):
        gc.set_threshold(1, 1, 1)
        try:
            for _ in range(300):
                Ending()
                chainlog.log_request(entry())
        finally:
            gc.set_threshold(*thresholds)
        gc.collect()
    statistics = chainlog.statistics()
    check_law(statistics)
    assert statistics.submitted == 600
    assert (statistics.written, statistics.pending) == (300 + finalized, 0)
    assert set(statistics.dropped) <= {"nested"}
    assert models(tmp_path / "log.db").count("from a finalizer") == finalized


# Forks

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
        assert "open one of its own" in str(error)  # noqa: PT017  # pytest does not run in the child
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
async def test_a_forked_child_opens_its_own_log(tmp_path: Path) -> None:
    """A child may open a log of its own on the same file, while the parent has it open and goes on writing."""
    settings = settings_for(tmp_path / "log.db")
    async with ChainLog(settings) as chainlog:
        await chainlog.write(entry(model="parent"))
        child = in_child(lambda: asyncio.run(_write_own(settings)))
        waiting = asyncio.create_task(asyncio.to_thread(exit_code, child))
        while not waiting.done():
            await chainlog.write(entry(model="parent"))
        assert waiting.result() == 0
    written = await stored(tmp_path / "log.db")
    assert written.count("child") == 50
    assert written.count("parent") == chainlog.statistics().written
    await asyncio.to_thread(check_totals, tmp_path / "log.db")


async def _write_own(settings: Settings) -> None:
    async with ChainLog(settings) as own:
        for _ in range(50):
            await own.write(entry(model="child"))


@fork
@needs_fork
async def test_the_parents_object_opens_anew_in_a_child(tmp_path: Path) -> None:
    """An object that was closed before the fork belongs to nobody, and may be opened in the child."""
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
    timer = threading.Timer(PATIENCE_S, os.kill, (child, 9))
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
