"""What is promised about opening the file, and about every way in which that fails."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import stat
import threading
from pathlib import Path

import aiosqlite
import pytest

from chainlog_async import initialize_database, migrate_schema
from chainlog_async.errors import (
    DatabaseMissingError,
)
from chainlog_async.storage.sqlite import connection as database_module
from chainlog_async.storage.sqlite.connection import close_connection, open_reader
from chainlog_async.storage.sqlite.migration_steps import latest_version
from tests.support.interrupting import HOWS, How, cancel_at_every_step
from tests.support.threads import lasting_workers, workers


async def pragma(connection: aiosqlite.Connection, name: str) -> object:
    """Give what the connection answers."""
    ((value,),) = await connection.execute_fetchall(f"PRAGMA {name}")
    return value


def mode_of(path: Path) -> int:
    """Give the permissions of a file."""
    return stat.S_IMODE(path.stat().st_mode)


def names_in(folder: Path) -> list[str]:
    """Give the names of the files in a folder."""
    return sorted(path.name for path in folder.iterdir())


# Opening


async def test_the_connection_has_its_pragmas(tmp_path: Path) -> None:
    """Every pragma answers what was asked for, write-ahead logging included."""
    connection = await initialize_database(
        tmp_path / "o.db", busy_timeout_ms=1234, synchronous="FULL", wal_limit_bytes=4096
    )
    names = (
        "journal_mode",
        "synchronous",
        "cache_size",
        "temp_store",
        "busy_timeout",
        "journal_size_limit",
        "auto_vacuum",
    )
    assert {name: await pragma(connection, name) for name in names} == {
        "journal_mode": "wal",
        "synchronous": 2,
        "cache_size": -64_000,
        "temp_store": 2,
        "busy_timeout": 1234,
        "journal_size_limit": 4096,
        "auto_vacuum": 2,
    }
    await close_connection(connection)


async def test_the_defaults_are_those_of_the_original(tmp_path: Path) -> None:
    """Without arguments the disk is waited for at checkpoints only, and locks are waited for five seconds."""
    connection = await initialize_database(str(tmp_path / "o.db"))
    assert await pragma(connection, "synchronous") == 1
    assert await pragma(connection, "busy_timeout") == 5000
    assert await pragma(connection, "journal_size_limit") == 64 * 1024 * 1024
    await close_connection(connection)


async def test_the_connection_commits_every_statement(tmp_path: Path) -> None:
    """Nobody has to commit: a statement outside a transaction is one of its own."""
    connection = await initialize_database(tmp_path / "o.db")
    await connection.execute_fetchall("CREATE TABLE t (x)")
    await connection.execute_fetchall("INSERT INTO t VALUES (1)")
    assert not connection.in_transaction
    await close_connection(connection)


async def test_missing_folders_are_made(tmp_path: Path) -> None:
    """The folders above the database need not exist."""
    path = tmp_path / "a" / "b" / "o.db"
    await close_connection(await initialize_database(path))
    assert path.is_file()


async def test_a_relative_path_starts_at_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path is one from where the process stands."""
    monkeypatch.chdir(tmp_path)
    await close_connection(await initialize_database("data/o.db"))
    await close_connection(await open_reader("data/o.db"))
    assert (tmp_path / "data" / "o.db").is_file()


@pytest.mark.parametrize("name", ["a b?mode=memory#c%41&d.db", "große-日本.db", "file:x.db", os.fsdecode(b"\xff.db")])
async def test_a_name_is_taken_as_it_is(name: str, tmp_path: Path) -> None:
    """No character of a file name means anything to SQLite, be it one of a URI or none of UTF-8."""
    connection = await initialize_database(tmp_path / name)
    await migrate_schema(connection)
    await close_connection(connection)
    await close_connection(await open_reader(tmp_path / name))
    assert name in names_in(tmp_path)


async def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    """The file, its write-ahead log and its shared memory are the owner's alone, whatever the umask."""
    path = tmp_path / "o.db"
    umask = os.umask(0)
    try:
        connection = await initialize_database(path)
        await migrate_schema(connection)
        assert names_in(tmp_path) == ["o.db", "o.db-shm", "o.db-wal"]
        assert {mode_of(tmp_path / name) for name in names_in(tmp_path)} == {0o600}
        await close_connection(connection)
    finally:
        os.umask(umask)


