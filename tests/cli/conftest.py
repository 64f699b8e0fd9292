"""A folder of its own for every test of the command line, and processes that end with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli import Cli


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[Cli]:
    """Runs `chainlog` as a process in an empty folder."""
    runner = Cli(tmp_path)
    yield runner
    runner.end()
