"""What is promised to gateways with threads: any thread may log, at any moment."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from chainlog_async import ChainLog
from tests.support.entries import entry
from tests.support.threads import lasting_workers, workers
from tests.support.writing import check_law, check_totals, in_memory, models, opened, settings_for, until

THREADS = 8
ENTRIES = 5_000


@pytest.mark.parametrize("journal", [False, True], ids=["memory", "journal"])
def test_threads_that_log_at_once_lose_nothing(tmp_path: Path, journal: bool) -> None:
    """Eight threads, five thousand entries each: all are written, once, each thread's in its order."""
    db_path = tmp_path / "log.db"
    accepted = [0] * THREADS

    def log_all(number: int, chainlog: ChainLog) -> None:
        for each in range(ENTRIES):
            accepted[number] += chainlog.log_request(entry(model=f"t{number}-{each}"))

    with opened(settings_for(db_path, journal=journal, shutdown_timeout_ms=60_000)) as (chainlog, _):
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
