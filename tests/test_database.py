"""What is promised about opening the file, and about every way in which that fails."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import stat
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import aiosqlite
import pytest
from interrupting import HOWS, How, cancel_at_every_step
from threads import lasting_workers, workers

from chainlog_async import initialize_database, migrate_schema
from chainlog_async import database as database_module
from chainlog_async.database import close_connection, open_reader
from chainlog_async.errors import (
    ChainlogError,
    DatabaseError,
    DatabaseMissingError,
    ForeignDatabaseError,
    NewerDatabaseError,
    NotADatabaseError,
    WalUnavailableError,
)
from chainlog_async.schema import APPLICATION_ID, latest_version


async def pragma(connection: aiosqlite.Connection, name: str) -> object:
    """Give what the connection answers."""
    ((value,),) = await connection.execute_fetchall(f"PRAGMA {name}")
    return value


def mode_of(path: Path) -> int:
    """Give the permissions of a file."""
    return stat.S_IMODE(path.stat().st_mode)


def contents(folder: Path) -> dict[str, bytes]:
    """Give every file below a folder, but for the shared memory, which holds locks and no data."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file() and "-shm" not in p.name}


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
    assert [path.name for path in tmp_path.iterdir() if "-" not in path.name] == [name] or (tmp_path / name).is_file()


async def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    """The file, its write-ahead log and its shared memory are the owner's alone, whatever the umask."""
    path = tmp_path / "o.db"
    umask = os.umask(0)
    try:
        connection = await initialize_database(path)
        await migrate_schema(connection)
        files = sorted(tmp_path.iterdir())
        assert [file.name for file in files] == ["o.db", "o.db-shm", "o.db-wal"]
        assert {mode_of(file) for file in files} == {0o600}
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
    assert {mode_of(file) for file in tmp_path.iterdir()} == {0o640}
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
    assert caplog.messages == ["the database could not be closed in 0.05 s; its disk does not answer"]
    assert {thread.daemon for thread in workers()} == {True}
    disk_answers.set()


# Failing


def text_file(path: Path) -> None:
    """Make what is no database at all."""
    path.write_text("timestamp,provider\n" * 500)


def damaged_file(path: Path) -> None:
    """Make a database whose first page is overwritten behind its header."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE request_logs (x)")
    path.write_bytes(path.read_bytes()[:100] + b"\xff" * 4000)


def foreign_file(path: Path) -> None:
    """Make somebody else's database."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE cats (name)")
        connection.execute("INSERT INTO cats VALUES ('Minka')")


def foreign_file_with_our_name(path: Path) -> None:
    """Make somebody else's database, who happens to call a table what 429chain calls it."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE request_logs (url, body)")


def foreign_application(path: Path) -> None:
    """Make a database without tables that another program has put its mark on."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA application_id = 42")


def foreign_version(path: Path) -> None:
    """Make a database without tables that another program has numbered."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 1")


def foreign_file_left_by_a_kill(path: Path) -> None:
    """Make somebody else's database whose rows are in its write-ahead log still."""
    with closing(sqlite3.connect(path.with_name("alive.db"))) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE cats (name)")
        for suffix in ("", "-wal"):
            path.with_name(path.name + suffix).write_bytes(path.with_name("alive.db" + suffix).read_bytes())
    path.with_name("alive.db").unlink()


