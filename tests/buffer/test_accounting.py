"""The accounting law: submitted == written + pending + dropped, at every moment and whatever happens."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from chainlog_async import ChainLog, Statistics
from chainlog_async.errors import ChainlogError, EntryError
from tests.support.entries import entry
from tests.support.writing import (
    REFUSE,
    REPLAY_COMMIT_TIMEOUT_S,
    check_law,
    check_totals,
    execute,
    in_memory,
    opened,
    query,
    settings_for,
    write_lock,
)

GOOD: list[dict[str, object]] = [
    {},
    {"model": '"quoted"\n😀'},
    {"error_message": "\x01" * 4_000},
    {"model": "refused"},
    {"cost_usd": -1},
]
BAD: list[dict[str, object]] = [{"http_status": 99}, {"model": None}, {"timestamp": -1}, {"latency_ms": float("nan")}]


class Bookkeeping(RuleBasedStateMachine):
    """Anything a gateway may do to its log, in any order, with a database that is locked now and then."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="chainlog-accounting-"))
        self.db_path = self.folder / "log.db"
        self.submitted = 0
        self.closed = True
        self.log = ExitStack()
        self.lock = ExitStack()
        self.locked = False
        self.writes: list[Future[None]] = []

    @initialize(
        max_queue_size=st.integers(1, 12),
        max_batch_size=st.integers(1, 5),
        on_full=st.sampled_from(["drop_newest", "drop_oldest"]),
        journal=st.booleans(),
    )
    def open(self, **drawn: object) -> None:
        """A small queue and a short patience, so that everything that can happen does."""
        self.settings = settings_for(
            self.db_path,
            busy_timeout_ms=1,
            flush_interval_ms=1,
            shutdown_timeout_ms=20,
            max_queue_bytes=65_536,
            **drawn,
        )
        self.chainlog, self.portal = self.log.enter_context(opened(self.settings))
        self.closed = False
        execute(self.db_path, REFUSE.format("ABORT, 'no'"))

    @rule(overrides=st.sampled_from(GOOD))
    def log_good(self, overrides: dict[str, object]) -> None:
        """A good entry, though the database may refuse it."""
        self.submitted += 1
        self.chainlog.log_request(entry(**overrides))

    @rule(overrides=st.sampled_from(BAD))
    def log_bad(self, overrides: dict[str, object]) -> None:
        """An entry that cannot be stored."""
        self.submitted += 1
        assert self.chainlog.log_request(entry(**overrides)) is False

    @rule(overrides=st.sampled_from([*GOOD, *BAD]))
    def submit_one(self, overrides: dict[str, object]) -> None:
        """Submits an entry through the call that raises."""
        self.submitted += 1
        try:
            self.chainlog.submit(entry(**overrides))
        except ChainlogError:
            return

    @rule(count=st.integers(2, 30))
    def log_many(self, count: int) -> None:
        """More than there may be room for."""
        self.submitted += count
        for _ in range(count):
            self.chainlog.log_request(entry())

    @rule(threads=st.integers(2, 4))
    def log_from_threads(self, threads: int) -> None:
        """Several threads at once."""
        workers = [threading.Thread(target=self.chainlog.log_request, args=(entry(),)) for _ in range(threads)]
        self.submitted += threads
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    @rule(overrides=st.sampled_from([*GOOD, *BAD]))
    @precondition(lambda self: not self.closed)
    def write(self, overrides: dict[str, object]) -> None:
        """Somebody waits for one entry."""
        self.submitted += 1
        self.writes.append(self.portal.start_task_soon(self.chainlog.write, entry(**overrides)))
        # The event loop takes calls in order: when it has come to this one, the entry is submitted.
        self.portal.call(lambda: None)

    @rule()
    @precondition(lambda self: not self.closed and not self.locked)
    def flush(self) -> None:
        """Afterwards nothing is pending, and the books are the database's."""
        self.portal.call(self.chainlog.flush)
        statistics = self.chainlog.statistics()
        assert statistics.pending == 0
        assert statistics.written == self.rows()

    @rule()
    @precondition(lambda self: not self.closed and not self.locked)
    def lock_database(self) -> None:
        """Another connection takes the write lock."""
        self.lock.enter_context(write_lock(self.db_path))
        self.locked = True

    @rule()
    @precondition(lambda self: self.locked)
    def unlock_database(self) -> None:
        """And lets go of it."""
        self.lock.close()
        self.locked = False

    @rule()
    @precondition(lambda self: not self.closed)
    def shut_down(self) -> None:
        """With little time for it, or none while the database is locked; whoever waits is told."""
        self.log.close()
        self.closed = True
        statistics = self.chainlog.statistics()
        if not self.settings.journal:
            assert statistics.pending == 0
        self.check_writes(statistics)

    def check_writes(self, statistics: Statistics) -> None:
        """Every write has come to an end, and as many as succeeded are committed."""
        errors = [write.exception(REPLAY_COMMIT_TIMEOUT_S) for write in self.writes]
        assert all(error is None or isinstance(error, EntryError) for error in errors)
        assert errors.count(None) <= statistics.written

    def rows(self) -> int:
        """What the database holds."""
        ((count,),) = query(self.db_path, "SELECT COUNT(*) FROM request_logs")
        assert isinstance(count, int)
        return count

    @invariant()
    def the_law_holds(self) -> None:
        """Nothing is unaccounted for, and nothing counts as written that is not in the database."""
        if not hasattr(self, "chainlog"):
            return
        before = self.chainlog.statistics()
        check_law(before)
        assert before.submitted == self.submitted
        rows = self.rows()
        assert before.written <= rows
        if self.closed:
            assert before.written == rows

    def teardown(self) -> None:
        """Lets go of everything, and looks at the books for the last time."""
        self.lock.close()
        if not self.closed:
            self.locked = False
            self.shut_down()
        if hasattr(self, "chainlog"):
            self.the_law_holds()
            check_totals(self.db_path)
        shutil.rmtree(self.folder)


