"""A database that is damaged while it is in use, or that was no database to begin with."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from chainlog_async import ChainLog
from chainlog_async.buffer.paths import LOCK_SUFFIX
from chainlog_async.common.database_files import journal_folder
from chainlog_async.errors import DatabaseError, NotADatabaseError
from chainlog_async.storage.sqlite.maintenance.integrity_check import check_integrity
from chainlog_async.storage.sqlite.write_connection import WriteConnection
from tests.support.entries import entry
from tests.support.faults import (
    beside,
    beside_it,
    copy_of,
    journal_files,
    leave_dead_journal,
    log_and_store,
    overwrite_pages,
    until_health,
)
from tests.support.writing import (
    check_law,
    check_totals,
    log_all,
    names,
    query,
    settings_for,
    stored,
    until,
    warnings_of,
)

pytestmark = pytest.mark.usefixtures("short_pauses")

TEXT = b"this is a shopping list, and was never a database\n" * 100


async def test_overwritten_pages_stop_the_writing_and_nothing_else(tmp_path: Path) -> None:
    """CORRUPT: health is failed with the remedy, the journal keeps collecting, and with a good file all goes on."""
    db_path = tmp_path / "log.db"
    async with ChainLog(settings_for(db_path)) as chainlog:
        await log_and_store(chainlog, 0, 200)
        copy = await asyncio.to_thread(copy_of, db_path, tmp_path / "copy.db")
        await asyncio.to_thread(overwrite_pages, db_path)
        log_all(chainlog, names(200, 300))
        reason = await until_health(chainlog, "failed")
        assert "SQLITE_CORRUPT" in reason
        assert "-wal" in reason
        assert ".recover" in reason
        log_all(chainlog, names(300, 400))
        statistics = chainlog.statistics()
        check_law(statistics)
        assert (statistics.pending, statistics.journal) == (200, "on")
        with pytest.raises(DatabaseError):
            await chainlog.usage.get_all_provider_usage()
        assert beside(db_path, "corrupt") == []
        copy.replace(db_path)
        await chainlog.flush()
        assert await until_health(chainlog, "ok") == ""
        assert await stored(db_path) == names(0, 400)
        assert (await chainlog.usage.get_summary_stats()).total_requests == 400
    await asyncio.to_thread(check_totals, db_path)


async def test_a_journal_collects_within_its_bound(tmp_path: Path) -> None:
    """While nothing can be written, journal and memory fill up to their bounds, and what is refused is counted."""
    db_path = tmp_path / "log.db"
    bounds = {"journal_max_bytes": 64 * 1024, "max_queue_size": 100, "max_queue_bytes": 1024 * 1024}
    async with ChainLog(settings_for(db_path, **bounds)) as chainlog:
        await log_and_store(chainlog, 0, 20)
        copy = await asyncio.to_thread(copy_of, db_path, tmp_path / "copy.db")
        await asyncio.to_thread(overwrite_pages, db_path)
        log_all(chainlog, names(20, 30))
        await until_health(chainlog, "failed")
        accepted = log_all(chainlog, names(30, 2_000))
        statistics = chainlog.statistics()
        check_law(statistics)
        assert statistics.journal_bytes <= 64 * 1024
        assert 100 < statistics.pending < 2_000
        assert statistics.dropped == {"queue_full": accepted.count(False)}
        assert any("journal_max_bytes" in reason for reason in chainlog.health().reasons)
        copy.replace(db_path)
        await chainlog.flush()
        expected = [name for name, taken in zip(names(30, 2_000), accepted, strict=True) if taken]
        assert await stored(db_path) == names(0, 30) + expected
        await until(lambda: chainlog.statistics().journal == "on")


async def test_moving_everything_away_makes_it_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other remedy: once the damaged file, its -wal and its -shm are gone, not before, a new file is begun."""
    db_path = tmp_path / "log.db"
    async with ChainLog(settings_for(db_path)) as chainlog:
        await log_and_store(chainlog, 0, 200)
        await asyncio.to_thread(overwrite_pages, db_path)
        log_all(chainlog, names(0, 100))
        await until_health(chainlog, "failed")
        db_path.rename(tmp_path / "away.db")
        looks = _Looks(monkeypatch)
        await until(lambda: looks.count >= 3)
        assert not db_path.exists()
        for suffix in ("-wal", "-shm"):
            beside_it(db_path, suffix).rename(tmp_path / f"away.db{suffix}")
        await chainlog.flush()
        assert await stored(db_path) == names(0, 100)
        assert await until_health(chainlog, "ok") == ""


