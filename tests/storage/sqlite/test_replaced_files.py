"""The database's files and folder: deleted, moved, replaced, read-only, or failing, while the log runs."""

from __future__ import annotations

import asyncio
import resource
import shutil
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path

import aiosqlite
import pytest

from chainlog_async import ChainLog, Settings
from chainlog_async.storage.sqlite import open as storage_open
from chainlog_async.storage.sqlite import write_connection as store
from chainlog_async.storage.sqlite.identity import APPLICATION_ID
from tests.support.entries import entry
from tests.support.faults import (
    beside,
    beside_it,
    copy_of,
    immutable,
    journal_files,
    log_and_store,
    open_descriptors,
    tmpfs,
    until_health,
)
from tests.support.writing import (
    REPLAY_COMMIT_TIMEOUT_S,
    check_law,
    check_totals,
    log_all,
    names,
    settings_for,
    stored,
    until,
    warnings_of,
)

pytestmark = pytest.mark.usefixtures("short_pauses")


@asynccontextmanager
async def reopening(chainlog: ChainLog) -> AsyncIterator[None]:
    """Ends once the log has noticed what the block did, and has opened the file that is at its path now."""
    # From outside nobody may look: a connection to the new file would meet the old file's write-ahead log.
    before = chainlog.request_logger.connection
    yield
    await until(lambda: chainlog.request_logger.connection is not before)


async def test_a_deleted_folder_is_made_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """CANTOPEN: with folder, database and journal gone, the log makes them anew and goes on; no restart is needed."""
    folder = tmp_path / "data"
    db_path = folder / "log.db"
    async with ChainLog(settings_for(db_path)) as chainlog:
        await log_and_store(chainlog, 0, 50)
        async with reopening(chainlog):
            await asyncio.to_thread(shutil.rmtree, folder)
        await log_and_store(chainlog, 0, 50)
        check_law(chainlog.statistics())
        assert chainlog.statistics().dropped == {}
        assert (await chainlog.usage.get_summary_stats()).total_requests == 50
        await until(lambda: any("journal was deleted while in use" in line for line in warnings_of(caplog)))
        assert await until_health(chainlog, "ok") == ""
    assert journal_files(db_path) in ([], ["quarantine"])
    await asyncio.to_thread(check_totals, db_path)


async def test_a_folder_that_cannot_be_made_again_is_waited_for(tmp_path: Path) -> None:
    """While something else is where the folder was, entries wait in memory; afterwards they are written, in order."""
    folder = tmp_path / "data"
    db_path = folder / "log.db"
    async with ChainLog(settings_for(db_path)) as chainlog:
        await log_and_store(chainlog, 0, 5)
        await asyncio.to_thread(shutil.rmtree, folder)
        folder.write_text("no folder")
        await until(lambda: chainlog.statistics().journal == "failing" and chainlog.health().status == "degraded")
        log_all(chainlog, names(0, 30))
        await until(lambda: chainlog.statistics().retries >= 3)
        assert chainlog.statistics().pending == 30
        assert any("log.db" in reason for reason in chainlog.health().reasons)
        folder.unlink()
        await chainlog.flush()
        assert await stored(db_path) == names(0, 30)
        await until(lambda: chainlog.log_request(entry()) and chainlog.statistics().journal == "on")
        await chainlog.flush()
        assert await until_health(chainlog, "ok") == ""


@pytest.mark.parametrize("suffixes", [[""], ["", "-wal", "-shm"]], ids=["database", "database, -wal and -shm"])
async def test_a_deleted_database_is_made_again(tmp_path: Path, suffixes: list[str]) -> None:
    """A new file is begun, and what was not committed by then goes there; nothing of the old one is mixed with it."""
    db_path = tmp_path / "log.db"
    async with ChainLog(settings_for(db_path)) as chainlog:
        await log_and_store(chainlog, 0, 50)
        async with reopening(chainlog):
            for suffix in suffixes:
                beside_it(db_path, suffix).unlink()
        await log_and_store(chainlog, 0, 50)
        assert chainlog.statistics().dropped == {}
        assert await until_health(chainlog, "ok") == ""
        assert open_descriptors(tmp_path) == [path for path in open_descriptors(tmp_path) if "(deleted)" not in path]
    await asyncio.to_thread(check_totals, db_path)