Bookkeeping.TestCase.settings = settings(
    max_examples=30, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


class TestBookkeeping(Bookkeeping.TestCase):  # type: ignore[misc,valid-type]  # made while it runs
    """Every entry is written, pending or dropped, in any sequence of calls, locks and shutdowns."""


@pytest.mark.parametrize("on_full", ["drop_newest", "drop_oldest"])
def test_every_look_at_the_books_is_consistent(tmp_path: Path, on_full: str) -> None:
    """Another thread that reads the statistics all the time never sees an entry that is nowhere, or in two places."""
    db_path = tmp_path / "log.db"
    settings = settings_for(db_path, on_full=on_full, max_queue_size=50, max_batch_size=10, journal=False)
    looks: list[Statistics] = []
    done = threading.Event()

    def look(chainlog: ChainLog) -> None:
        while not done.is_set():
            looks.append(chainlog.statistics())

    with opened(settings) as (chainlog, portal):
        watcher = threading.Thread(target=look, args=(chainlog,))
        watcher.start()
        try:
            for number in range(3_000):
                chainlog.log_request(entry(http_status=200 if number % 7 else 99))
            portal.call(chainlog.flush)
        finally:
            done.set()
            watcher.join()
    assert looks
    for statistics in looks:
        check_law(statistics)
    for name in ("submitted", "written", "batches"):
        _check_growing([getattr(statistics, name) for statistics in looks])


def _check_growing(values: list[int]) -> None:
    assert values == sorted(values)


@pytest.mark.parametrize("log", [ChainLog.log_request, ChainLog.submit], ids=["log_request", "submit"])
def test_each_refusal_is_counted_once(tmp_path: Path, log: Callable[[ChainLog, object], object]) -> None:
    """A refused entry is submitted once and dropped once, through whichever call."""
    with opened(settings_for(tmp_path / "log.db")) as (chainlog, _):
        for refused in (*[entry(**overrides) for overrides in BAD], None, 3, "entry"):
            try:
                log(chainlog, refused)
            except EntryError:
                continue
        statistics = chainlog.statistics()
    assert (statistics.submitted, statistics.dropped) == (7, {"invalid": 7})


@pytest.mark.parametrize("has_lock", [True, False])
async def test_a_signal_handler_that_raises_leaves_the_log_usable(
    has_lock: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C may come just when `log_request` has its lock, or waits for it: other threads can log all the same."""
    async with ChainLog(in_memory(tmp_path / "observability.db")) as chainlog:
        queue = chainlog.request_logger._queue
        acquire = queue._acquire

        def acquire_and_be_interrupted() -> None:
            if has_lock:
                acquire()
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(queue, "_acquire", acquire_and_be_interrupted)
            with pytest.raises(KeyboardInterrupt):
                chainlog.log_request(entry())
        assert await asyncio.to_thread(chainlog.log_request, entry())
        statistics = chainlog.statistics()
        assert statistics.submitted == 1 == statistics.written + statistics.pending