class _Looks:
    """Counts how often the log looks whether somebody has done something."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        look = WriteConnection._was_repaired

        def counted(connection: WriteConnection) -> bool:
            self.count += 1
            return look(connection)

        monkeypatch.setattr(WriteConnection, "_was_repaired", counted)


async def test_a_damaged_database_is_quarantined_where_that_is_wanted(tmp_path: Path) -> None:
    """Database, -wal and -shm go under one dated name and stay there; what waited is all in the new one."""
    db_path = tmp_path / "log.db"
    async with ChainLog(settings_for(db_path, on_corrupt="quarantine")) as chainlog:
        await log_and_store(chainlog, 0, 200)
        await asyncio.to_thread(overwrite_pages, db_path)
        log_all(chainlog, names(0, 100))
        await chainlog.flush()
        log_all(chainlog, names(100, 120))
        await chainlog.flush()
        assert await until_health(chainlog, "ok") == ""
        assert await stored(db_path) == names(0, 120)
        kept = beside(db_path, "corrupt")
        assert [name[len(kept[0]) :] for name in kept] == ["", "-shm", "-wal"]
        assert (await chainlog.usage.get_summary_stats()).total_requests == 120
        assert "SQLITE_CORRUPT" in str(chainlog.statistics().last_error)
        check_law(chainlog.statistics())
    assert beside(db_path, "corrupt") == kept
    await asyncio.to_thread(check_totals, db_path)


@pytest.mark.parametrize("on_corrupt", ["fail", "quarantine"])
async def test_a_text_file_is_no_database(tmp_path: Path, on_corrupt: str, caplog: pytest.LogCaptureFixture) -> None:
    """NOTADB at the start: a named error and an untouched file, or a quarantined one and a fresh database."""
    db_path = tmp_path / "log.db"
    db_path.write_bytes(TEXT)
    chainlog = ChainLog(settings_for(db_path, on_corrupt=on_corrupt))
    if on_corrupt == "fail":
        with pytest.raises(NotADatabaseError, match="SQLITE_NOTADB"):
            async with chainlog:
                pass
        assert db_path.read_bytes() == TEXT
        assert beside(db_path, "corrupt") == []
        return
    async with chainlog:
        await log_and_store(chainlog, 0, 10)
    (kept,) = beside(db_path, "corrupt")
    assert (tmp_path / kept).read_bytes() == TEXT
    assert len([line for line in warnings_of(caplog) if kept in line]) == 1


@pytest.mark.parametrize("on_corrupt", ["fail", "quarantine"])
async def test_a_text_file_in_the_databases_place_stops_the_writing(tmp_path: Path, on_corrupt: str) -> None:
    """A text file replaces a running log: nothing is written to the old file, and the text is left or set aside."""
    db_path = tmp_path / "log.db"
    async with ChainLog(settings_for(db_path, on_corrupt=on_corrupt)) as chainlog:
        await log_and_store(chainlog, 0, 10)
        good = await asyncio.to_thread(copy_of, db_path, tmp_path / "good.db")
        text = tmp_path / "text"
        text.write_bytes(TEXT)
        text.replace(db_path)
        if on_corrupt == "fail":
            reason = await until_health(chainlog, "failed")
            assert "SQLITE_NOTADB" in reason
            log_all(chainlog, names(10, 40))
            assert db_path.read_bytes() == TEXT
            assert chainlog.statistics().pending == 30
            good.replace(db_path)
            await chainlog.flush()
            assert await stored(db_path) == names(0, 40)
        else:
            await until(lambda: "SQLITE_NOTADB" in str(chainlog.statistics().last_error))
            await log_and_store(chainlog, 0, 30)
            (kept,) = beside(db_path, "corrupt")
            assert (tmp_path / kept).read_bytes() == TEXT
        assert await until_health(chainlog, "ok") == ""
        check_law(chainlog.statistics())


async def test_an_idle_log_is_well_once_the_file_is(tmp_path: Path) -> None:
    """Where damage was noticed without anything to write, health is ok with the good file, not with the next entry."""
    db_path = tmp_path / "log.db"
    async with ChainLog(settings_for(db_path)) as chainlog:
        await log_and_store(chainlog, 0, 10)
        good = await asyncio.to_thread(copy_of, db_path, tmp_path / "good.db")
        text = tmp_path / "text"
        text.write_bytes(TEXT)
        text.replace(db_path)
        await until_health(chainlog, "failed")
        good.replace(db_path)
        assert await until_health(chainlog, "ok") == ""
        assert chainlog.statistics().written == 10


async def test_damage_that_the_replay_meets_first_is_dealt_with(tmp_path: Path) -> None:
    """A damaged file with a dead writer's journal: quarantined, and the journal's entries are in the new database."""
    db_path = tmp_path / "log.db"
    async with ChainLog(settings_for(db_path)) as chainlog:
        await log_and_store(chainlog, 0, 200)
    leave_dead_journal(db_path, names(500, 600))
    with closing(sqlite3.connect(db_path)) as connection:
        ((page,),) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'writer_positions'")
        ((page_size,),) = connection.execute("PRAGMA page_size")
    with db_path.open("r+b") as file:
        file.seek((int(page) - 1) * int(page_size))
        file.write(os.urandom(int(page_size)))
    async with ChainLog(settings_for(db_path, on_corrupt="quarantine")) as chainlog:
        await chainlog.write(entry(model="new"))
        assert await stored(db_path) == [*names(500, 600), "new"]
        assert chainlog.statistics().replayed == 100
        assert len(beside(db_path, "corrupt")) in (1, 3)
        assert await until_health(chainlog, "ok") == ""


TWO = """
import asyncio, sys
from chainlog_async import ChainLog, RequestLogEntry
from chainlog_async.storage.sqlite import write_connection
from chainlog_async.storage.sqlite.maintenance import rounds
from chainlog_async.settings import Settings

