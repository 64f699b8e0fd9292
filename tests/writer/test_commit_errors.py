"""What is promised when writing does not go well: bad rows, a locked database, a full queue cost what they must."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import pytest

from chainlog_async import ChainLog
from chainlog_async.entry.batch import Batch
from chainlog_async.errors import (
    ClosedError,
    EntryAbandonedError,
    EntryRejectedError,
    InvalidEntryError,
    QueueFullError,
)
from chainlog_async.storage.sqlite.storage import SqliteStorage
from tests.support.entries import entry
from tests.support.writing import (
    check_law,
    check_totals,
    in_memory,
    locked,
    locked_soon,
    log_all,
    names,
    outcomes,
    refuse_rows,
    settings_for,
    stored,
    until,
    warnings_of,
)

# Bad rows and locks


async def test_write_says_what_is_wrong_with_the_entry(tmp_path: Path) -> None:
    """An entry that cannot be stored raises at once, and is counted."""
    async with ChainLog(settings_for(tmp_path / "log.db")) as chainlog:
        with pytest.raises(InvalidEntryError, match="latency_ms"):
            await chainlog.write(entry(latency_ms=-1))
        assert chainlog.statistics().dropped == {"invalid": 1}


async def test_a_closed_log_says_so(tmp_path: Path) -> None:
    """After shutdown `log_request` answers False, `submit` and `write` raise; each is counted under ``closed``."""
    chainlog = ChainLog(settings_for(tmp_path / "log.db"))
    async with chainlog:
        await chainlog.write(entry())
    assert chainlog.log_request(entry()) is False
    with pytest.raises(ClosedError):
        chainlog.submit(entry())
    with pytest.raises(ClosedError):
        await chainlog.write(entry())
    statistics = chainlog.statistics()
    assert (statistics.submitted, statistics.written, statistics.dropped) == (4, 1, {"closed": 3})


async def test_a_row_the_database_refuses_costs_that_row_only(tmp_path: Path) -> None:
    """The good rows of the batch are committed in their order; the bad ones are counted and named to who waits."""
    db_path = tmp_path / "log.db"
    models = names(0, 40)
    for position in (0, 13, 14, 39):
        models[position] = f"refused{position}"
    async with ChainLog(settings_for(db_path)) as chainlog:
        await refuse_rows(db_path)
        results = await asyncio.gather(
            *[chainlog.write(entry(model=model)) for model in models], return_exceptions=True
        )
        for model, result in zip(models, results, strict=True):
            if model.startswith("refused"):
                assert isinstance(result, EntryRejectedError)
                assert "no such row here" in str(result)
            else:
                assert result is None
        good = [model for model in models if not model.startswith("refused")]
        assert await stored(db_path) == good
        statistics = chainlog.statistics()
        assert (statistics.written, statistics.pending, statistics.dropped) == (36, 0, {"rejected": 4})
        await chainlog.write(entry(model="after"))
        assert await stored(db_path) == [*good, "after"]
    await asyncio.to_thread(check_totals, db_path)


async def test_a_batch_of_bad_rows_alone_holds_nothing_up(tmp_path: Path) -> None:
    """Even when every row is refused the writer goes on, and a flush ends."""
    db_path = tmp_path / "log.db"
    async with ChainLog(settings_for(db_path, max_batch_size=16)) as chainlog:
        await refuse_rows(db_path)
        log_all(chainlog, ["refused"] * 50)
        await chainlog.flush()
        await chainlog.write(entry(model="good"))
        assert chainlog.statistics().dropped == {"rejected": 50}
        assert await stored(db_path) == ["good"]


async def test_a_refusal_that_shutdown_cuts_short_is_no_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When shutdown begins between a refusal and its entry in the books, the row is rejected, and who waits is told."""
    db_path = tmp_path / "log.db"
    reject = SqliteStorage.reject
    refused = asyncio.Event()

    async def reject_and_linger(store: SqliteStorage, batch: Batch, error: Exception) -> None:
        await reject(store, batch, error)
        refused.set()
        # Long enough to be cut off by a shutdown that has begun; short for one that waits for it.
        await asyncio.sleep(0.1)

    monkeypatch.setattr(SqliteStorage, "reject", reject_and_linger)
    chainlog = ChainLog(settings_for(db_path))
    async with chainlog:
        await refuse_rows(db_path)
        (write,) = await outcomes(chainlog, [entry(model="refused")])
        await refused.wait()
    with pytest.raises(EntryRejectedError):
        await write
    statistics = chainlog.statistics()
    assert (statistics.written, statistics.dropped) == (0, {"rejected": 1})
    assert await stored(db_path) == []


