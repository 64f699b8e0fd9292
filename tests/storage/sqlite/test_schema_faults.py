"""What is promised about migrations that are cancelled, killed, raced, refused or broken."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path

import aiosqlite
import pytest
from blockbuster import BlockBuster

from chainlog_async import initialize_database, migrate_schema
from chainlog_async.errors import ForeignDatabaseError, MigrationError, NewerDatabaseError
from chainlog_async.storage.sqlite import schema as schema_module
from chainlog_async.storage.sqlite.connection import close_connection
from chainlog_async.storage.sqlite.identity import APPLICATION_ID
from chainlog_async.storage.sqlite.migration_steps import Migration, Statement, latest_version, migrations, new_schema
from tests.support.effort import every, tries
from tests.support.entries import insert_as_original, original_row
from tests.support.interrupting import HOWS, How, Steps, cancel_at_every_step
from tests.support.schemas import (
    apply,
    make_original,
    make_version,
    query,
    run,
    schema_of,
    statements_of,
    summary_of,
    version_of,
)

# Hundreds of starts, each of which waits for the disk: seconds on an idle machine, minutes on a busy one.
pytestmark = pytest.mark.timeout(300)

ROOT = Path(__file__).resolve().parents[3]
EVERY = {"nothing": every(11), "version 1": every(61), "version 2": every(31)}
"""Of the statements of a start, every so many are tried: each takes a tenth of a second where there is much to do."""

ROWS = [original_row(timestamp=number, attempts=number % 3) for number in range(300)]
SUMMARY = (300, 100, 300 * 250)


def starting(*arguments: object) -> list[int]:
    """Run the processes of `starting.py` and give their exit codes."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.starting", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=240,
    )
    assert not done.stderr
    return [int(line.split()[1]) for line in done.stdout.splitlines()]


def nothing(_: Path) -> None:
    """Leave the file to be made by the start."""


def original(path: Path, version: int) -> None:
    """Make a database of 429chain's with rows in it."""
    make_original(path, version)
    if version == 2:
        insert_as_original(path, ROWS)


FROM: dict[str, Callable[[Path], None]] = {
    "nothing": nothing,
    "version 1": lambda path: original(path, 1),
    "version 2": lambda path: original(path, 2),
}


def statements_from(state: str) -> list[Statement]:
    """Give what a start does with such a file."""
    if state == "nothing":
        return list(new_schema())
    version = int(state.removeprefix("version "))
    return [statement for step in migrations()[version:] for statement in step.statements]


