"""`chainlog backup` as a process."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.support.cli import Cli, entry, invoke, jsonl, until
from tests.support.operator import beside, fill, mode_of, rows_of
from tests.support.schemas import query


def test_a_backup_beside_a_writer_is_whole(cli: Cli, filled: Path) -> None:
    """Taken while another process writes, it is one private file, has the rows up to one moment, and adds up."""
    writer = cli.start("import", "-")
    assert writer.stdin is not None
    lines = jsonl(*(entry(model=f"import {number}") for number in range(200))).encode()
    writer.stdin.write(lines)
    writer.stdin.flush()
    before = cli.rows()
    backups = [cli.folder / f"backup {number}.db" for number in range(2)]
    for number, backup in enumerate(backups):
        done = cli.run("backup", backup)
        assert done.code == 0, done.stderr
        assert done.stdout.startswith(f"copied {filled} to {backup} (")
        writer.stdin.write(lines)
        writer.stdin.flush()
        until(lambda number=number: cli.rows() >= before + 200 * number)  # type: ignore[misc]  # a lambda with a default
    _, told = writer.communicate()
    assert writer.returncode == 0, told
    rows = query(filled, "SELECT * FROM request_logs ORDER BY id")
    assert len(rows) == 2_600
    for backup in backups:
        assert mode_of(backup) == 0o600
        assert not beside(backup)
        copied = query(backup, "SELECT * FROM request_logs ORDER BY id")
        assert copied == rows[: len(copied)]
        assert len(copied) >= 2_000
        cli.db = backup
        assert invoke(cli, "check")[0] == 0


def test_a_backup_replaces_nothing_unless_it_is_told_to(cli: Cli, filled: Path) -> None:
    """An existing file is kept, with exit code 1; --force replaces it."""
    target = cli.folder / "copy.db"
    target.write_text("precious")
    done = cli.run("backup", target)
    assert (done.code, done.stderr) == (
        1,
        f"error: {target} already exists; choose another name, or replace it with --force\n",
    )
    assert target.read_text() == "precious"
    report = cli.json("backup", target, "--force")
    assert report["bytes"] == target.stat().st_size
    assert invoke(cli, "backup", str(filled), "--force")[0] == 1
    assert rows_of(filled) == 2_000


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_backup_that_is_stopped_leaves_nothing(cli: Cli, filled: Path, number: signal.Signals) -> None:
    """Ctrl-C and SIGTERM end it with a word and the signal's exit code; no part of a file is left."""
    fill(filled, 3_000, padding=10_000)
    for attempt in range(20):
        target = cli.folder / f"copy {attempt}.db"
        process = cli.start("backup", target, stdin=None)
        until(lambda: process.poll() is not None or any(cli.folder.glob(".copy*")))  # noqa: B023  # called at once
        process.send_signal(number)
        _, stderr = process.communicate()
        assert not list(cli.folder.glob(".copy*"))
        if process.returncode:
            assert process.returncode == 128 + number
            assert stderr.decode() == f"stopped by {number.name}; no backup was made, and no partial file is left\n"
            assert not target.exists()
            break
        assert target.exists()
    else:
        pytest.fail("the signal never came in time")
