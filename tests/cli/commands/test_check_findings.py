"""What check, rebuild and prune say of what they cannot list, mend or make room for."""

from __future__ import annotations

import json
from pathlib import Path

import anyio
import pytest

from tests.support.cli import Cli
from tests.support.operator import fill, migrate
from tests.support.schemas import query


@pytest.fixture
def filled(cli: Cli) -> Path:
    """A database with two thousand rows in as many buckets."""
    anyio.run(migrate, cli.db)
    fill(cli.db, 2_000)
    return cli.db


@pytest.mark.usefixtures("filled")
def test_what_a_rebuild_cannot_mend_is_told(cli: Cli) -> None:
    """Old buckets, whose requests are pruned, stay as they are: with their figures, and exit code 1."""
    assert cli.here("prune", "--keep-rows", "600", "--yes").code == 0
    cli.sql("UPDATE usage_buckets SET requests = requests + 1 WHERE start = (SELECT MIN(start) FROM usage_buckets)")
    assert cli.here("check").code == 1
    rebuilt = cli.here("rebuild")
    assert rebuilt.code == 1
    assert "left unchanged, because the requests that were counted are pruned" in rebuilt.stdout
    assert "UTC, provider provider 1" in rebuilt.stdout
    assert json.loads(cli.here("rebuild", "--json").stdout)["left"]


def test_more_than_people_read_is_counted(cli: Cli, filled: Path) -> None:
    """After a hundred lines there is but the number of the others."""
    lines = len(query(filled, "SELECT * FROM usage_buckets"))
    cli.sql("UPDATE usage_buckets SET errors = errors + 1")
    told = cli.here("check").stdout
    assert f"has {lines:,} wrong numbers" in told
    assert f"and {lines - 100:,} more" in told
    assert f"corrected {lines:,} wrong numbers in the totals" in cli.here("rebuild").stdout


def test_a_size_that_cannot_be_met_is_told(cli: Cli, filled: Path) -> None:
    """Where most of the file is no request, prune says why it is larger than was asked for."""
    assert query(filled, "SELECT COUNT(*) FROM request_logs") == [(2_000,)]
    for how in ("--dry-run", "--yes"):
        told = cli.here("prune", "--max-bytes", "300000", how)
        assert told.code == 0
        assert "fewer distinct callers and models" in told.stdout
    assert query(filled, "SELECT COUNT(*) > 0 FROM request_logs") == [(1,)]