async def test_a_database_replaced_by_a_copy_is_followed(tmp_path: Path) -> None:
    """A copy moved into the database's place is written to from then on; the old write-ahead log is set aside."""
    db_path = tmp_path / "log.db"
    async with ChainLog(settings_for(db_path)) as chainlog:
        await log_and_store(chainlog, 0, 50)
        copy = await asyncio.to_thread(copy_of, db_path, tmp_path / "copy.db")
        await log_and_store(chainlog, 50, 80)
        async with reopening(chainlog):
            copy.replace(db_path)
        assert (await chainlog.usage.get_summary_stats()).total_requests == 50
        await log_and_store(chainlog, 50, 80)
        assert [name.rpartition("-")[2] for name in beside(db_path, "replaced")] == ["shm", "wal"]
        assert await until_health(chainlog, "ok") == ""
    await asyncio.to_thread(check_totals, db_path)


async def test_a_database_replaced_while_it_is_opened_again_keeps_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When another file comes between a look at the path and its opening, its own write-ahead log is not moved away."""
    db_path = tmp_path / "log.db"
    open_database = storage_open.open_database
    exchanged: list[Path] = []

    async def exchange_and_open(settings: Settings) -> aiosqlite.Connection:
        if not exchanged:
            exchanged.append(await asyncio.to_thread(second.replace, db_path))
        return await open_database(settings)

    async with ChainLog(settings_for(db_path)) as chainlog:
        await log_and_store(chainlog, 0, 5)
        first = await asyncio.to_thread(copy_of, db_path, tmp_path / "first.db")
        second = await asyncio.to_thread(copy_of, db_path, tmp_path / "second.db")
        monkeypatch.setattr(store, "open_database", exchange_and_open)
        async with reopening(chainlog):
            first.replace(db_path)
        await log_and_store(chainlog, 5, 60)
        assert await until_health(chainlog, "ok") == ""
    assert exchanged
    assert [name.rpartition("-")[2] for name in beside(db_path, "replaced")] == ["shm", "wal"]
    assert await stored(db_path) == names(0, 60)
    await asyncio.to_thread(check_totals, db_path)


async def test_somebody_elses_database_in_its_place_is_left_alone(tmp_path: Path) -> None:
    """What is not ours is not written to; entries wait until it is gone, and then go where they belong."""
    db_path = tmp_path / "log.db"
    foreign = tmp_path / "foreign.db"
    with closing(sqlite3.connect(foreign)) as connection:
        connection.executescript("CREATE TABLE theirs (x); PRAGMA application_id = 42;")
    before = foreign.read_bytes()
    async with ChainLog(settings_for(db_path)) as chainlog:
        await log_and_store(chainlog, 0, 5)
        kept = await asyncio.to_thread(copy_of, db_path, tmp_path / "kept.db")
        foreign.replace(db_path)
        await until(lambda: "another program" in str(chainlog.statistics().last_error))
        log_all(chainlog, names(5, 40))
        await until(lambda: chainlog.statistics().retries >= 3)
        assert any("another program" in reason for reason in chainlog.health().reasons)
        assert chainlog.statistics().pending == 35
        assert db_path.read_bytes() == before
        kept.replace(db_path)
        await chainlog.flush()
        assert await stored(db_path) == names(0, 40)
        assert await until_health(chainlog, "ok") == ""


async def test_a_read_only_connection_is_replaced(tmp_path: Path) -> None:
    """READONLY: the writer opens the path again, and nothing is lost."""
    db_path = tmp_path / "log.db"
    async with ChainLog(settings_for(db_path)) as chainlog:
        await log_and_store(chainlog, 0, 5)
        await chainlog.request_logger.connection.execute_fetchall("PRAGMA query_only = ON")
        await log_and_store(chainlog, 5, 30)
        assert "SQLITE_READONLY" in str(chainlog.statistics().last_error)
        assert await until_health(chainlog, "ok") == ""


async def test_permissions_taken_away_are_waited_for(tmp_path: Path) -> None:
    """While nobody may write to the files, batches are kept; when they may be written again, everything is."""
    folder = tmp_path / "data"
    db_path = folder / "log.db"
    async with ChainLog(settings_for(db_path)) as chainlog:
        await log_and_store(chainlog, 0, 5)
        with immutable(db_path), immutable(beside_it(db_path, "-wal")), immutable(folder):
            # Files that are open already may be written to whatever their permissions: it has to open them again.
            await chainlog.request_logger.connection.execute_fetchall("PRAGMA query_only = ON")
            log_all(chainlog, names(5, 300))
            await until(lambda: chainlog.statistics().retries >= 3)
            statistics = chainlog.statistics()
            check_law(statistics)
            assert statistics.pending == 295
            assert "SQLITE_" in str(statistics.last_error)
            assert chainlog.health().status == "degraded"
        await chainlog.flush()
        assert await stored(db_path) == names(0, 300)
        assert await until_health(chainlog, "ok") == ""


async def test_a_read_only_disk_is_waited_for(tmp_path: Path) -> None:
    """While the folder is on a file system that is mounted read-only, nothing can be reopened; then all is written."""
    with tmpfs(tmp_path / "disk", size="8m") as disk:
        (disk / "data").mkdir()
        db_path = disk / "data" / "log.db"
        async with ChainLog(settings_for(db_path)) as chainlog:
            await log_and_store(chainlog, 0, 5)
            with mounted_read_only(disk / "data"):
                await chainlog.request_logger.connection.execute_fetchall("PRAGMA query_only = ON")
                log_all(chainlog, names(5, 100))
                await until(lambda: chainlog.statistics().retries >= 4)
                assert "SQLITE_READONLY" in await until_health(chainlog, "degraded")
                assert chainlog.statistics().pending == 95
                check_law(chainlog.statistics())
            await chainlog.flush()
            assert await stored(db_path) == names(0, 100)
            assert await until_health(chainlog, "ok") == ""


@contextmanager
def mounted_read_only(folder: Path) -> Iterator[None]:
    """Nothing in the folder can be opened to be written."""
    subprocess.run(["mount", "--bind", folder, folder], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


async def test_a_failing_disk_is_waited_for(tmp_path: Path) -> None:
    """IOERR: writes that the system refuses half-way in a file are tried again until they go through."""
    db_path = tmp_path / "log.db"
    async with ChainLog(settings_for(db_path, max_batch_size=200)) as chainlog:
        await log_and_store(chainlog, 0, 5)
        with no_file_beyond(beside_it(db_path, "-wal").stat().st_size + 4_096):
            log_all(chainlog, names(5, 4_000))
            await until(lambda: "SQLITE_IOERR" in str(chainlog.statistics().last_error))
            await until(lambda: chainlog.statistics().retries >= 3)
            assert chainlog.health().status == "degraded"
            check_law(chainlog.statistics())
        await chainlog.flush()
        assert await stored(db_path) == names(0, 4_000)
        assert chainlog.statistics().dropped == {}
        assert await until_health(chainlog, "ok") == ""
    await asyncio.to_thread(check_totals, db_path)


@contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """The system refuses to make any file of this process longer than that."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_missing_table_is_waited_for(tmp_path: Path) -> None:
    """An error that is no row's fault rejects none: with its view gone the batch waits until the view is back."""
    db_path = tmp_path / "log.db"
    async with ChainLog(settings_for(db_path)) as chainlog:
        await log_and_store(chainlog, 0, 5)
        with closing(sqlite3.connect(db_path, timeout=REPLAY_COMMIT_TIMEOUT_S)) as connection:
            ((view,),) = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'batches'")
            ((trigger,),) = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'write_batch'")
            connection.execute("DROP VIEW batches")
            log_all(chainlog, names(5, 30))
            await until(lambda: chainlog.statistics().retries >= 3)
            assert "batches" in str(chainlog.statistics().last_error)
            assert chainlog.statistics().pending == 25
            connection.execute(str(view))
            connection.execute(str(trigger))
        await chainlog.flush()
        assert await stored(db_path) == names(0, 30)
        assert chainlog.statistics().dropped == {}
    with closing(sqlite3.connect(db_path)) as connection:
        assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
