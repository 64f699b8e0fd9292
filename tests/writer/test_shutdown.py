"""What is promised about the end: what was accepted is written, whoever ends the log and however, and in time."""

from __future__ import annotations

import asyncio
import gc
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import anyio
import pytest
from anyio.abc import TaskStatus

from chainlog_async import ChainLog, RequestLogger
from chainlog_async.errors import ClosedError
from chainlog_async.settings import Settings
from tests.support.entries import entry
from tests.support.faults import leave_dead_journal
from tests.support.interrupting import HOWS, How, Steps, Stepwise, cancel_at_every_step
from tests.support.writing import (
    REPLAY_COMMIT_TIMEOUT_S,
    Locked,
    check_law,
    check_totals,
    in_memory,
    locked_soon,
    models,
    settings_for,
    stored,
    until,
    warnings_of,
)

COUNT = 200


def names(count: int = COUNT) -> list[str]:
    """Models that tell entries apart."""
    return [f"m{number}" for number in range(count)]


def log_all(chainlog: ChainLog, count: int = COUNT) -> None:
    """Logs one entry for each name; all are accepted."""
    assert [chainlog.log_request(entry(model=model)) for model in names(count)] == [True] * count


async def check_drained(chainlog: ChainLog, count: int = COUNT) -> None:
    """All that was accepted is in the database, once and in order, and the books say so."""
    statistics = chainlog.statistics()
    assert (statistics.written, statistics.pending, statistics.dropped) == (count, 0, {})
    assert await stored(chainlog.settings.db_path) == names(count)
    await asyncio.to_thread(check_totals, chainlog.settings.db_path)


# Whoever ends it


@pytest.fixture(params=[False, True], ids=["memory", "journal"])
def slow_settings(tmp_path: Path, request: pytest.FixtureRequest) -> Settings:
    """Nothing is written but for a full batch or at the end; with a journal, and without."""
    return settings_for(tmp_path / "log.db", flush_interval_ms=60_000, max_batch_size=64, journal=bool(request.param))


async def test_leaving_the_block_writes_what_waits(slow_settings: Settings) -> None:
    """The end of `async with` is no end for what was accepted just before it."""
    async with ChainLog(slow_settings) as chainlog:
        log_all(chainlog)
    await check_drained(chainlog)


async def test_a_cancelled_scope_writes_what_waits(slow_settings: Settings) -> None:
    """Cancelled by anyio around it, the log drains before it lets the cancellation through."""
    chainlog = ChainLog(slow_settings)
    with anyio.CancelScope() as scope:
        async with chainlog:
            log_all(chainlog)
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    await check_drained(chainlog)


async def test_a_cancelled_task_writes_what_waits(slow_settings: Settings) -> None:
    """`Task.cancel()`, also when it is called again and again, leaves nothing unwritten."""
    chainlog = ChainLog(slow_settings)

    async def serve() -> None:
        async with chainlog:
            log_all(chainlog)
            await anyio.sleep_forever()

    task = asyncio.create_task(serve())
    await until(lambda: chainlog.health().status == "ok" and chainlog.statistics().submitted == COUNT)
    while not task.done():
        task.cancel()
        await asyncio.sleep(0)
    assert task.cancelled()
    await check_drained(chainlog)


async def test_a_cancelled_background_task_writes_what_waits(slow_settings: Settings) -> None:
    """Cancelling the gateway's task group, in which the log runs, leaves nothing unwritten."""
    chainlog = ChainLog(slow_settings)
    async with anyio.create_task_group() as tasks:
        await tasks.start(chainlog.run)
        log_all(chainlog)
        tasks.cancel_scope.cancel()
    await check_drained(chainlog)


async def test_a_failing_neighbour_writes_what_waits(slow_settings: Settings) -> None:
    """When another task of the group fails, the log is cancelled with it, and drains."""
    chainlog = ChainLog(slow_settings)
    with pytest.raises(ExceptionGroup) as caught:
        await _fail_beside(chainlog)
    assert [str(error) for error in caught.value.exceptions] == ["the neighbour's"]
    await check_drained(chainlog)


async def _fail_beside(chainlog: ChainLog) -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_serve(chainlog))
        await until(lambda: chainlog.health().status == "ok")
        log_all(chainlog)
        raise RuntimeError("the neighbour's")


async def _serve(chainlog: ChainLog) -> None:
    await chainlog.run()


def test_the_end_of_the_event_loop_writes_what_waits(slow_settings: Settings) -> None:
    """`asyncio.run` cancels whatever task is left, the log's own ones all at once: it drains even then."""
    chainlog = ChainLog(slow_settings)
    left: list[asyncio.Task[None]] = []

    async def main() -> None:
        left.append(asyncio.create_task(_serve(chainlog)))
        await until(lambda: chainlog.health().status == "ok")
        log_all(chainlog)

    asyncio.run(main())
    assert left[0].done()
    asyncio.run(check_drained(chainlog))


