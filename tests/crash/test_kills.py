"""A small torture: writers killed at random moments lose and double nothing. `make torture` is the large one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.effort import tries

ROOT = Path(__file__).resolve().parents[2]


def torture(folder: Path, *arguments: str) -> str:
    """Runs it in a process of its own, which has no threads and can fork."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.crash.torture", "--folder", folder, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "scenario",
    [
        "under load",
        "starting",
        "shutting down",
        "migrating",
        "replaying",
        "rotating",
        "pruning",
        "four writers",
        "shipping",
    ],
)
def test_killed_writers_lose_and_double_nothing(tmp_path: Path, scenario: str) -> None:
    """Whenever the kill lands, the next start has every accepted entry once, and totals that equal the rows."""
    output = torture(tmp_path, "--kills", str(tries(5)), "--soak-s", "0", "--only", scenario)
    assert "BROKEN" not in output


def test_a_short_soak_keeps_the_books(tmp_path: Path) -> None:
    """After locks, a full disk, an unwritable journal and kills, all at random, the accounting law holds."""
    assert "law kept" in torture(tmp_path, "--kills", "0", "--soak-s", str(tries(4)))
