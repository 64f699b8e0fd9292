"""Cancelled in the middle of dealing with a fault: nothing is lost or doubled, no lock, file or transaction is left."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import threading
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import pytest

from chainlog_async import ChainLog
from chainlog_async.buffer.lease import take_dead_leases
from chainlog_async.buffer.queue import EntryQueue
from chainlog_async.common.database_files import journal_folder
from chainlog_async.entry.batch import Batch
from chainlog_async.errors import ClosedError
from chainlog_async.storage.sqlite.connection import close_connection
from chainlog_async.storage.sqlite.open import open_database
from chainlog_async.storage.sqlite.storage import SqliteStorage
from chainlog_async.writer.committer import BatchOutcome
from chainlog_async.writer.replay import replay as replay_leases
from tests.support.entries import entry
from tests.support.faults import leave_dead_journal, open_descriptors, remove_database
from tests.support.interrupting import HOWS, How, cancel_at_every_step
from tests.support.writing import Locked, check_law, check_totals, log_all, models, names, settings_for

pytestmark = pytest.mark.usefixtures("short_pauses")

Work = Callable[[ChainLog, Path], Awaitable[None]]


async def replay(chainlog: ChainLog, db_path: Path) -> None:
    """Two dead writers' journals, one of them with a line that is no entry, and an entry of its own."""
    leave_dead_journal(db_path, names(0, 12))
    leave_dead_journal(db_path, names(12, 20), tail=b"no entry\n")
    async with chainlog:
        await chainlog.write(entry(model="m20"))


async def reopen(chainlog: ChainLog, _db_path: Path) -> None:
    """The connection has to be replaced."""
    async with chainlog:
        log_all(chainlog, names(0, 10))
        await chainlog.flush()
        await chainlog.request_logger.connection.execute_fetchall("PRAGMA query_only = ON")
        log_all(chainlog, names(10, 21))
        await chainlog.flush()


async def wait_for_lock(chainlog: ChainLog, db_path: Path) -> None:
    """Another connection has the lock, and lets go of it after a while."""
    lock = Locked(db_path)
    threading.Timer(0.02, lock.release).start()
    async with chainlog:
        log_all(chainlog, names(0, 21))
        await chainlog.flush()


@pytest.mark.parametrize(
    ("work", "how"),
    [
        *((replay, how) for how in HOWS),
        (reopen, "scope"),
        (reopen, "task"),
        (wait_for_lock, "task"),
        (wait_for_lock, "scope"),
    ],
)
async def test_cancelled_at_any_step_of_a_fault_all_is_kept(
    tmp_path: Path, database: Path, work: Work, how: How
) -> None:
    """At whichever await it is cancelled, the next start has every entry that was accepted or replayed, once."""
    db_path = tmp_path / "life" / "log.db"
    db_path.parent.mkdir()
    lives: list[ChainLog] = []

    async def live(_step: int) -> None:
        shutil.copy(database, db_path)
        settings = settings_for(db_path, max_batch_size=5, busy_timeout_ms=1, shutdown_timeout_ms=2_000)
        lives.append(ChainLog(settings))
        await work(lives[-1], db_path)

    async for _ in cancel_at_every_step(live, how):
        await asyncio.to_thread(_check, db_path, lives[-1])
        await _recover(db_path)
        await asyncio.to_thread(_check_all_there, db_path, lives[-1], replayed=work is replay)
        await asyncio.to_thread(remove_database, db_path)


def _check(db_path: Path, chainlog: ChainLog) -> None:
    """Nothing is held: no file is open, and whoever wants to write can do so at once."""
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):
            thread.join()
    assert open_descriptors(db_path.parent) == []
    with closing(sqlite3.connect(db_path, timeout=0, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
    try:
        check_law(chainlog.statistics())
    except ClosedError:
        return


async def _recover(db_path: Path) -> None:
    async with ChainLog(settings_for(db_path)) as chainlog:
        await chainlog.write(entry(model="recovered"))


def _check_all_there(db_path: Path, chainlog: ChainLog, *, replayed: bool) -> None:
    found = models(db_path)
    assert found[-1] == "recovered"
    found.remove("recovered")
    assert len(found) == len(set(found))
    try:
        accepted = chainlog.statistics().submitted
    except ClosedError:
        accepted = 0
    if replayed:
        # Whether the files were left at all depends on how early it was cancelled; both or none.
        assert set(names(0, 20)) <= set(found) or not found
        assert len(found) == (20 if found else 0) + accepted
    else:
        assert found == names(0, accepted)
    check_totals(db_path)


async def test_a_replay_that_is_cut_off_keeps_the_journal_from_others(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancelled while its statement waits its turn, a replay lets nobody have the journal: rows would come twice."""
    monkeypatch.setattr("chainlog_async.storage.sqlite.storage.INTERRUPT_TIMEOUT_S", 0.05)
    leave_dead_journal(database, names(0, 12))
    settings = settings_for(database)
    store = SqliteStorage(await open_database(settings), settings)
    folder = journal_folder(await store.start())
    leases = await asyncio.to_thread(lambda: list(take_dead_leases(folder)))
    (lease,) = leases
    is_queued, let_go = asyncio.Event(), threading.Event()

    async def commit(batch: Batch, _books: BatchOutcome) -> None:
        store.connection._tx.put_nowait((None, let_go.wait))
        is_queued.set()
        await store.commit(batch)

    counter = EntryQueue(max_rows=1, max_bytes=1, max_batch_rows=1, drop_oldest=False)
    replaying = asyncio.ensure_future(replay_leases(leases, store, commit, counter, max_batch_rows=100))
    await is_queued.wait()
    replaying.cancel()
    await asyncio.wait((replaying,))
    taken_over = await asyncio.to_thread(lambda: list(take_dead_leases(folder)))
    let_go.set()
    await close_connection(store.connection)
    for each in (lease, *taken_over):
        await asyncio.to_thread(each.release, remove=False)
    assert taken_over == []
    await _recover(database)
    assert await asyncio.to_thread(models, database) == [*names(0, 12), "recovered"]
