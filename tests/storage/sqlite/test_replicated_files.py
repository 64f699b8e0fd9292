"""A file that a replication tool reached first: its tables in it make it nobody's database."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from chainlog_async import ChainLog
from chainlog_async.errors import ForeignDatabaseError, OlderDatabaseError
from chainlog_async.storage.sqlite.migration_steps import migrations
from tests.support.entries import entry
from tests.support.operator import clean
from tests.support.schemas import query, version_of
from tests.support.writing import models, settings_for, stored, until

LITESTREAM = (
    "PRAGMA journal_mode = WAL",
    "CREATE TABLE _litestream_seq (id INTEGER PRIMARY KEY, seq INTEGER)",
    "CREATE TABLE _litestream_lock (id INTEGER)",
    "INSERT INTO _litestream_seq VALUES (1, 1)",
)
EMPTY: dict[str, tuple[str, ...]] = {
    "Litestream": LITESTREAM,
    "Litestream, killed in between": LITESTREAM[:2],
    "Marmot": ("CREATE TABLE __marmot___change_log_global (id INTEGER PRIMARY KEY, change_table_id, table_name)",),
    "libSQL": ("CREATE TABLE libsql_wasm_func_table (name TEXT PRIMARY KEY, body TEXT) WITHOUT ROWID",),
    "SQLite's own": (
        "CREATE TABLE gone (id INTEGER PRIMARY KEY AUTOINCREMENT, x)",
        "CREATE INDEX gone_too ON gone (x)",
        "INSERT INTO gone (x) VALUES (1)",
        "ANALYZE",
        "DROP TABLE gone",
    ),
}


def make(path: Path, *statements: str) -> None:
    """Makes a database with these."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def tables_of(path: Path) -> set[object]:
    """The tables in a file."""
    return {name for (name,) in query(path, "SELECT name FROM sqlite_master WHERE type = 'table'")}


@contextmanager
def replicated(path: Path) -> Iterator[None]:
    """Another connection holds a read transaction and comes back to its table, as Litestream does."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("BEGIN")
        connection.execute("SELECT COUNT(*) FROM _litestream_seq").fetchall()
        yield
        connection.execute("ROLLBACK")
        connection.execute("UPDATE _litestream_seq SET seq = seq + 1")


@pytest.mark.parametrize("statements", EMPTY.values(), ids=EMPTY)
async def test_an_empty_file_that_a_tool_reached_first_is_used(tmp_path: Path, statements: tuple[str, ...]) -> None:
    """It becomes a log like any other, and what the tool had put into it stays."""
    path = tmp_path / "o.db"
    await asyncio.to_thread(make, path, *statements)
    before = tables_of(path)
    async with ChainLog(settings_for(path)) as chainlog:
        await chainlog.write(entry(model="first"))
        assert [usage.total_requests for usage in await chainlog.usage.get_all_provider_usage()] == [1]
    assert before <= tables_of(path)
    assert (await clean(path)).rows == 1


async def test_a_log_works_beside_litestream(tmp_path: Path) -> None:
    """While it holds its read transaction on the new file, entries are written; afterwards it goes on."""
    path = tmp_path / "o.db"
    await asyncio.to_thread(make, path, *LITESTREAM)
    with replicated(path):
        async with ChainLog(settings_for(path)) as chainlog:
            await chainlog.write(entry(model="first"))
            assert await stored(path) == ["first"]
    assert query(path, "SELECT seq FROM _litestream_seq") == [(2,)]
    await clean(path)


async def test_a_log_goes_on_when_an_empty_file_of_litestream_takes_its_place(tmp_path: Path) -> None:
    """A file that is replaced by one that only Litestream has touched is a new log."""
    path = tmp_path / "o.db"
    async with ChainLog(settings_for(path)) as chainlog:
        await chainlog.write(entry(model="before"))
        fresh = tmp_path / "fresh.db"
        await asyncio.to_thread(make, fresh, *LITESTREAM[1:])
        before = chainlog.request_logger.connection
        fresh.replace(path)
        await until(lambda: chainlog.request_logger.connection is not before)
        await chainlog.write(entry(model="after"))
    assert models(path) == ["after"]
    assert "_litestream_seq" in tables_of(path)


async def test_a_half_made_original_beside_litestream_is_taken_over(tmp_path: Path) -> None:
    """429chain may be killed before it has set its version, with Litestream's tables already there."""
    path = tmp_path / "o.db"
    first = next(str(part.sql) for part in migrations()[0].statements if "TABLE" in part.sql)
    await asyncio.to_thread(make, path, *LITESTREAM, first)
    async with ChainLog(settings_for(path)) as chainlog:
        await chainlog.write(entry(model="first"))
    assert models(path) == ["first"]
    assert version_of(path) == len(migrations())


@pytest.mark.parametrize("other", ["CREATE TABLE cats (name)", "CREATE TABLE _litestream_cats (name)"])
async def test_one_table_of_another_program_is_enough(tmp_path: Path, other: str) -> None:
    """Beside Litestream's tables, another one makes it somebody's, whatever it is called; no byte changes."""
    path = tmp_path / "o.db"
    await asyncio.to_thread(make, path, *LITESTREAM[1:], other)
    before = path.read_bytes()
    with pytest.raises(ForeignDatabaseError, match="cats"):
        async with ChainLog(settings_for(path)):
            pass
    assert path.read_bytes() == before


async def test_reading_such_a_file_says_what_to_do(tmp_path: Path) -> None:
    """Before anybody has logged there is nothing to read, which is not another program's fault."""
    path = tmp_path / "o.db"
    await asyncio.to_thread(make, path, *LITESTREAM)
    with pytest.raises(OlderDatabaseError, match="chainlog migrate"):
        await clean(path)