INTERRUPTED = """
import asyncio, sys
from chainlog_async import ChainLog, RequestLogEntry
from chainlog_async.settings import Settings

async def main():
    async with ChainLog(Settings(db_path=sys.argv[1], flush_interval_ms=60_000, max_batch_size=64)) as chainlog:
        for number in range(200):
            assert chainlog.log_request(RequestLogEntry(
                chain_name="default", provider_id="groq", model=f"m{number}", latency_ms=1, http_status=200))
        print("logged", flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


def test_an_interrupted_process_writes_what_waits(tmp_path: Path) -> None:
    """Ctrl-C ends a gateway with KeyboardInterrupt, and not before its log is drained."""
    with subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, str(tmp_path / "log.db")], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"logged\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert b"KeyboardInterrupt" in errors
    assert models(tmp_path / "log.db") == names()


# Whenever it ends


async def _make(db_path: Path) -> None:
    async with ChainLog(in_memory(db_path)):
        pass


async def _use(chainlog: ChainLog) -> None:
    """A short life with everything in it."""
    async with chainlog:
        log_all(chainlog, 5)
        await chainlog.flush()
        await chainlog.write(entry(model="m5"))
        for number in range(6, 12):
            chainlog.log_request(entry(model=f"m{number}"))


class Life:
    """One log per step at which it is cut off."""

    def __init__(self, folder: Path, template: Path, **overrides: object) -> None:
        self.folder = folder
        self.template = template
        self.overrides = overrides
        self.chainlog: ChainLog | None = None

    def begin(self, step: int) -> ChainLog:
        """A log on a fresh copy of the template."""
        path = self.folder / f"{step}.db"
        shutil.copy(self.template, path)
        self.chainlog = ChainLog(settings_for(path, **self.overrides))
        return self.chainlog

    def check(self, step: int) -> None:
        """Wherever it was cut off: what was accepted is in the database, once and in order."""
        assert self.chainlog is not None
        try:
            statistics = self.chainlog.statistics()
        except ClosedError:
            # Cut off before it was open, it has accepted nothing.
            return
        check_law(statistics)
        assert (statistics.pending, statistics.dropped) == (0, {}), (step, statistics)
        assert models(self.chainlog.settings.db_path) == names(statistics.written), (step, statistics)
        check_totals(self.chainlog.settings.db_path)
        shutil.rmtree(self.folder)
        self.folder.mkdir()


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("journal", [False, True], ids=["memory", "journal"])
async def test_cancelled_at_any_step_nothing_accepted_is_lost(
    tmp_path: Path, database: Path, how: How, journal: bool
) -> None:
    """Cancelled at its first await, its second and so on, the log writes what it accepted, and leaves nothing open."""
    (tmp_path / "life").mkdir()
    life = Life(tmp_path / "life", database, journal=journal)

    async def work(step: int) -> None:
        await _use(life.begin(step))

    async for outcome in cancel_at_every_step(work, how):
        await asyncio.to_thread(life.check, outcome.step)


# anyio's own wrapper around a task of the log's may be cancelled before it has begun.
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.parametrize("journal", [False, True], ids=["memory", "journal"])
def test_everything_cancelled_at_any_step_loses_nothing_accepted(tmp_path: Path, journal: bool) -> None:
    """Nothing is lost when every task of the loop is cancelled at once, as `asyncio.run` does at its end."""
    (tmp_path / "life").mkdir()
    database = tmp_path / "template.db"
    asyncio.run(_make(database))
    life = Life(tmp_path / "life", database, journal=journal)
    step, reached = 0, True
    while reached:
        step += 1
        reached = asyncio.run(_cancel_everything_at(step, life))
        life.check(step)
    assert step > 3, "the steps were not seen"
    gc.collect()


async def _cancel_everything_at(step: int, life: Life) -> bool:
    own, run_writer = asyncio.current_task(), RequestLogger.run

    def cancel_all() -> None:
        for task in asyncio.all_tasks() - {own}:
            task.cancel()

    async def run_stepwise(logger: RequestLogger, *, task_status: TaskStatus[None]) -> None:
        await Stepwise(run_writer(logger, task_status=task_status), steps)

    async def run() -> None:
        await Stepwise(_use(life.begin(step)), steps)

    steps = Steps(step, cancel_all)
    with pytest.MonkeyPatch.context() as monkeypatch:
        steps.watch_statements(monkeypatch)
        monkeypatch.setattr(RequestLogger, "run", run_stepwise)
        _, unfinished = await asyncio.wait((asyncio.ensure_future(run()),), timeout=REPLAY_COMMIT_TIMEOUT_S)
    assert not unfinished, f"cancelled at step {step}, it never ended"
    return steps.reached


# In time


@pytest.mark.parametrize("busy_timeout_ms", [1, 60_000])
async def test_shutdown_ends_in_time(tmp_path: Path, busy_timeout_ms: int) -> None:
    """With the database locked for good, `shutdown_timeout_ms` bites, whatever `busy_timeout_ms` says."""
    db_path = tmp_path / "log.db"
    chainlog = ChainLog(in_memory(db_path, busy_timeout_ms=busy_timeout_ms, shutdown_timeout_ms=200))
    async with locked_soon(db_path) as hold:
        async with chainlog:
            await hold()
            log_all(chainlog, 50)
            began = time.monotonic()
        assert time.monotonic() - began < 5
        statistics = chainlog.statistics()
        assert (statistics.written, statistics.pending, statistics.dropped) == (0, 0, {"shutdown": 50})
    assert await stored(db_path) == []


async def test_no_time_for_shutdown_still_says_what_was_lost(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With a timeout of 0 what waits is given up at once, counted, and one line in the log says how much that is."""
    db_path = tmp_path / "log.db"
    chainlog = ChainLog(in_memory(db_path, shutdown_timeout_ms=0, flush_interval_ms=60_000))
    async with chainlog:
        await chainlog.write(entry(model="written"))
        log_all(chainlog, 7)
    statistics = chainlog.statistics()
    check_law(statistics)
    assert statistics.written + statistics.dropped.get("shutdown", 0) == 8
    assert len(await stored(db_path)) == statistics.written
    if "shutdown" in statistics.dropped:
        assert any(f"{statistics.dropped['shutdown']} entries were lost" in line for line in warnings_of(caplog))


