"""The journal's own faults: deleted, cut, full, not to be written, not to be read."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import anyio.to_thread
import pytest

from chainlog_async import ChainLog
from chainlog_async.buffer.backlog import Backlog
from chainlog_async.buffer.journal import Journal
from chainlog_async.buffer.journal_manager import JournalManager
from chainlog_async.buffer.lease import take_dead_leases
from chainlog_async.buffer.queue import EntryQueue
from chainlog_async.buffer.segment import Segment, remove_segments
from chainlog_async.common.database_files import journal_folder
from chainlog_async.errors import ClosedError, EntryError, QueueFullError
from chainlog_async.statistics import DropReason
from tests.support.entries import entry
from tests.support.faults import (
    SMALL,
    immutable,
    journal_files,
    leave_dead_journal,
    log_and_store,
    until_health,
)
from tests.support.writing import (
    check_law,
    check_totals,
    locked,
    log_all,
    models,
    names,
    opened,
    outcomes,
    settings_for,
    stored,
    until,
    warnings_of,
)

pytestmark = pytest.mark.usefixtures("short_pauses", "journal_write")


def newest_segment(db_path: Path) -> Path:
    """The file that the only writer there is writes to."""
    return max(journal_folder(db_path).glob("*.jsonl"))


async def test_a_deleted_journal_is_made_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With entries waiting in it the folder is deleted: they are written all the same, and newer ones are safe."""
    db_path = tmp_path / "log.db"
    async with ChainLog(settings_for(db_path, busy_timeout_ms=1)) as chainlog:
        async with locked(db_path):
            log_all(chainlog, names(0, 500))
            await until(lambda: chainlog.statistics().retries >= 1)
            await asyncio.to_thread(shutil.rmtree, journal_folder(db_path))
            await until(lambda: any("deleted while in use" in line for line in warnings_of(caplog)))
            log_all(chainlog, names(500, 600))
            assert newest_segment(db_path).read_bytes().count(b"\n") == 100
            # The lock is held anew, so nobody takes the living for dead.
            assert await asyncio.to_thread(lambda: list(take_dead_leases(journal_folder(db_path)))) == []
        await chainlog.flush()
        assert await stored(db_path) == names(0, 600)
        assert chainlog.statistics().dropped == {}
        assert await until_health(chainlog, "ok") == ""
    assert journal_files(db_path) == []


async def test_a_deleted_segment_is_followed_by_a_new_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """When the file alone is deleted, what waits in it is written all the same, and a new file is begun."""
    db_path = tmp_path / "log.db"
    async with ChainLog(settings_for(db_path, busy_timeout_ms=1)) as chainlog:
        async with locked(db_path):
            log_all(chainlog, names(0, 50))
            before = newest_segment(db_path)
            before.unlink()
            await until(lambda: any("starting a new segment" in line for line in warnings_of(caplog)))
            log_all(chainlog, names(50, 60))
            # The file in the place of the deleted one is made in a thread, a moment later.
            await until(lambda: any(name.endswith(".jsonl") and name != before.name for name in journal_files(db_path)))
        await chainlog.flush()
        assert await stored(db_path) == names(0, 60)
    assert journal_files(db_path) == []


async def test_a_deleted_lock_is_taken_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """When the lock file alone is deleted, another is made and held before anybody can take the living for dead."""
    db_path = tmp_path / "log.db"
    async with ChainLog(settings_for(db_path, busy_timeout_ms=1)) as chainlog:
        async with locked(db_path):
            log_all(chainlog, names(0, 50))
            (lock,) = journal_folder(db_path).glob("*.lock")
            lock.unlink()
            await until(lambda: any("deleted while in use" in line for line in warnings_of(caplog)))
            assert lock.exists()
            assert await asyncio.to_thread(lambda: list(take_dead_leases(journal_folder(db_path)))) == []
            log_all(chainlog, names(50, 60))
        await chainlog.flush()
        assert await stored(db_path) == names(0, 60)
        assert await until_health(chainlog, "ok") == ""
    assert journal_files(db_path) == []