def newer_file(path: Path) -> None:
    """Make a database of ours from the future."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE request_logs (id, novelty)")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {latest_version() + 1}")


def newer_original(path: Path) -> None:
    """Make a database of a 429chain that does not exist yet."""
    with closing(sqlite3.connect(path)) as connection:
        columns = "timestamp, chain_name, provider_id, model, prompt_tokens, completion_tokens, total_tokens"
        connection.execute(f"CREATE TABLE request_logs (id, {columns}, latency_ms, http_status, attempts, novelty)")
        connection.execute("CREATE TABLE usage_by_provider (x)")
        connection.execute("CREATE TABLE usage_by_chain (x)")
        connection.execute("PRAGMA user_version = 3")


FAILING_FILES: list[tuple[Callable[[Path], None], type[DatabaseError]]] = [
    (text_file, NotADatabaseError),
    (damaged_file, NotADatabaseError),
    (foreign_file, ForeignDatabaseError),
    (foreign_file_with_our_name, ForeignDatabaseError),
    (foreign_application, ForeignDatabaseError),
    (foreign_version, ForeignDatabaseError),
    (foreign_file_left_by_a_kill, ForeignDatabaseError),
    (newer_file, NewerDatabaseError),
    (newer_original, NewerDatabaseError),
    (Path.mkdir, DatabaseError),
]


@pytest.mark.parametrize(("make", "error"), FAILING_FILES)
async def test_a_file_that_is_not_ours_is_refused_untouched(
    make: Callable[[Path], None], error: type[DatabaseError], tmp_path: Path
) -> None:
    """What is not ours, not understood or no file is refused by name: not a byte changes, and no thread is left."""
    path = tmp_path / "o.db"
    make(path)
    before = contents(tmp_path)
    with pytest.raises(error, match=r"o\.db") as caught:
        await initialize_database(path)
    assert type(caught.value) is error
    assert not lasting_workers(workers())
    assert contents(tmp_path) == before


@pytest.mark.parametrize("below", ["o.db", "deep/down/o.db"])
async def test_a_folder_that_cannot_be_made_is_named(below: str, tmp_path: Path) -> None:
    """A path that leads through a regular file is refused by name."""
    (tmp_path / "file").write_text("here")
    with pytest.raises(DatabaseError, match=r"file/.*o\.db cannot be opened"):
        await initialize_database(tmp_path / "file" / below)
    assert contents(tmp_path) == {"file": b"here"}


@pytest.mark.parametrize("db_path", [":memory:", "", Path(":memory:")])
async def test_a_database_in_memory_is_refused(
    db_path: str | Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that readers could not see is refused, and no file of that name is made."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WalUnavailableError, match="name a file"):
        await initialize_database(db_path)
    assert not contents(tmp_path)


async def test_a_nul_in_the_path_is_a_named_error(tmp_path: Path) -> None:
    """Even a path that no system takes is refused with an error of ours."""
    with pytest.raises(DatabaseError, match="cannot be opened"):
        await initialize_database(f"{tmp_path}/a\0b/o.db")


async def test_a_dangling_link_is_a_named_error(tmp_path: Path) -> None:
    """A link to a file that does not exist is not followed into making one."""
    (tmp_path / "o.db").symlink_to(tmp_path / "elsewhere" / "o.db")
    with pytest.raises(DatabaseError, match="cannot be opened"):
        await initialize_database(tmp_path / "o.db")


async def test_a_file_system_without_shared_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where SQLite will not switch to write-ahead logging, as on a network disk, the start fails and says so."""
    connect = aiosqlite.connect

    def without_shared_memory(database: str, **arguments: object) -> aiosqlite.Connection:
        return connect(f"{database}&vfs=unix-dotfile", **arguments)

    monkeypatch.setattr(aiosqlite, "connect", without_shared_memory)
    with pytest.raises(WalUnavailableError, match=r"o\.db stays in journal mode 'delete'.*local disk"):
        await initialize_database(tmp_path / "o.db")


async def test_a_lock_that_is_not_let_go_is_named(tmp_path: Path) -> None:
    """A database that another process keeps to itself fails the start after the busy timeout, not after SQLite's."""
    path = tmp_path / "o.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(DatabaseError, match=r"o\.db is locked by another process"):
            await initialize_database(path, busy_timeout_ms=10)
        other.execute("ROLLBACK")
    await close_connection(await initialize_database(path, busy_timeout_ms=10))


async def test_a_log_without_its_database_is_not_believed(database: Path) -> None:
    """When the file was deleted and its write-ahead log was not, the start makes an empty database."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE left_over (x)")
        log = database.with_name("observability.db-wal").read_bytes()
    database.unlink()
    database.with_name("observability.db-wal").write_bytes(log)
    connection_of_ours = await initialize_database(database)
    assert await migrate_schema(connection_of_ours) == latest_version()
    assert not await connection_of_ours.execute_fetchall("SELECT * FROM sqlite_master WHERE name = 'left_over'")
    await close_connection(connection_of_ours)


async def test_every_error_is_one_of_ours() -> None:
    """A gateway that catches `ChainlogError` catches each of them."""
    assert all(issubclass(error, ChainlogError) for _, error in FAILING_FILES)


# Reading


async def test_a_reader_needs_a_file(tmp_path: Path) -> None:
    """A reader says that there is no database, and makes none."""
    with pytest.raises(DatabaseMissingError, match=r"o\.db does not exist"):
        await open_reader(tmp_path / "folder" / "o.db")
    assert not list(tmp_path.iterdir())


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
