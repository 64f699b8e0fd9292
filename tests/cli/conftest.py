"""A folder of its own for every test of the command line, and processes that end with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from tests.support.cli import Cli
from tests.support.operator import fill, migrate


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[Cli]:
    """Runs `chainlog` as a process in an empty folder."""
    runner = Cli(tmp_path)
    yield runner
    runner.end()


@pytest.fixture
def filled(cli: Cli) -> Path:
    """A database with two thousand long rows."""
    anyio.run(migrate, cli.db)
    fill(cli.db, 2_000, padding=500)
    return cli.db
