"""What is promised about opening a file that cannot, or must not, be opened."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import aiosqlite
import pytest

from chainlog_async import initialize_database, migrate_schema
from chainlog_async.errors import (
    ChainlogError,
    DatabaseError,
    ForeignDatabaseError,
    NewerDatabaseError,
    NotADatabaseError,
    WalUnavailableError,
)
from chainlog_async.storage.sqlite.connection import close_connection
from chainlog_async.storage.sqlite.identity import APPLICATION_ID
from chainlog_async.storage.sqlite.migration_steps import latest_version
from tests.support.threads import lasting_workers, workers


def contents(folder: Path) -> dict[str, bytes]:
    """Give every file below a folder, but for the shared memory, which holds locks and no data."""
    return {
        str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file() and "-shm" not in p.name
    }


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
    connect = sqlite3.connect

    def without_shared_memory(database: str, *, uri: bool, **_: object) -> sqlite3.Connection:
        return connect(f"{database}&vfs=unix-dotfile", uri=uri, isolation_level=None)

    monkeypatch.setattr(sqlite3, "connect", without_shared_memory)
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


async def test_a_lock_that_sqlite_does_not_wait_for_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where SQLite reports a lock at once, as it does at the switch to write-ahead logging, the opening tries again."""
    execute = aiosqlite.Connection.execute_fetchall
    refusals = 3

    async def refuse(connection: aiosqlite.Connection, sql: str, parameters: object = None) -> object:
        nonlocal refusals
        if "journal_mode" in sql and refusals:
            refusals -= 1
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorname = "SQLITE_BUSY_RECOVERY"
            raise error
        return await execute(connection, sql, parameters)

    monkeypatch.setattr(aiosqlite.Connection, "execute_fetchall", refuse)
    connection = await initialize_database(tmp_path / "o.db")
    assert [*await connection.execute_fetchall("PRAGMA journal_mode")] == [("wal",)]
    assert refusals == 0
    await close_connection(connection)


def lose_all_but_the_log(path: Path) -> None:
    """Delete the database, as somebody does who does not know of its other files."""
    log = path.with_name(path.name + "-wal")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE left_over (x)")
        content = log.read_bytes()
    path.unlink()
    log.write_bytes(content)


async def test_a_log_without_its_database_is_not_believed(database: Path) -> None:
    """When the file was deleted and its write-ahead log was not, the start makes an empty database."""
    lose_all_but_the_log(database)
    connection = await initialize_database(database)
    assert await migrate_schema(connection) == latest_version()
    assert not await connection.execute_fetchall("SELECT * FROM sqlite_master WHERE name = 'left_over'")
    await close_connection(connection)


def test_every_error_is_one_of_ours() -> None:
    """A gateway that catches `ChainlogError` catches each of them."""
    assert all(issubclass(error, ChainlogError) for _, error in FAILING_FILES)
