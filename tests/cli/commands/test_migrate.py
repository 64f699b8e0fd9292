"""``chainlog migrate``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from chainlog_async.storage.postgres.migration_steps import latest_version as latest_postgres_version
from chainlog_async.storage.sqlite.migration_steps import latest_version
from tests.support.cli import Cli
from tests.support.postgres import SharedServer

POSTGRES_VERSION = latest_postgres_version()


def test_a_new_database_is_made_once(cli: Cli) -> None:
    """The first time a database is made, with its folder; the second time nothing is to do."""
    cli.db = cli.folder / "new" / "folder" / "log.db"
    refused = cli.run("migrate")
    assert (refused.code, cli.db.parent.exists()) == (2, False)
    assert "The folder of --db does not exist" in refused.stderr
    assert f"created {cli.db} with schema version {latest_version()}" in cli.run("migrate", "--yes").stdout
    assert f"already has schema version {latest_version()}" in cli.run("migrate").stdout


@pytest.mark.parametrize("version", [1, 2])
def test_a_database_of_the_original_keeps_its_totals(
    cli: Cli, copy_of_original: Callable[[int], Path], version: int
) -> None:
    """429chain's database is brought up from its version, and usage then shows every one of its rows."""
    cli.db = copy_of_original(version)
    rows = cli.rows()
    assert cli.json("migrate") == {"database": str(cli.db), "fromVersion": version, "toVersion": latest_version()}
    usage = cli.json("usage")
    assert isinstance(usage["summary"], dict)
    assert usage["summary"]["totalRequests"] == rows > 0


def test_somebody_else_s_database_is_left_alone(cli: Cli) -> None:
    """An SQLite file that is not ours is refused by name and not changed."""
    cli.sql("CREATE TABLE notes (text)")
    before = cli.db.read_bytes()
    done = cli.run("migrate")
    assert done.code == 1
    assert done.stderr.startswith(f"error: {cli.db}")
    assert cli.db.read_bytes() == before


def test_a_schema_of_postgresql_is_made_once(cli: Cli, postgres_server: SharedServer) -> None:
    """As for a file; what is printed with --sql needs no server."""
    url = postgres_server.new_database(migrated=False)
    assert f"with schema version {POSTGRES_VERSION}" in cli.here("migrate", "--db-url", url, db=False).stdout
    assert f"already has schema version {POSTGRES_VERSION}" in cli.here("migrate", "--db-url", url, db=False).stdout
    printed = cli.here(
        "migrate", "--db-url", "postgresql://nobody@127.0.0.1:1/log?schema=team_a", "--sql", db=False
    ).stdout
    assert "CREATE SCHEMA team_a" in printed
    assert f"INSERT INTO team_a.schema_version (version, name) VALUES ({POSTGRES_VERSION}, " in printed
    rest = cli.here("migrate", "--db-url", url, "--sql", "--from-version", str(POSTGRES_VERSION - 1), db=False).stdout
    assert rest.count("INSERT INTO chainlog.schema_version") == 1


def test_only_the_schema_of_postgresql_is_printed(cli: Cli) -> None:
    """A file is migrated by nobody but this package."""
    done = cli.here("migrate", "--sql")
    assert (done.code, "postgresql://" in done.stderr) == (1, True)