async def test_a_writer_never_takes_itself_for_dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer whose lock file was deleted just before it looks for dead ones leaves its own journal alone."""
    monkeypatch.setattr("chainlog_async.buffer.journal_manager.FOLDER_CHECK_INTERVAL_S", 3_600)
    db_path = tmp_path / "log.db"
    queue = EntryQueue(max_rows=10, max_bytes=1_000, max_batch_rows=10, drop_oldest=False)
    journals = JournalManager(queue, settings_for(db_path))
    await journals.open(db_path)
    queue.put(b"[]")
    (lock,) = journal_folder(db_path).glob("*.lock")
    lock.unlink()
    assert await journals.take_dead(pytest.fail) == []
    assert queue.counts().journal_bytes == 3
    queue.end_journal()
    await journals.close(forget=False)


async def test_a_journal_cut_by_somebody_is_noticed(tmp_path: Path) -> None:
    """Entries whose lines are gone are counted as lost, whoever waits for one is told, and the others are written."""
    db_path = tmp_path / "log.db"
    settings = settings_for(db_path, busy_timeout_ms=1, max_batch_size=10, flush_interval_ms=60_000)
    async with ChainLog(settings) as chainlog:
        async with locked(db_path):
            log_all(chainlog, names(0, 10))
            await until(lambda: chainlog.statistics().retries >= 1)
            tasks = await outcomes(chainlog, [entry(model=model) for model in names(10, 600)])
            os.truncate(newest_segment(db_path), 30_000)
        results = await asyncio.gather(*tasks, return_exceptions=True)
        failed = [isinstance(result, EntryError) for result in results]
        statistics = chainlog.statistics()
        check_law(statistics)
        assert statistics.dropped == {"journal_lost": failed.count(True)}
        assert failed == sorted(failed)
        assert 0 < failed.count(True) < 590
        kept = [model for model, lost in zip(names(10, 600), failed, strict=True) if not lost]
        await chainlog.write(entry(model="after"))
        assert await stored(db_path) == [*names(0, 10), *kept, "after"]


async def test_a_journal_that_cannot_be_written_is_done_without(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Entries wait in memory, statistics and health say so, one line is logged; and it returns by itself."""
    caplog.set_level(logging.INFO, logger="chainlog_async")
    db_path = tmp_path / "log.db"
    async with ChainLog(settings_for(db_path, busy_timeout_ms=1, **SMALL)) as chainlog:
        await log_and_store(chainlog, 0, 5)
        assert chainlog.statistics().journal == "on"
        async with locked(db_path):
            with immutable(journal_folder(db_path)):
                log_all(chainlog, names(5, 1_000))
                await until(lambda: any("journal cannot be written" in line for line in warnings_of(caplog)))
                statistics = chainlog.statistics()
                assert statistics.journal == "failing"
                assert str(journal_folder(db_path)) in str(statistics.journal_error)
                assert any("would not survive a kill" in reason for reason in chainlog.health().reasons)
                assert statistics.pending == 995
                log_all(chainlog, names(1_000, 1_500))
            await until(lambda: "the journal can be written again" in warnings_of(caplog))
            assert chainlog.statistics().journal == "on"
            log_all(chainlog, names(1_500, 1_600))
        await chainlog.flush()
        assert await stored(db_path) == names(0, 1_600)
        assert chainlog.statistics().dropped == {}
        assert await until_health(chainlog, "ok") == ""
    assert len([line for line in warnings_of(caplog) if "journal cannot be written" in line]) == 1
    assert journal_files(db_path) == []


async def test_no_file_is_deleted_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rounds that delete committed files at once take each file once: its descriptor may be another's by then."""
    removed: list[Segment] = []
    let_go = threading.Event()

    def remove(segments: list[Segment]) -> list[Segment]:
        removed.extend(segments)
        if len(removed) == 1:
            let_go.wait()
        return remove_segments(segments)

    queue = EntryQueue(max_rows=1, max_bytes=1, max_batch_rows=1, drop_oldest=False)
    stream = JournalManager(queue, settings_for(tmp_path / "log.db"))
    segments = [_segment(tmp_path / str(number)) for number in range(3)]
    released = [[segment] for segment in segments]
    monkeypatch.setattr(queue, "take_released", lambda: released.pop(0))
    monkeypatch.setattr("chainlog_async.buffer.journal_manager.remove_segments", remove)
    first = asyncio.ensure_future(stream.remove_committed())
    await until(lambda: len(removed) == 1)
    await stream.remove_committed()
    let_go.set()
    await first
    assert await stream.remove_committed()
    assert removed == segments


