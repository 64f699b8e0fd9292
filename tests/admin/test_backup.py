"""The backup of a database in use: one state, one file, complete or not there."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from chainlog_async import ChainLog
from chainlog_async.admin.backup import BackupReport, backup_database
from chainlog_async.common.atomic_file import AtomicFile
from chainlog_async.errors import DatabaseError, DatabaseMissingError, OlderDatabaseError
from chainlog_async.storage.sqlite.migration_steps import latest_version
from tests.support.entries import entry, insert_as_original, original_row
from tests.support.interrupting import HOWS, How, cancel_at_every_step
from tests.support.operator import (
    beside,
    change,
    clean,
    content_of,
    files_in,
    fill,
    migrate,
    mode_of,
    overwrite_leaves,
    rows_of,
)
from tests.support.schemas import query, statements_of
from tests.support.writing import settings_for, until

ROOT = Path(__file__).resolve().parents[2]
ROWS = "SELECT * FROM request_logs ORDER BY id"


def leftovers(folder: Path) -> list[str]:
    """What lies in a folder beside databases and what belongs to them."""
    return [name for name in files_in(folder) if name.startswith(".") or not name.endswith((".db", ".journal"))]


async def test_it_has_everything_in_one_file(database: Path, tmp_path: Path) -> None:
    """Rows, totals, what was pruned and rejected, and the schema are there, and only the owner can read them."""
    fill(database, 500)
    change(
        database,
        "DELETE FROM request_logs WHERE id <= 100",
        "INSERT INTO rejected_entries (rejected_at, error, entry) VALUES (1, 'no', '{}')",
    )
    target = tmp_path / "backup.db"
    report = await backup_database(database, target)
    assert report.database == str(database)
    assert report.backup == str(target)
    assert report.bytes == target.stat().st_size
    assert mode_of(target) == 0o600
    for pragma, value in (
        ("journal_mode", "delete"),
        ("auto_vacuum", 2),
        ("user_version", latest_version()),
        ("freelist_count", 0),
    ):
        assert query(target, f"PRAGMA {pragma}") == [(value,)]
    assert statements_of(target) == statements_of(database)
    for table in ("request_logs", "usage_by_provider", "usage_summary", "pruned_by_chain", "rejected_entries"):
        assert query(target, f"SELECT * FROM {table} ORDER BY 1") == query(
            database, f"SELECT * FROM {table} ORDER BY 1"
        )
    assert files_in(tmp_path) == ["backup.db", database.name]
    assert not beside(target)
    await clean(target)


async def test_beside_a_writer_it_is_one_moment(tmp_path: Path) -> None:
    """While a log goes on writing, the backup has every row up to one commit and none after, and adds up."""
    path = await migrate(tmp_path / "o.db")
    fill(path, 4_000, padding=200)
    async with ChainLog(settings_for(path, flush_interval_ms=1)) as chainlog, anyio.create_task_group() as tasks:

        async def write() -> None:
            while True:
                for number in range(20):
                    chainlog.log_request(entry(model=f"{number}", provider_id=f"provider {number % 5}"))
                await anyio.sleep(0.001)

        tasks.start_soon(write)
        await until(lambda: chainlog.statistics().written > 100)
        for number in range(2):
            target = tmp_path / f"backup {number}.db"
            before = chainlog.statistics().written
            await backup_database(path, target)
            assert chainlog.statistics().written > before, "nothing was written meanwhile"
            copied = await asyncio.to_thread(query, target, ROWS)
            assert 4_000 + before <= len(copied) <= 4_000 + chainlog.statistics().written
            assert copied == (await asyncio.to_thread(query, path, ROWS))[: len(copied)]
            assert (await clean(target)).rows == len(copied)
        tasks.cancel_scope.cancel()
    assert chainlog.statistics().retries == 0, "the backup held the writer up"
    await clean(path)


async def test_what_was_pruned_cannot_be_read_in_it(database: Path, tmp_path: Path) -> None:
    """Text of a deleted request may linger in the free pages of the database, but not in its backup."""
    secret = "a prompt that was deleted"
    insert_as_original(database, [original_row(error_message=secret)] + [original_row()] * 10)
    forget = "PRAGMA secure_delete = OFF"
    change(database, forget, "DELETE FROM request_logs WHERE id = 1", "PRAGMA wal_checkpoint(TRUNCATE)")
    assert secret.encode() in content_of(database), "the test proves nothing"
    await backup_database(database, tmp_path / "backup.db")
    assert secret.encode() not in content_of(tmp_path / "backup.db")


async def test_an_existing_file_is_replaced_only_when_asked(database: Path, tmp_path: Path) -> None:
    """Without overwrite it stays as it is; with it, it is replaced whole, and through a symbolic link in its place."""
    target, link = tmp_path / "backup.db", tmp_path / "link.db"
    target.write_text("precious")
    link.symlink_to(target)
    with pytest.raises(DatabaseError, match=r"backup\.db already exists"):
        await backup_database(database, target)
    assert target.read_text() == "precious"
    await backup_database(database, link, overwrite=True)
    assert link.is_symlink()
    await clean(target)
    assert not leftovers(tmp_path)


async def test_a_bad_target_is_refused_before_anything_is_made(database: Path, tmp_path: Path) -> None:
    """The database itself under any name, a database in use, and what is no place for a file are named errors."""
    alias, folder, used = tmp_path / "alias.db", tmp_path / "folder.db", tmp_path / "used.db"
    alias.hardlink_to(database)
    folder.mkdir()
    used.touch()
    used.with_name("used.db-wal").touch()
    journal = await anyio.Path(f"{database}.journal").absolute()
    await journal.mkdir(exist_ok=True)
    for target, words in [
        (database, "belongs to the database itself"),
        (alias, "belongs to the database itself"),
        (Path(f"{database}-wal"), "belongs to the database itself"),
        (Path(journal / "w.00000000000000000000.jsonl"), "belongs to the database itself"),
        (folder, "is a folder; name a file in it"),
        (tmp_path / "nowhere" / "backup.db", "is not a folder"),
        (used, r"used\.db-wal exists, so .* is a database in use"),
    ]:
        with pytest.raises(DatabaseError, match=words):
            await backup_database(database, target, overwrite=True)
    assert not leftovers(tmp_path)


async def test_a_bad_source_leaves_no_backup(tmp_path: Path, copy_of_original: Callable[[int], Path]) -> None:
    """A missing, an older and a damaged database are errors, and nothing is left beside the target."""
    damaged = await migrate(tmp_path / "damaged.db")
    fill(damaged, 2_000)
    change(damaged, "PRAGMA wal_checkpoint(TRUNCATE)")
    overwrite_leaves(damaged, "request_logs")
    for source, error, words in [
        (tmp_path / "missing.db", DatabaseMissingError, "does not exist"),
        (copy_of_original(2), OlderDatabaseError, "chainlog migrate"),
        (damaged, DatabaseError, "is damaged"),
    ]:
        with pytest.raises(error, match=words):
            await backup_database(source, tmp_path / "backup.db")
    assert not leftovers(tmp_path)
    assert not (tmp_path / "backup.db").exists()


async def test_a_disk_without_room_is_not_filled(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When it is clear that the copy will not fit, it is not begun."""
    fill(database, 100)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9 - 1_000, 1_000))
    with pytest.raises(DatabaseError, match=r"has 1,000 bytes free and [0-9,]+ may be needed.*another disk"):
        await backup_database(database, tmp_path / "backup.db")
    assert not leftovers(tmp_path)


