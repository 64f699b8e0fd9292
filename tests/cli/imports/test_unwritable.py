"""An import into a database that cannot be written ends with the reason, and one into a mistyped place asks first."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.cli import Cli, entry, jsonl, until
from tests.support.faults import immutable


def _entries(cli: Cli, count: int = 10) -> str:
    (cli.folder / "entries.jsonl").write_text(jsonl(*[entry()] * count))
    return "entries.jsonl"


@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_database_that_is_read_only_ends_an_import_at_once(cli: Cli, what: str) -> None:
    """With the file or its folder read-only the reason is told, the code is 1, and nothing waits in a journal."""
    given = _entries(cli)
    cli.db = cli.folder / "kept" / "observability.db"
    cli.db.parent.mkdir()
    cli.store(entry())
    cli.db.chmod(0o444)
    if what == "folder":
        cli.db.parent.chmod(0o555)
    try:
        done = cli.bound("import", given)
    finally:
        cli.db.parent.chmod(0o755)
    assert (done.code, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(f"error: {cli.db} cannot be")
    assert "attempt to write a readonly database" in done.stderr
    assert list(cli.db.parent.rglob("*.jsonl")) == []
    assert cli.rows() == 1


def test_a_database_that_becomes_read_only_ends_an_import(cli: Cli) -> None:
    """What was written before stays, the reason and the last line are told, and what is in the journal is counted."""
    (cli.folder / "config.yaml").write_text("settings: {shutdown_timeout_ms: 50}\n")
    process = cli.start("import", "-")
    assert process.stdin is not None
    process.stdin.write(jsonl(entry()).encode())
    process.stdin.flush()
    until(lambda: cli.rows() == 1)
    with immutable(cli.db), immutable(Path(f"{cli.db}-wal")):
        stdout, stderr = process.communicate(jsonl(entry()).encode(), timeout=30)
    assert process.returncode == 1
    assert b"imported 1 entry" in stdout
    assert f"error: the import ended after stdin:2: {cli.db} cannot be written:" in stderr.decode()
    assert b"could not write 1 entry yet" in stderr


def test_rows_of_an_export_wait_for_a_lock_too(cli: Cli) -> None:
    """While another process holds the lock, the rows of an export are not lost, and none is stored twice."""
    cli.store(*[entry(request_id=str(number)) for number in range(20)])
    assert cli.here("export", "all.jsonl").code == 0
    cli.sql("DELETE FROM request_logs WHERE id > 10")
    with closing(sqlite3.connect(cli.db, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        process = cli.start("import", "all.jsonl")
        assert process.stderr is not None
        assert b"database is locked" in process.stderr.readline()
    stdout, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert b"imported 10 entries" in stdout
    assert b"left out 10 rows" in stdout
    assert cli.rows() == 20


def test_a_missing_folder_is_not_made_unasked(cli: Cli) -> None:
    """Where nobody can be asked, a --db in a folder that does not exist is refused, and nothing is made."""
    given = _entries(cli)
    cli.db = cli.folder / "typo" / "deep" / "x.db"
    for done in (cli.run("import", given), cli.run("import", "-", stdin=jsonl(entry()))):
        assert done.code == 2
        assert str(cli.db.parent) in done.stderr
        assert "--yes" in done.stderr
        assert not (cli.folder / "typo").exists()
    assert cli.run("import", "--yes", given).code == 0
    assert cli.rows() == 10


@pytest.mark.parametrize(("answer", "code", "rows"), [(b"y\n", 0, 10), (b"n\n", 1, 0)])
def test_on_a_terminal_a_missing_folder_is_asked_for(cli: Cli, answer: bytes, code: int, rows: int) -> None:
    """The question names the folder; with no, it is not made."""
    given = _entries(cli)
    cli.db = cli.folder / "typo" / "deep" / "x.db"
    ended, screen = cli.on_terminal("import", given, columns=300, answer=answer)
    assert ended == code
    assert f"The folder {cli.db.parent} does not exist. Make it? [y/N]" in screen
    assert cli.rows() == rows
    assert (cli.folder / "typo").exists() is (code == 0)


def test_the_folder_of_the_settings_is_made(cli: Cli) -> None:
    """A path of the settings, as the default ./data, is no slip of the moment: its folder is made."""
    assert cli.run("import", _entries(cli), db=False).code == 0
    assert (cli.folder / "data" / "observability.db").exists()