async def test_a_flush_does_not_learn_what_a_write_waits_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flush that comes just when a row was refused is over, and does not take the news from who waits for the row."""
    db_path = tmp_path / "log.db"
    reject = SqliteStorage.reject
    flushes: list[asyncio.Task[None]] = []

    async def reject_and_flush(store: SqliteStorage, batch: Batch, error: Exception) -> None:
        await reject(store, batch, error)
        # Its turn comes before that of the write, which is only woken once the row is in the books.
        flushes.append(asyncio.create_task(chainlog.flush()))

    monkeypatch.setattr(SqliteStorage, "reject", reject_and_flush)
    async with ChainLog(settings_for(db_path)) as chainlog:
        await refuse_rows(db_path)
        with pytest.raises(EntryRejectedError):
            await chainlog.write(entry(model="refused"))
        (flush,) = flushes
        await flush


async def test_a_locked_database_delays_and_loses_nothing(tmp_path: Path) -> None:
    """While another connection holds the lock entries wait, are retried in order, and come exactly once."""
    db_path = tmp_path / "log.db"
    async with ChainLog(settings_for(db_path, busy_timeout_ms=1, max_batch_size=20)) as chainlog:
        async with locked(db_path):
            log_all(chainlog, names(0, 30))
            await until(lambda: chainlog.statistics().retries >= 2)
            log_all(chainlog, names(30, 100))
            statistics = chainlog.statistics()
            assert (statistics.written, statistics.pending) == (0, 100)
            assert "SQLITE_BUSY" in str(statistics.last_error)
            assert chainlog.health().status == "degraded"
        await chainlog.flush()
        assert await stored(db_path) == names(0, 100)
        assert chainlog.health().status == "ok"
        check_law(chainlog.statistics())
    await asyncio.to_thread(check_totals, db_path)


async def test_reads_go_on_while_the_database_is_locked(tmp_path: Path) -> None:
    """A reader waits neither for the writer nor for whom the writer waits for."""
    db_path = tmp_path / "log.db"
    async with ChainLog(settings_for(db_path)) as chainlog:
        await chainlog.write(entry())
        async with locked(db_path):
            log_all(chainlog, names(0, 3))
            summary = await asyncio.wait_for(chainlog.usage.get_summary_stats(), 2)
            assert summary.total_requests == 1


# A full queue


async def _writer_stuck(chainlog: ChainLog, first: str = "in hand") -> None:
    """Returns when the writer has taken a batch, cannot commit it, and so takes nothing else."""
    log_all(chainlog, [first])
    await until(lambda: chainlog.statistics().retries >= 1)


async def test_the_newest_are_dropped(tmp_path: Path) -> None:
    """By default a full queue refuses what comes, and keeps what it has."""
    db_path = tmp_path / "log.db"
    async with ChainLog(in_memory(db_path, busy_timeout_ms=1, max_queue_size=10)) as chainlog:
        async with locked(db_path):
            assert log_all(chainlog, names(0, 13)) == [True] * 10 + [False] * 3
            with pytest.raises(QueueFullError, match="max_queue_size"):
                chainlog.submit(entry())
            with pytest.raises(QueueFullError):
                await chainlog.write(entry())
            assert chainlog.statistics().dropped == {"queue_full": 5}
        await chainlog.flush()
        assert await stored(db_path) == names(0, 10)
        assert log_all(chainlog, ["room again"]) == [True]
    assert await stored(db_path) == [*names(0, 10), "room again"]


async def test_the_newest_are_dropped_by_bytes(tmp_path: Path) -> None:
    """The queue is full at `max_queue_bytes`, however few entries that are."""
    db_path = tmp_path / "log.db"
    large = partial(entry, error_message="x" * 3_900)
    async with ChainLog(in_memory(db_path, max_queue_bytes=65_536)) as chainlog:
        async with locked(db_path):
            accepted = [chainlog.log_request(large(model=model)) for model in names(0, 30)]
            assert accepted == [True] * 16 + [False] * 14
            assert 60_000 < chainlog.statistics().pending_bytes <= 65_536
            assert log_all(chainlog, ["small"]) == [True]
        await chainlog.flush()
        assert await stored(db_path) == [*names(0, 16), "small"]


async def test_the_oldest_are_dropped(tmp_path: Path) -> None:
    """With `drop_oldest` a full queue takes what comes, and gives up what waits longest, but not the batch in hand."""
    db_path = tmp_path / "log.db"
    settings = in_memory(db_path, busy_timeout_ms=1, max_queue_size=10, on_full="drop_oldest")
    async with ChainLog(settings) as chainlog:
        async with locked(db_path):
            await _writer_stuck(chainlog)
            assert log_all(chainlog, names(0, 30)) == [True] * 30
            statistics = chainlog.statistics()
            assert (statistics.pending, statistics.dropped) == (10, {"queue_full": 21})
        await chainlog.flush()
        assert await stored(db_path) == ["in hand", *names(21, 30)]
        check_law(chainlog.statistics())


async def test_the_oldest_are_dropped_by_bytes(tmp_path: Path) -> None:
    """One large entry may cost several small ones; each of them is counted."""
    db_path = tmp_path / "log.db"
    settings = in_memory(db_path, busy_timeout_ms=1, max_queue_bytes=65_536, on_full="drop_oldest")
    async with ChainLog(settings) as chainlog:
        async with locked(db_path):
            await _writer_stuck(chainlog)
            many = names(0, 2_000)
            assert all(log_all(chainlog, many))
            assert chainlog.log_request(entry(model="large", error_message="\x01" * 4_000))
            statistics = chainlog.statistics()
            check_law(statistics)
            assert statistics.pending_bytes <= 65_536
        await chainlog.flush()
        kept = await stored(db_path)
        assert kept == ["in hand", *many[2_000 - len(kept) + 2 :], "large"]
        check_law(chainlog.statistics())


async def test_what_was_dropped_in_vain_is_counted(tmp_path: Path) -> None:
    """When even dropping everything that waits makes no room, both the dropped and the refused are counted."""
    db_path = tmp_path / "log.db"
    settings = in_memory(db_path, busy_timeout_ms=1, max_queue_bytes=65_536, on_full="drop_oldest")
    async with ChainLog(settings) as chainlog:
        async with locked(db_path):
            # 48 of 64 KiB are in hand, and a little waits: an entry of 24 KiB finds no room in any way.
            for _ in range(2):
                assert chainlog.log_request(entry(model="in hand", error_message="\x01" * 4_000))
            await until(lambda: chainlog.statistics().retries >= 1)
            assert log_all(chainlog, names(0, 3)) == [True] * 3
            with pytest.raises(QueueFullError):
                chainlog.submit(entry(error_message="\x01" * 4_000))
            check_law(chainlog.statistics())
        await chainlog.flush()
        statistics = chainlog.statistics()
        check_law(statistics)
        assert len(await stored(db_path)) == statistics.written


async def test_a_write_that_made_room_is_told(tmp_path: Path) -> None:
    """Whoever waits for an entry that was dropped for newer ones gets `QueueFullError`, and only they."""
    db_path = tmp_path / "log.db"
    settings = in_memory(db_path, busy_timeout_ms=1, max_queue_size=10, on_full="drop_oldest")
    async with ChainLog(settings) as chainlog:
        async with locked(db_path):
            await _writer_stuck(chainlog)
            tasks = await outcomes(chainlog, [entry(model=model) for model in names(0, 12)])
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(result) for result in results] == [QueueFullError] * 3 + [type(None)] * 9
        assert await stored(db_path) == ["in hand", *names(3, 12)]


async def test_dropping_does_not_mix_up_who_waits(tmp_path: Path) -> None:
    """With a batch in hand, one of its rows bad and others dropped behind it, everybody learns of their own entry."""
    db_path = tmp_path / "log.db"
    settings = in_memory(db_path, busy_timeout_ms=1, max_queue_size=20, max_batch_size=10, on_full="drop_oldest")
    held = names(0, 10)
    held[5] = "refused"
    async with ChainLog(settings) as chainlog:
        await refuse_rows(db_path)
        async with locked(db_path):
            tasks = await outcomes(chainlog, [entry(model=model) for model in held])
            await until(lambda: chainlog.statistics().retries >= 1)
            tasks += await outcomes(chainlog, [entry(model=model) for model in names(10, 26)])
        results = await asyncio.gather(*tasks, return_exceptions=True)
        expected: list[type] = [type(None)] * 10 + [QueueFullError] * 6 + [type(None)] * 10
        expected[5] = EntryRejectedError
        assert [type(result) for result in results] == expected
        assert await stored(db_path) == [model for model in held if model != "refused"] + names(16, 26)
        check_law(chainlog.statistics())


async def test_write_returns_only_for_its_own_commit(tmp_path: Path) -> None:
    """A write whose batch is in hand does not return early because others were dropped behind it."""
    db_path = tmp_path / "log.db"
    settings = in_memory(db_path, busy_timeout_ms=1, max_queue_size=20, max_batch_size=10, on_full="drop_oldest")
    async with ChainLog(settings) as chainlog:
        async with locked(db_path):
            tasks = await outcomes(chainlog, [entry(model=model) for model in names(0, 10)])
            await until(lambda: chainlog.statistics().retries >= 1)
            log_all(chainlog, names(10, 100))
            late = asyncio.create_task(chainlog.flush())
            await until(lambda: chainlog.statistics().retries >= 3)
            assert not any(task.done() for task in (*tasks, late))
        await asyncio.gather(*tasks, late)
        assert await stored(db_path) == [*names(0, 10), *names(90, 100)]


async def test_a_write_that_shutdown_gave_up_is_told(tmp_path: Path) -> None:
    """Whoever waits when shutdown runs out of time gets `EntryAbandonedError`; so does a flush."""
    db_path = tmp_path / "log.db"
    async with locked_soon(db_path) as hold:
        chainlog = ChainLog(in_memory(db_path, busy_timeout_ms=1, shutdown_timeout_ms=50))
        async with chainlog:
            await hold()
            tasks = await outcomes(chainlog, [entry(model=model) for model in names(0, 3)])
            tasks.append(asyncio.create_task(chainlog.flush()))
            await until(lambda: chainlog.statistics().retries >= 1)
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(result) for result in results] == [EntryAbandonedError] * 4
        statistics = chainlog.statistics()
        assert (statistics.written, statistics.pending, statistics.dropped) == (0, 0, {"shutdown": 3})
    assert await stored(db_path) == []


# What is said


async def test_refusals_are_logged_once_per_period(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A thousand bad entries make one line in the log for each reason, with the first one's cause."""
    db_path = tmp_path / "log.db"
    async with ChainLog(in_memory(db_path, max_queue_size=5)) as chainlog:
        async with locked(db_path):
            for _ in range(1_000):
                chainlog.log_request(entry(http_status=99))
                chainlog.log_request(entry())
        await chainlog.flush()
    for _ in range(1_000):
        chainlog.log_request(entry())
    lines = [line for line in warnings_of(caplog) if line.startswith(("invalid", "queue_full", "closed"))]
    assert [line.split(" ")[0] for line in lines] == ["invalid", "queue_full", "closed"]
    assert "http_status" in lines[0]
    assert chainlog.statistics().dropped == {"invalid": 1_000, "queue_full": 995, "closed": 1_000}
