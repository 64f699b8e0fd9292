"""``chainlog migrate``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from chainlog_async.storage.sqlite.migration_steps import latest_version
from tests.support.cli import Cli


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
