"""What is promised about migrations, and about databases that 429chain has written."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from chainlog_async import UsageAggregator, initialize_database, migrate_schema
from chainlog_async.errors import MigrationError
from chainlog_async.storage.sqlite import migration_steps as schema_module
from chainlog_async.storage.sqlite.connection import close_connection
from chainlog_async.storage.sqlite.identity import APPLICATION_ID
from chainlog_async.storage.sqlite.migration_steps import latest_version, migrations
from tests.support.entries import ORIGINAL_INSERT, OriginalRow, insert_as_original, original_row
from tests.support.schema_sql import schema_sql
from tests.support.schemas import (
    apply,
    make_original,
    make_version,
    query,
    schema_of,
    statements_of,
    summary_of,
    summary_of_rows,
    totals_of,
    totals_of_rows,
    version_of,
)

ROWS = "SELECT * FROM request_logs ORDER BY id"


def contents(path: Path) -> bytes:
    """Give every byte of the file."""
    return path.read_bytes()


async def start(path: Path) -> int:
    """Open and migrate a database, and give its version."""
    connection = await initialize_database(path)
    try:
        return await migrate_schema(connection)
    finally:
        await close_connection(connection)


def random_rows(count: int) -> list[OriginalRow]:
    """Give rows of four providers and three chains, not in the order of their time."""
    rng = random.Random(429)
    return [
        original_row(
            timestamp=rng.randrange(1_772_400_000_000, 1_772_400_900_000),
            chain_name=rng.choice(["default", "fast", "große-kette-日本"]),
            provider_id=rng.choice(["groq", "cerebras", "google-ai", "a/b c"]),
            prompt_tokens=rng.randrange(3000),
            completion_tokens=rng.randrange(900),
            latency_ms=rng.randrange(9000),
            attempts=rng.randrange(4),
            error_message=rng.choice([None, 'it\'s "bad"\n🙈']),
        )
        for _ in range(count)
    ]


# Migrations as data


def test_migrations_are_numbered_without_a_gap() -> None:
    """Each file of the folder is one step, and they count from 1 without a gap."""
    folder = Path(schema_module.__file__).parent / "migrations"
    assert [f"{step.version:04d}_{step.name}.sql" for step in migrations()] == sorted(p.name for p in folder.iterdir())
    assert [step.version for step in migrations()] == list(range(1, latest_version() + 1))


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({"0001_a.sql": "SELECT 1;", "0003_b.sql": "SELECT 1;"}, "gap"),
        ({"0001_a.sql": "SELECT 1;\nCREATE TABLE t (\n"}, "middle of a statement"),
    ],
)
def test_a_damaged_package_is_noticed(
    files: dict[str, str], complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing step or a cut file is an error, not a schema of some other kind."""
    (tmp_path / "migrations").mkdir()
    for name, script in files.items():
        (tmp_path / "migrations" / name).write_text(script)
    monkeypatch.setattr("importlib.resources.files", lambda _: tmp_path)
    with pytest.raises(MigrationError, match=complaint):
        migrations.__wrapped__()


async def test_a_new_database_gets_the_newest_version(tmp_path: Path) -> None:
    """From nothing, a start leads to the newest version and puts our mark on the file."""
    path = tmp_path / "o.db"
    assert await start(path) == latest_version() == version_of(path)
    assert query(path, "PRAGMA application_id") == [(APPLICATION_ID,)]
    assert query(path, "PRAGMA integrity_check") == [("ok",)]


async def test_a_second_migration_changes_nothing(database: Path) -> None:
    """Migrating what is up to date writes nothing at all."""
    connection = await initialize_database(database)
    before = contents(database)
    assert await migrate_schema(connection) == latest_version()
    assert connection.total_changes == 0
    await close_connection(connection)
    assert contents(database) == before


@pytest.mark.parametrize("version", range(1, latest_version()))
async def test_every_older_version_leads_to_the_same_schema(version: int, tmp_path: Path, database: Path) -> None:
    """Wherever a database starts from, it becomes what a new one is."""
    path = tmp_path / "older.db"
    make_version(path, version)
    assert await start(path) == latest_version()
    assert schema_of(path) == schema_of(database)


# The original's databases


@pytest.mark.parametrize("version", [1, 2])
def test_our_first_steps_make_the_schema_of_the_original(
    version: int, copy_of_original: Callable[[int], Path], tmp_path: Path
) -> None:
    """After our first steps, columns, defaults, indexes and triggers are those of 429chain's own files."""
    ours = make_original(tmp_path / "ours.db", version)
    assert schema_of(ours) == schema_of(copy_of_original(version))


def test_our_triggers_count_like_those_of_the_original(copy_of_original: Callable[[int], Path], tmp_path: Path) -> None:
    """Rows in any order give the same totals in our database and in 429chain's own."""
    theirs, ours = copy_of_original(2), make_original(tmp_path / "ours.db", 2)
    with closing(sqlite3.connect(theirs)) as connection, connection:
        for table in ("request_logs", "usage_by_provider", "usage_by_chain"):
            connection.execute(f"DELETE FROM {table}")
    for path in (theirs, ours):
        insert_as_original(path, random_rows(500))
    assert totals_of(ours) == totals_of(theirs) == totals_of_rows(ours)


