"""Rewriting the file: smaller, and able to shrink from then on, whoever has it open."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from chainlog_async import ChainLog
from chainlog_async.admin.prune import PruneLimits, prune_database
from chainlog_async.admin.vacuum import vacuum_database, vacuum_space_needs
from chainlog_async.errors import DatabaseError, DatabaseMissingError
from chainlog_async.storage.sqlite.connection import close_connection, open_reader
from tests.support.entries import entry
from tests.support.interrupting import How, cancel_at_every_step
from tests.support.operator import (
    HARDEST,
    change,
    clean,
    content_of,
    die_at_statements,
    files_in,
    fill,
    migrate,
    number_of,
    rows_of,
)
from tests.support.writing import locked, settings_for, until

FREE = "SELECT freelist_count FROM pragma_freelist_count"
PAGES = "SELECT page_count FROM pragma_page_count"
AUTO_VACUUM = "SELECT auto_vacuum FROM pragma_auto_vacuum"


@pytest.fixture
async def original(copy_of_original: Callable[[int], Path]) -> Path:
    """A database that 429chain made, migrated, with two thousand long rows more of which all but a hundred went."""
    path = await migrate(copy_of_original(2))
    fill(path, 2_000, padding=1_000)
    change(path, "DELETE FROM request_logs WHERE id < (SELECT MAX(id) - 99 FROM request_logs)")
    return path


async def test_a_file_of_the_original_can_shrink_afterwards(original: Path) -> None:
    """It loses its free pages at once, and from then on whenever rows are pruned."""
    assert number_of(original, AUTO_VACUUM) == 0
    before = number_of(original, PAGES)
    report = await vacuum_database(original)
    assert report.converted
    assert report.bytes_before == before * 4096
    assert report.bytes_after == len(content_of(original)) == number_of(original, PAGES) * 4096
    assert report.bytes_after < report.bytes_before / 4
    assert number_of(original, AUTO_VACUUM) == 2
    assert (await clean(original)).rows == 100
    pruned = await prune_database(original, PruneLimits(max_rows=10))
    assert pruned.bytes_after < pruned.bytes_before
    assert pruned.free_bytes == 0
    assert not (await vacuum_database(original)).converted


async def test_a_log_that_has_it_open_goes_on(original: Path) -> None:
    """Entries logged before, during and after it are there, totals are right, and the file is sound."""
    async with ChainLog(settings_for(original, flush_interval_ms=1)) as chainlog:
        for number in range(50):
            chainlog.log_request(entry(model=f"before {number}"))
        await chainlog.flush()
        vacuuming = asyncio.ensure_future(vacuum_database(original))
        number = 0
        while not vacuuming.done():
            chainlog.log_request(entry(model=f"during {number}"))
            number += 1
            await asyncio.sleep(0.001)
        assert vacuuming.result().converted
        for more in range(500):
            chainlog.log_request(entry(model=f"after {more}", error_message="x" * 1_000))
        await chainlog.flush()
    report = await clean(original)
    assert report.rows == 100 + 50 + number + 500


async def test_it_says_how_much_room_it_needs_and_refuses_without(
    original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On one disk it needs the size of what is used twice; where that is not free, nothing is begun."""
    monkeypatch.setenv("SQLITE_TMPDIR", str(tmp_path))
    used = (number_of(original, PAGES) - number_of(original, FREE)) * 4096
    (need,) = await vacuum_space_needs(original)
    assert need.folder == tmp_path
    assert 2 * used <= need.needed < 2.1 * used
    change(original, "PRAGMA wal_checkpoint(TRUNCATE)")
    before = content_of(original)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9 - used, used))
    with pytest.raises(
        DatabaseError, match=rf"has {used:,} bytes free and {need.needed:,} may be needed.*SQLITE_TMPDIR"
    ):
        await vacuum_database(original)
    assert content_of(original) == before


async def test_a_lock_of_another_process_is_named(original: Path) -> None:
    """While somebody writes, it gives up after the busy timeout, and the file is as it was."""
    async with locked(original):
        with pytest.raises(DatabaseError, match=r"is locked by another process: .*\(SQLITE_BUSY\)"):
            await vacuum_database(original, busy_timeout_ms=50)
    assert number_of(original, AUTO_VACUUM) == 0
    await clean(original)


async def test_beside_a_reader_it_is_done_all_the_same(original: Path) -> None:
    """Somebody who reads an old state keeps it, and the file is compact once he is gone."""
    reader = await open_reader(original)
    await reader.execute_fetchall("BEGIN")
    before = list(await reader.execute_fetchall("SELECT * FROM request_logs"))
    report = await vacuum_database(original, busy_timeout_ms=50)
    assert report.bytes_after < report.bytes_before / 4
    assert list(await reader.execute_fetchall("SELECT * FROM request_logs")) == before
    await close_connection(reader)
    change(original, "PRAGMA wal_checkpoint(TRUNCATE)")
    await until(lambda: original.stat().st_size == report.bytes_after)


async def test_nothing_is_made_where_nothing_is(tmp_path: Path) -> None:
    """A wrong path is an error, not a new database."""
    for work in (vacuum_database, vacuum_space_needs):
        with pytest.raises(DatabaseMissingError):
            await work(tmp_path / "o.db")
    assert not files_in(tmp_path)


@pytest.mark.parametrize("how", HARDEST)
async def test_cancelled_anywhere_it_leaves_a_sound_file(how: How, database: Path) -> None:
    """Wherever it is cancelled, the rows are there and others can write at once."""
    fill(database, 20)
    async for _ in cancel_at_every_step(lambda _: vacuum_database(database), how):
        change(database, "BEGIN IMMEDIATE", "COMMIT")
        assert rows_of(database) == 20


async def test_killed_anywhere_it_leaves_a_sound_file(tmp_path: Path) -> None:
    """After a kill at whichever statement the file is as before or as wanted, and a second try goes through."""
    template = await migrate(tmp_path / "template.db")
    fill(template, 300, padding=500)
    change(template, "DELETE FROM request_logs WHERE id <= 200", "PRAGMA wal_checkpoint(TRUNCATE)")
    for path in await asyncio.to_thread(die_at_statements, "vacuum", template, tmp_path / "dead", deaths=8):
        await clean(path)
        await vacuum_database(path)
        assert (await clean(path)).rows == 100
        assert number_of(path, FREE) == 0