path, name = sys.argv[1], sys.argv[2]
rounds.MAINTENANCE_INTERVAL_S = write_connection.REPLACED_FILE_POLL_S = 0.02

def log(chainlog, first, last):
    for number in range(first, last):
        assert chainlog.log_request(RequestLogEntry(
            chain_name="c", provider_id=name, model=f"{name}-{number}", latency_ms=1, http_status=200))

async def main():
    async with ChainLog(Settings(db_path=path, on_corrupt="quarantine", max_batch_size=20)) as chainlog:
        log(chainlog, 0, 100)
        await chainlog.flush()
        print("written", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        log(chainlog, 100, 300)
        await chainlog.flush()
        print("written", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
    statistics = chainlog.statistics()
    print(statistics.written, statistics.pending, statistics.dropped, flush=True)

asyncio.run(main())
"""


async def test_two_processes_see_the_damage_at_once(tmp_path: Path) -> None:
    """One of them moves the file away, once; both go on in the new one, and all that they logged then is there."""
    db_path = tmp_path / "log.db"
    pipe = asyncio.subprocess.PIPE
    writers = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", TWO, db_path, name, stdin=pipe, stdout=pipe)
        for name in ("a", "b")
    ]
    await _all_say(writers, b"written\n")
    await asyncio.to_thread(overwrite_pages, db_path)
    for writer in writers:
        assert writer.stdin
        writer.stdin.write(b"go\n")
    await _all_say(writers, b"written\n")
    for writer in writers:
        output, _ = await writer.communicate(b"end\n")
        assert output == b"300 0 {}\n"
    moved = sorted(name.removesuffix("-wal").removesuffix("-shm") for name in beside(db_path, "corrupt"))
    assert len(set(moved)) == 1
    found = await stored(db_path)
    assert sorted(found) == sorted(f"{name}-{number}" for name in ("a", "b") for number in range(100, 300))
    await asyncio.to_thread(check_totals, db_path)
    assert journal_files(db_path) == ["quarantine"]


async def _all_say(writers: list[asyncio.subprocess.Process], expected: bytes) -> None:
    for writer in writers:
        assert writer.stdout
        assert await asyncio.wait_for(writer.stdout.readline(), 30) == expected


# After an unclean end


def _leave_unclean(db_path: Path) -> None:
    """What a killed writer leaves behind: a lock file that nobody holds."""
    folder = journal_folder(db_path)
    folder.mkdir(exist_ok=True)
    (folder / f"{'d' * 32}{LOCK_SUFFIX}").touch()


async def test_after_an_unclean_end_the_database_is_checked(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """`quick_check` runs beside the writer, and what it finds is in health; the file is written to meanwhile."""
    db_path = tmp_path / "log.db"
    async with ChainLog(settings_for(db_path)) as chainlog:
        await log_and_store(chainlog, 0, 3_000)
    await asyncio.to_thread(_spoil_old_rows, db_path)
    _leave_unclean(db_path)
    async with ChainLog(settings_for(db_path)) as chainlog:
        await chainlog.write(entry(model="meanwhile"))
        reason = await until_health(chainlog, "failed")
        assert "quick_check found" in reason
        assert "chainlog check" in reason
        await chainlog.write(entry(model="after"))
    assert any("quick_check found" in line for line in warnings_of(caplog))
    newest = await asyncio.to_thread(query, db_path, "SELECT model FROM request_logs ORDER BY id DESC LIMIT 2")
    assert newest == [("after",), ("meanwhile",)]


def _spoil_old_rows(db_path: Path) -> None:
    with closing(sqlite3.connect(db_path, isolation_level=None)) as connection:
        # A page in the middle of the oldest rows, which nobody reads while the newest are written.
        pages = connection.execute(
            "SELECT pageno FROM dbstat WHERE name = 'request_logs' AND pagetype = 'leaf' ORDER BY path"
        ).fetchall()
        ((page_size,),) = connection.execute("PRAGMA page_size")
    with db_path.open("r+b") as file:
        file.seek((int(pages[1][0]) - 1) * int(page_size))
        file.write(b"\xff" * int(page_size))


async def test_a_sound_database_passes_the_check(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an unclean end of a sound file health stays ok; after a clean end nothing is checked at all."""
    checked: list[Path] = []

    async def counted(path: Path) -> str | None:
        finding = await check_integrity(path)
        checked.append(path)
        return finding

    monkeypatch.setattr("chainlog_async.storage.sqlite.storage.check_integrity", counted)
    async with ChainLog(settings_for(database)) as chainlog:
        await chainlog.write(entry())
    assert checked == []
    _leave_unclean(database)
    async with ChainLog(settings_for(database)) as chainlog:
        await until(lambda: bool(checked))
        assert await until_health(chainlog, "ok") == ""
    shutil.rmtree(journal_folder(database))
    async with ChainLog(settings_for(database)) as chainlog:
        await chainlog.write(entry())
    assert checked == [database]