@pytest.fixture(scope="module")
def schema_at(tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    """The schema after no step, after the first, after the second, and so on."""
    schemas: list[object] = []
    for version in range(latest_version() + 1):
        path = tmp_path_factory.mktemp("reference") / f"{version}.db"
        apply(path, migrations()[:version])
        schemas.append(schema_of(path))
    return schemas


@pytest.fixture
async def at_version_2(tmp_path: Path) -> Path:
    """A database that has its third step before it."""
    path = tmp_path / "two.db"
    original(path, 2)
    return path


# Cancelled


@pytest.mark.parametrize("how", HOWS)
async def test_a_migration_can_be_cancelled_anywhere(how: How, tmp_path: Path, schema_at: list[object]) -> None:
    """At whichever step it is cancelled, no transaction is open, a whole version is there, and the next goes on."""
    path = tmp_path / "log.db"

    async def connect() -> aiosqlite.Connection:
        shutil.copyfile(tmp_path / "template", path)
        return await initialize_database(path)

    async def migrate(_step: int) -> int:
        return await migrate_schema(connection)

    for state, stride in EVERY.items():
        (tmp_path / "template").write_bytes(b"")
        FROM[state](tmp_path / "template")
        connection = await connect()
        async for outcome in cancel_at_every_step(migrate, how, every=stride):
            assert not connection.in_transaction, f"step {outcome.step}"
            assert schema_of(path) == schema_at[version_of(path)], f"step {outcome.step}"
            assert await migrate_schema(connection) == latest_version()
            await close_connection(connection)
            connection = await connect()
        await close_connection(connection)


# Killed


@pytest.mark.parametrize("state", ["nothing", "version 2"])
async def test_a_start_can_be_killed_anywhere(state: str, tmp_path: Path, schema_at: list[object]) -> None:
    """Killed at any statement, a process leaves a whole version with every row, and the next start completes it."""
    template, folder = tmp_path / "template", tmp_path / "killed"
    FROM[state](template)
    folder.mkdir()
    codes = starting("kill", template, folder, EVERY[state])
    assert codes[-1] == 0
    assert len(codes) * EVERY[state] > len(statements_from(state))
    versions = []
    for number in range(1, len(codes) + 1):
        path = folder / f"{number}.db"
        versions.append(version_of(path))
        assert schema_of(path) == schema_at[versions[-1]], f"killed at statement {number}"
        connection = await initialize_database(path)
        assert await migrate_schema(connection) == latest_version()
        await close_connection(connection)
        assert query(path, "SELECT COUNT(*) FROM request_logs") == [(300 if state == "version 2" else 0,)]
        assert summary_of(path) == ([SUMMARY] if state == "version 2" else [(0, 0, 0)])
        assert query(path, "PRAGMA integrity_check") == [("ok",)]
    assert versions == sorted(versions)
    assert versions[-1] == latest_version()


# At the same time


@pytest.mark.parametrize("state", FROM)
def test_eight_processes_start_at_once(state: str, tmp_path: Path, schema_at: list[object]) -> None:
    """Eight processes that start on one file at the same moment all succeed, and each step is done once."""
    for attempt in range(tries(1)):
        path = tmp_path / f"{attempt}.db"
        FROM[state](path)
        assert starting("together", path, 8) == [0] * 8
        assert version_of(path) == latest_version()
        assert schema_of(path) == schema_at[-1]
        assert summary_of(path) == ([SUMMARY] if state == "version 2" else [(0, 0, 0)])
        assert query(path, "PRAGMA integrity_check") == [("ok",)]


@pytest.mark.parametrize("state", FROM)
async def test_another_process_migrates_at_any_moment(state: str, tmp_path: Path, guard: BlockBuster) -> None:
    """Whichever statement of a start another process migrates before, the start succeeds."""
    guard.deactivate()  # the other process is played by this one, in the middle of the package's own calls
    template = tmp_path / "template"
    FROM[state](template)
    for number in count(1, EVERY[state]):
        path = tmp_path / f"{number}.db"
        if template.exists():
            shutil.copyfile(template, path)
        steps = Steps(number, partial(overtake, path))
        with pytest.MonkeyPatch.context() as monkeypatch:
            steps.watch_statements(monkeypatch)
            connection = await initialize_database(path)
            assert await migrate_schema(connection) == latest_version()
            await close_connection(connection)
        if not steps.reached:
            break
    assert number > len(statements_from(state))


def overtake(path: Path) -> None:
    """Migrate as another process would, if it can get the lock."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as other, suppress(sqlite3.OperationalError):
        other.execute("BEGIN IMMEDIATE")
        ((version,),) = other.execute("PRAGMA user_version")
        for step in migrations()[version:]:
            for statement in step.statements:
                run(other, statement.sql)
        other.execute(f"PRAGMA user_version = {latest_version()}")
        other.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        other.execute("COMMIT")


async def test_a_lock_that_is_not_let_go_stops_the_migration(at_version_2: Path) -> None:
    """When another process keeps the write lock, the migration fails by name, and later succeeds."""
    connection = await initialize_database(at_version_2, busy_timeout_ms=10)
    with closing(sqlite3.connect(at_version_2, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(MigrationError, match="SQLITE_BUSY"):
            await migrate_schema(connection)
        assert not connection.in_transaction
        other.execute("ROLLBACK")
    assert await migrate_schema(connection) == latest_version()
    await close_connection(connection)


# Refused


@pytest.mark.parametrize(
    ("statements", "error"),
    [
        (["CREATE TABLE cats (name)"], ForeignDatabaseError),
        ([f"PRAGMA application_id = {APPLICATION_ID}", "PRAGMA user_version = 99"], NewerDatabaseError),
    ],
)
async def test_a_database_of_others_is_not_migrated(
    statements: list[str], error: type[Exception], tmp_path: Path
) -> None:
    """Given a connection of the caller's own making, a migration still refuses what is not ours, untouched."""
    path = tmp_path / "o.db"
    with closing(sqlite3.connect(path)) as other:
        for statement in statements:
            other.execute(statement)
    before = path.read_bytes()
    async with aiosqlite.connect(path) as connection:
        with pytest.raises(error):
            await migrate_schema(connection)
    assert path.read_bytes() == before


# Broken


def broken(index: int, place: int) -> tuple[Migration, ...]:
    """Give the migrations with a statement that fails at a place."""
    steps = list(migrations())
    statements = list(steps[index].statements)
    statements.insert(place, Statement("INSERT INTO nowhere VALUES (1)"))
    steps[index] = replace(steps[index], statements=tuple(statements))
    return tuple(steps)


async def test_a_step_that_fails_leaves_the_version_before(tmp_path: Path, schema_at: list[object]) -> None:
    """Whichever statement of a step fails, the database is as it was before that step, and goes on from there."""
    for index in range(1, latest_version()):
        path = tmp_path / f"{index}.db"
        make_version(path, index)
        connection = await initialize_database(path)
        for place in range(len(migrations()[index].statements) + 1):
            with pytest.MonkeyPatch.context() as monkeypatch:
                monkeypatch.setattr(schema_module, "migrations", partial(broken, index, place))
                with pytest.raises(MigrationError, match=rf"migration {index + 1} .*still at version {index}"):
                    await migrate_schema(connection)
            assert not connection.in_transaction
            assert version_of(path) == index
            assert schema_of(path) == schema_at[index]
        assert await migrate_schema(connection) == latest_version()
        await close_connection(connection)


@pytest.mark.parametrize("place", range(0, len(new_schema()) + 1, 3))
async def test_a_new_database_that_cannot_be_created_stays_empty(place: int, tmp_path: Path) -> None:
    """Whichever statement fails, the file is as empty as it was, and the next start creates it."""
    path = tmp_path / "new.db"
    connection = await initialize_database(path)
    statements = (*new_schema()[:place], Statement("INSERT INTO nowhere VALUES (1)"), *new_schema()[place:])
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(schema_module, "new_schema", lambda: statements)
        with pytest.raises(MigrationError, match=r"cannot be created: no such table: nowhere.*still empty"):
            await migrate_schema(connection)
    assert not connection.in_transaction
    assert (version_of(path), schema_of(path)) == (0, {})
    assert await migrate_schema(connection) == latest_version()
    await close_connection(connection)


async def test_a_full_disk_leaves_the_version_before(at_version_2: Path) -> None:
    """When the disk is full, where SQLite ends the transaction by itself, the migration says so and can be repeated."""
    before = statements_of(at_version_2)
    connection = await initialize_database(at_version_2)
    ((pages,),) = await connection.execute_fetchall("PRAGMA page_count")
    await connection.execute_fetchall(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(MigrationError, match="SQLITE_FULL"):
        await migrate_schema(connection)
    assert not connection.in_transaction
    assert version_of(at_version_2) == 2
    assert statements_of(at_version_2) == before
    await connection.execute_fetchall(f"PRAGMA max_page_count = {pages + 1_000}")
    assert await migrate_schema(connection) == latest_version()
    await close_connection(connection)