async def test_a_lock_that_ends_in_time_costs_nothing(tmp_path: Path) -> None:
    """When the lock is let go before the deadline, shutdown writes everything."""
    db_path = tmp_path / "log.db"
    chainlog = ChainLog(in_memory(db_path, busy_timeout_ms=1, shutdown_timeout_ms=20_000))
    async with asyncio.TaskGroup() as tasks, chainlog:
        lock = await asyncio.to_thread(Locked, db_path)
        log_all(chainlog, 50)
        await until(lambda: chainlog.statistics().retries >= 1)
        tasks.create_task(_release_later(chainlog, lock))
    await check_drained(chainlog, 50)


async def _release_later(chainlog: ChainLog, lock: Locked) -> None:
    retries = chainlog.statistics().retries
    await until(lambda: chainlog.statistics().retries > retries)
    await asyncio.to_thread(lock.release)


HELD_UP = """
import asyncio, sys
from chainlog_async import ChainLog, RequestLogEntry
from chainlog_async.settings import Settings

async def main():
    journal = sys.argv[2] == "True"
    settings = Settings(db_path=sys.argv[1], journal=journal, shutdown_timeout_ms=300, busy_timeout_ms=60_000)
    async with ChainLog(settings) as chainlog:
        print("open", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        for number in range(20):
            chainlog.log_request(RequestLogEntry(
                chain_name="default", provider_id="groq", model=f"m{number}", latency_ms=1, http_status=200))
    statistics = chainlog.statistics()
    print(statistics.written, statistics.pending, statistics.dropped, flush=True)

asyncio.run(main())
"""


@pytest.mark.parametrize("journal", [False, True], ids=["memory", "journal"])
async def test_a_process_ends_while_another_holds_the_lock(tmp_path: Path, journal: bool) -> None:
    """It is gone soon after `shutdown_timeout_ms`; what is in its journal is written at the next start."""
    db_path = tmp_path / "log.db"
    answer, took_s = await asyncio.to_thread(_held_up, db_path, journal)
    assert answer == ("0 20 {}\n" if journal else "0 0 {'shutdown': 20}\n")
    assert took_s < 6
    assert await stored(db_path) == []
    async with ChainLog(settings_for(db_path)) as chainlog:
        await until(lambda: chainlog.statistics().replayed == (20 if journal else 0))
    assert await stored(db_path) == (names(20) if journal else [])


def _held_up(db_path: Path, journal: bool) -> tuple[str, float]:
    """What the process says that is held up, and how long it takes to end, in seconds."""
    command = [sys.executable, "-c", HELD_UP, str(db_path), str(journal)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        lock = Locked(db_path)
        try:
            began = time.monotonic()
            answer, _ = process.communicate("go\n", timeout=REPLAY_COMMIT_TIMEOUT_S)
            took_s = time.monotonic() - began
        finally:
            lock.release()
    assert process.returncode == 0
    return answer, took_s


async def test_a_shutdown_without_time_tells_no_error_that_there_was_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With shutdown_timeout_ms: 0 it says what waits for the next start; nothing failed, so there is no last error."""
    db_path = tmp_path / "log.db"
    leave_dead_journal(db_path, names(5))
    async with ChainLog(settings_for(db_path, shutdown_timeout_ms=0)):
        pass
    (line,) = warnings_of(caplog)
    assert line.endswith("not replayed within 0 ms and wait for the next start")