async def test_the_permissions_of_an_existing_file_are_kept(tmp_path: Path) -> None:
    """Whoever gave a group access to the database keeps it."""
    path = tmp_path / "o.db"
    path.touch()
    path.chmod(0o640)
    connection = await initialize_database(path)
    await migrate_schema(connection)
    assert {mode_of(tmp_path / name) for name in names_in(tmp_path)} == {0o640}
    await close_connection(connection)


async def test_path_and_mode_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One line of the log says which file is used, and how."""
    with caplog.at_level(logging.INFO, "chainlog_async"):
        await close_connection(await initialize_database(tmp_path / "o.db"))
    assert caplog.messages == [f"opened {tmp_path / 'o.db'} (journal mode wal, synchronous NORMAL)"]


async def test_closing_twice_is_no_error(tmp_path: Path) -> None:
    """A connection that is closed already can be closed again."""
    connection = await initialize_database(tmp_path / "o.db")
    await close_connection(connection)
    await close_connection(connection)


# Whose loop has gone by the time the disk answers: aiosqlite's thread has nobody to tell.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_closing_does_not_wait_for_a_dead_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A thread that does not answer is given up after a while, and keeps neither event loop nor interpreter alive."""
    monkeypatch.setattr(database_module, "CLOSE_TIMEOUT_S", 0.05)
    disk_answers = threading.Event()

    async def open_and_close() -> None:
        connection = await initialize_database(tmp_path / "o.db")
        connection._tx.put_nowait((None, disk_answers.wait))
        await close_connection(connection)

    asyncio.run(open_and_close())
    assert caplog.messages == ["the database could not be closed within 0.05 s; its disk does not respond"]
    assert {thread.daemon for thread in workers()} == {True}
    disk_answers.set()


# Reading


async def test_a_reader_needs_a_file(tmp_path: Path) -> None:
    """A reader says that there is no database, and makes none."""
    with pytest.raises(DatabaseMissingError, match=r"o\.db does not exist"):
        await open_reader(tmp_path / "folder" / "o.db")
    assert not names_in(tmp_path)


@pytest.mark.parametrize("statement", ["DELETE FROM request_logs", "PRAGMA user_version = 9", "CREATE TABLE t (x)"])
async def test_a_reader_cannot_write(statement: str, database: Path) -> None:
    """No statement that a reader is given changes the database."""
    reader = await open_reader(database)
    try:
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            await reader.execute_fetchall(statement)
    finally:
        await close_connection(reader)


# Cancellation


@pytest.mark.parametrize("how", HOWS)
async def test_an_opening_can_be_cancelled_anywhere(how: How, tmp_path: Path) -> None:
    """At whichever step it is cancelled, no thread is left, and the next start opens the database."""

    def path_of(step: int) -> Path:
        return tmp_path / f"{step}.db"

    async for outcome in cancel_at_every_step(lambda step: initialize_database(path_of(step)), how):
        if outcome.value is not None:
            await close_connection(outcome.value)
        assert not lasting_workers(workers()), f"step {outcome.step}"
        connection = await initialize_database(path_of(outcome.step))
        assert await migrate_schema(connection) == latest_version()
        await close_connection(connection)


@pytest.mark.parametrize("how", HOWS)
async def test_a_reader_can_be_cancelled_anywhere(how: How, database: Path) -> None:
    """At whichever step the opening of a reader is cancelled, no thread is left."""
    async for outcome in cancel_at_every_step(lambda _: open_reader(database), how):
        if outcome.value is not None:
            await close_connection(outcome.value)
        assert not lasting_workers(workers()), f"step {outcome.step}"


@pytest.mark.parametrize("how", HOWS)
async def test_a_closing_can_be_cancelled_anywhere(how: How, tmp_path: Path) -> None:
    """At whichever step it is cancelled, the connection is closed nevertheless."""

    async def open_and_close(_: int) -> None:
        connection = await initialize_database(tmp_path / "o.db")
        await close_connection(connection)

    async for outcome in cancel_at_every_step(open_and_close, how):
        assert not lasting_workers(workers()), f"step {outcome.step}"


async def test_a_log_that_vanishes_while_it_is_opened_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever closes the file last deletes its -wal, at any moment of another's opening."""
    path = tmp_path / "requests.db"
    await close_connection(await initialize_database(path))
    real = Path.exists
    monkeypatch.setattr(Path, "exists", lambda self: self.name.endswith("-wal") or real(self))
    await close_connection(await initialize_database(path))