@pytest.mark.parametrize("version", [1, 2])
async def test_a_database_of_the_original_is_carried_on(
    version: int, copy_of_original: Callable[[int], Path], database: Path
) -> None:
    """429chain's file keeps its rows and totals to the last field, and becomes what a new database is."""
    path = copy_of_original(version)
    rows, totals = query(path, ROWS), totals_of(path)
    assert await start(path) == latest_version()
    assert [row[: len(rows[0])] for row in query(path, ROWS)] == rows
    assert totals_of(path) == totals == totals_of_rows(path)
    assert summary_of(path) == summary_of_rows(path)
    assert schema_of(path) == schema_of(database)
    assert query(path, "PRAGMA application_id") == [(APPLICATION_ID,)]


@pytest.mark.parametrize("version", [1, 2])
async def test_the_original_goes_on_writing_after_the_upgrade(
    version: int, copy_of_original: Callable[[int], Path]
) -> None:
    """429chain's INSERT, its numbers bound as doubles, still works and is counted in every total, as whole numbers."""
    path = copy_of_original(version)
    await start(path)
    (before,) = query(path, "SELECT COUNT(*) FROM request_logs")
    insert_as_original(path, random_rows(200))
    assert query(path, "SELECT COUNT(*) - 200 FROM request_logs") == [before]
    assert totals_of(path) == totals_of_rows(path)
    assert summary_of(path) == summary_of_rows(path)
    for table in ("request_logs", "usage_by_provider", "usage_by_chain", "usage_summary"):
        assert {type(value) for row in query(path, f"SELECT * FROM {table}") for value in row} <= {int, str, type(None)}


async def test_the_original_keeps_its_connection_during_the_upgrade(tmp_path: Path) -> None:
    """A 429chain that has the file open all along goes on writing, and what it writes is counted."""
    path = make_original(tmp_path / "original.db", 2)
    with closing(sqlite3.connect(path, isolation_level=None)) as theirs:
        theirs.execute(ORIGINAL_INSERT, original_row(attempts=2, latency_ms=7))
        await start(path)
        theirs.execute(ORIGINAL_INSERT, original_row(attempts=1, latency_ms=8))
    assert summary_of(path) == [(2, 1, 15)]
    assert totals_of(path) == totals_of_rows(path)


# What a kill of the original leaves


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 7, 8])
async def test_the_original_killed_in_its_first_migration(count: int, tmp_path: Path, database: Path) -> None:
    """429chain's tables without its version, be they all there or only the first few, are completed."""
    path = tmp_path / "half.db"
    with closing(sqlite3.connect(path)) as connection:
        for statement in migrations()[0].statements[:count]:
            connection.execute(statement.sql)
    assert await start(path) == latest_version()
    assert schema_of(path) == schema_of(database)


async def test_the_original_killed_in_its_second_migration(tmp_path: Path, database: Path) -> None:
    """The column `error_message` without its version, where 429chain itself fails for good, is carried on."""
    path = make_original(tmp_path / "half.db", 1)
    apply(path, migrations()[1:2], number=False)
    insert_as_original(path, random_rows(20))
    rows = query(path, ROWS)
    assert version_of(path) == 1
    assert await start(path) == latest_version()
    assert [row[: len(rows[0])] for row in query(path, ROWS)] == rows
    assert schema_of(path) == schema_of(database)


async def test_the_originals_real_file_without_its_version(copy_of_original: Callable[[int], Path]) -> None:
    """429chain's own file loses nothing when the version it had not yet written is 0 or 1."""
    for version in (0, 1):
        path = copy_of_original(2)
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(f"PRAGMA user_version = {version}")
        totals = totals_of(path)
        assert await start(path) == latest_version()
        assert totals_of(path) == totals == totals_of_rows(path)


# Reading what a migrated database holds


async def test_a_fraction_of_the_originals_latency_is_no_trouble(database: Path) -> None:
    """Should 429chain ever store a latency with a fraction, the summary still answers in whole ms."""
    insert_as_original(database, [original_row(latency_ms=latency) for latency in (10.25, 11.5)])
    async with UsageAggregator(database) as usage:
        assert (await usage.get_summary_stats()).avg_latency_ms == 11


def test_a_new_database_is_what_the_migrations_lead_to() -> None:
    """To the last letter, in the same order and with the same rows: `python -m tests.support.schema_sql` writes it."""
    assert Path(schema_module.__file__).with_name("schema.sql").read_text("utf-8") == schema_sql()


async def test_the_text_of_the_schema_is_the_same_for_everyone(tmp_path: Path, database: Path) -> None:
    """What a step says is what is in the file: nothing is rewritten on the way."""
    path = tmp_path / "plain.db"
    apply(path, migrations())
    assert statements_of(path) == statements_of(database)