async def test_a_write_that_fails_leaves_nothing(database: Path, tmp_path: Path) -> None:
    """When the file cannot grow any more in the middle of the copy, an error says so and its half is gone."""
    fill(database, 3_000, padding=5_000)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def no_more(*_: object) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))

    try:
        with pytest.raises(DatabaseError, match=r"\(SQLITE_(FULL|IOERR\w*)\); check .* have room"):
            await backup_database(database, tmp_path / "backup.db", on_progress=no_more)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert not leftovers(tmp_path)
    assert not (tmp_path / "backup.db").exists()


async def test_it_is_on_the_disk_before_it_has_its_name(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is synced after its last write and before the rename, and the folder after it."""
    fill(database, 100)
    done: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def note_fsync(descriptor: int) -> None:
        status = os.fstat(descriptor)
        done.append(f"sync {status.st_ino} {status.st_mtime_ns}")
        fsync(descriptor)

    def note_rename(path: Path, target: Path) -> Path:
        done.append(f"rename to {target.name}")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(Path, "rename", note_rename)
    target, folder = tmp_path / "backup.db", tmp_path
    await backup_database(database, target)
    file, folder_status = target.stat(), folder.stat()
    assert done[:2] == [f"sync {file.st_ino} {file.st_mtime_ns}", "rename to backup.db"]
    assert done[2].startswith(f"sync {folder_status.st_ino} ")
    assert len(done) == 3


async def test_two_at_once_do_not_share_a_file(database: Path, tmp_path: Path) -> None:
    """While one backup works on a target, another to the same one is refused; afterwards nothing is in its way."""
    target = tmp_path / "backup.db"
    busy = await asyncio.to_thread(AtomicFile, database, target, overwrite=False)
    await asyncio.to_thread(busy.begin)
    with pytest.raises(DatabaseError, match="is being written by another process"):
        await backup_database(database, target)
    await asyncio.to_thread(busy.discard)
    await backup_database(database, target)
    assert not leftovers(tmp_path)


async def test_the_leavings_of_a_killed_one_are_replaced(database: Path, tmp_path: Path) -> None:
    """Half a copy with its journal, as a kill leaves them, is neither kept nor rolled back into the new one."""
    fill(database, 100)
    partial = tmp_path / ".backup.db.partial"
    partial.write_bytes(b"half a copy" * 1_000)
    partial.chmod(0o644)
    partial.with_name(".backup.db.partial-journal").write_bytes(bytes.fromhex("d9d505f920a163d7") + b"\0" * 504)
    await backup_database(database, tmp_path / "backup.db")
    assert mode_of(tmp_path / "backup.db") == 0o600
    assert (await clean(tmp_path / "backup.db")).rows == 100
    assert not leftovers(tmp_path)


@pytest.mark.parametrize("how", HOWS)
async def test_cancelled_anywhere_it_is_whole_or_not_there(how: How, database: Path, tmp_path: Path) -> None:
    """Wherever it is cancelled, the target is complete or missing, and nothing else is left."""
    fill(database, 50)
    folder = tmp_path / "backups"
    folder.mkdir()
    target = folder / "backup.db"

    async def work(_: int) -> BackupReport:
        return await backup_database(database, target)

    async for outcome in cancel_at_every_step(work, how):
        assert outcome.value is None or target.exists()
        assert sorted(folder.iterdir()) == [target] * target.exists()
        if target.exists():
            assert rows_of(target) == 50
            target.unlink()


async def test_a_long_copy_is_interrupted_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cancelled while SQLite copies, it does not wait for the end of the copy."""
    path = await migrate(tmp_path / "o.db")
    fill(path, 6_000, padding=10_000)
    monkeypatch.setattr("chainlog_async.admin.backup.COPY_POLL_INTERVAL_S", 0.002)
    monkeypatch.setattr(AtomicFile, "discard", lambda copy: sizes.append(copy.path.stat().st_size))
    sizes: list[int] = []

    def cancel_when_begun(what: str, done: int, _: int | None) -> None:
        if what == "copying" and done:
            scope.cancel()

    with anyio.CancelScope() as scope:
        await backup_database(path, tmp_path / "backup.db", on_progress=cancel_when_begun)
    assert scope.cancelled_caught
    # SQLite empties the file when it is interrupted.
    assert sizes == [0], "the copy was done when it was cancelled"


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from chainlog_async.admin import backup
from chainlog_async.admin.backup import backup_database

def die(what, done, total):
    if what.startswith(sys.argv[3]) and (done or total is None):
        os.kill(os.getpid(), signal.SIGKILL)

backup.COPY_POLL_INTERVAL_S = 0.002
asyncio.run(backup_database(Path(sys.argv[1]), Path(sys.argv[2]), on_progress=die))
"""


@pytest.mark.parametrize("moment", ["copying", "checking"])
async def test_killed_in_the_middle_it_harms_nothing(tmp_path: Path, moment: str) -> None:
    """After a kill the database is sound, there is no target, and the next backup replaces what was left."""
    path = await migrate(tmp_path / "o.db")
    fill(path, 3_000, padding=10_000)
    target = tmp_path / "backup.db"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KILLED, path, target, moment, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert await process.wait() == -signal.SIGKILL
    assert not target.exists()
    assert ".backup.db.partial" in leftovers(tmp_path)
    await clean(path)
    await backup_database(path, target)
    assert (await clean(target)).rows == 3_000
    assert not leftovers(tmp_path)