def _segment(path: Path) -> Segment:
    return Segment(0, 1, path, os.open(path, os.O_RDWR | os.O_CREAT), 1)


def test_a_journal_of_tiny_batches_costs_little_memory(tmp_path: Path) -> None:
    """However small the batches, thousands of waiting entries are a handful of blocks."""
    backlog = Backlog(max_rows=1, max_bytes=1, max_batch_rows=1, drop_oldest=False, on_ready=lambda: None)
    backlog.journal = Journal(tmp_path, "writer", max_bytes=10_000_000, segment_bytes=1_000_000)
    for _ in range(20_000):
        backlog.append(b"[]")
    assert backlog.rows == 20_000
    assert len(backlog._blocks) < 100
    backlog.journal.close()


async def test_a_segment_that_cannot_be_deleted_is_not_replayed(tmp_path: Path) -> None:
    """Committed files that stay on disk are deleted later, and their rows never come twice, not even by a restart."""
    db_path = tmp_path / "log.db"
    folder = journal_folder(db_path)
    async with ChainLog(settings_for(db_path, **SMALL)) as chainlog:
        log_all(chainlog, names(0, 300))
        with immutable(folder):
            await chainlog.flush()
            log_all(chainlog, names(300, 305))
            await chainlog.flush()
            assert len(list(folder.glob("*.jsonl"))) >= 2
        await until(lambda: len(list(folder.glob("*.jsonl"))) == 1)
        log_all(chainlog, names(305, 800))
        folder_fault = immutable(folder)
        await asyncio.to_thread(folder_fault.__enter__)
        await chainlog.flush()
    left = list(folder.glob("*.jsonl"))
    await asyncio.to_thread(folder_fault.__exit__, None, None, None)
    assert left
    async with ChainLog(settings_for(db_path)) as chainlog:
        await chainlog.write(entry(model="next"))
        assert chainlog.statistics().replayed == 0
    assert await stored(db_path) == [*names(0, 800), "next"]
    assert journal_files(db_path) == []
    await asyncio.to_thread(check_totals, db_path)


async def test_what_a_dead_writer_left_is_written_first(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Its whole lines are written, a truncated last one is counted, a bad one is rejected, and all of it is deleted."""
    db_path = tmp_path / "log.db"
    leave_dead_journal(db_path, names(0, 50), tail=b'[1,"half a li')
    leave_dead_journal(db_path, names(50, 60), tail=b"no entry\n")
    async with ChainLog(settings_for(db_path)) as chainlog:
        await chainlog.write(entry(model="new"))
        statistics = chainlog.statistics()
        assert (statistics.replayed, statistics.truncated) == (60, 1)
        found = await stored(db_path)
        assert found[-1] == "new"
        assert sorted(found[:-1]) == sorted(names(0, 60))
    assert journal_files(db_path) == []
    assert any("50 entries were written from its journal" in line for line in warnings_of(caplog))


async def test_starters_that_race_for_dead_journals_write_each_once(tmp_path: Path) -> None:
    """Of several that start together, each journal is taken over by one, and none of its entries comes twice."""
    db_path = tmp_path / "log.db"
    for start in range(0, 200, 20):
        leave_dead_journal(db_path, names(start, start + 20))

    async def live(number: int) -> int:
        async with ChainLog(settings_for(db_path)) as chainlog:
            await chainlog.write(entry(model=f"starter{number}"))
            return chainlog.statistics().replayed

    replayed = await asyncio.gather(*[live(number) for number in range(4)])
    assert sum(replayed) == 200
    found = [model for model in await stored(db_path) if not model.startswith("starter")]
    assert sorted(found) == sorted(names(0, 200))
    assert journal_files(db_path) == []
    await asyncio.to_thread(check_totals, db_path)


async def test_a_journal_that_cannot_be_read_holds_nobody_up(tmp_path: Path) -> None:
    """Where one dead writer's journal cannot be read, the other's is replayed and new entries are written."""
    db_path = tmp_path / "log.db"
    leave_dead_journal(db_path, names(0, 5))
    unreadable = leave_dead_journal(db_path, [])
    unreadable.unlink()
    unreadable.mkdir()
    locked_away = leave_dead_journal(db_path, [])
    locked_away.with_name(locked_away.name.split(".")[0] + ".lock").mkdir()
    async with ChainLog(settings_for(db_path)) as chainlog:
        await chainlog.write(entry(model="new"))
        assert await stored(db_path) == [*names(0, 5), "new"]
        reason = await until_health(chainlog, "degraded")
        assert "chainlog journal replay" in reason
    assert unreadable.is_dir()
    assert locked_away.exists()


async def test_a_gateway_that_uses_up_its_threads_does_not_stop_the_log(tmp_path: Path) -> None:
    """With every thread of anyio's busy, as slow synchronous endpoints keep them, entries are written all the same."""
    let_go = threading.Event()
    async with ChainLog(settings_for(tmp_path / "log.db")) as chainlog, anyio.create_task_group() as tasks:
        for _ in range(45):
            tasks.start_soon(_wait_in_thread, let_go)
        await until(lambda: anyio.to_thread.current_default_thread_limiter().available_tokens == 0)
        try:
            for number in range(5):
                await asyncio.wait_for(chainlog.write(entry(model=f"m{number}")), 10)
                await asyncio.sleep(0.05)
        finally:
            let_go.set()
    assert await stored(tmp_path / "log.db") == names(0, 5)


async def _wait_in_thread(let_go: threading.Event) -> None:
    await anyio.to_thread.run_sync(let_go.wait)


class Interrupted(Counter[DropReason]):
    """Counts like any counter, but a signal handler comes just when a number is read to be raised."""

    def __init__(self, handler: Callable[[], None]) -> None:
        super().__init__()
        self._handler = handler

    def __getitem__(self, reason: DropReason) -> int:
        count = super().__getitem__(reason)
        handler, self._handler = self._handler, lambda: None
        handler()
        return count


def test_an_interruption_of_the_books_themselves_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a handler logs while a number is being raised, neither count is lost."""
    queue = EntryQueue(max_rows=1, max_bytes=1, max_batch_rows=1, drop_oldest=False)
    queue.close()

    def handler() -> None:
        with pytest.raises(QueueFullError, match="signal handler"):
            queue.put(b"{}")
        queue.refuse_invalid()

    monkeypatch.setattr(queue._accounting, "_dropped", Interrupted(handler))
    with pytest.raises(ClosedError):
        queue.put(b"{}")
    statistics = queue.counts()
    check_law(statistics)
    assert statistics.dropped == {"closed": 1, "nested": 2}


def test_a_signal_handler_may_log(tmp_path: Path) -> None:
    """One that interrupts the log itself is refused and counted; what was accepted is written, once and in order."""
    names_of_main = [f"main{number}" for number in range(30_000)]
    accepted: dict[str, list[str]] = {"main": [], "signal": []}
    db_path = tmp_path / "log.db"
    with opened(settings_for(db_path, max_batch_size=50)) as (chainlog, portal):

        def log(who: str, number: int) -> None:
            if chainlog.log_request(entry(model=f"{who}{number}", provider_id=who)):
                accepted[who].append(f"{who}{number}")

        def handle(_signum: int, _frame: FrameType | None) -> None:
            log("signal", next(numbers))

        numbers = iter(range(1_000_000))
        before = signal.signal(signal.SIGALRM, handle)
        signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
        try:
            for number in range(30_000):
                log("main", number)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        portal.call(chainlog.flush)
        statistics = chainlog.statistics()
    check_law(statistics)
    assert statistics.written == len(accepted["main"]) + len(accepted["signal"])
    found = models(db_path)
    assert [model for model in found if model.startswith("main")] == accepted["main"] == names_of_main
    # A handler may be interrupted by the next one between its entry and its note of it.
    assert sorted(model for model in found if model.startswith("signal")) == sorted(accepted["signal"])
    assert set(statistics.dropped) <= {"nested"}
