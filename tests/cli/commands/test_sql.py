"""``chainlog sql``: reads whatever is asked, and changes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.cli import Cli, entry


@pytest.fixture
def log(cli: Cli) -> Cli:
    """A log of three requests."""
    cli.store(entry(), entry(model="b"), entry(caller="a\x1bb"))
    return cli


def test_rows_are_a_table_or_json(log: Cli) -> None:
    """Columns have the names of the statement; NULL is not an empty text, and nothing controls the terminal."""
    done = log.run("sql", "SELECT id, model, caller FROM request_logs ORDER BY id")
    assert [line.split() for line in done.stdout.splitlines()[:1]] == [["id", "model", "caller"]]
    assert done.stdout.splitlines()[3].split() == ["2", "b", "NULL"]
    assert "a\\x1bb" in done.stdout
    done = log.here("sql", "--json", "-", stdin="SELECT model, COUNT(*) AS n FROM request_logs GROUP BY 1")
    assert json.loads(done.stdout) == [{"model": "b", "n": 1}, {"model": "llama-3.1-8b-instant", "n": 2}]


def test_what_is_left_out_is_said(log: Cli) -> None:
    """More rows than the limit are cut, with a line on stderr."""
    done = log.here("sql", "--limit", "2", "SELECT id FROM request_logs")
    assert (len(done.stdout.splitlines()), done.code) == (4, 0)
    assert "there are more than 2 rows" in done.stderr


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM request_logs",
        "INSERT INTO usage_summary VALUES (2, 0, 0, 0)",
        "DROP TABLE request_logs",
        "CREATE TEMP TABLE t (a)",
        "ATTACH 'other.db' AS other",
        "VACUUM INTO 'copy.db'",
        "PRAGMA journal_mode = DELETE",
        "PRAGMA query_only = OFF",
        "SELECT load_extension('x')",
        "SELECT 1; DELETE FROM request_logs",
    ],
)
def test_only_reading_is_possible(log: Cli, tmp_path: Path, statement: str) -> None:
    """Whatever else a statement would do is refused, and no file appears."""
    done = log.here("sql", statement)
    assert (done.code, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ")
    left = log.here("sql", "--json", "SELECT COUNT(*) AS n FROM request_logs")
    assert json.loads(left.stdout) == [{"n": 3}]
    assert not (tmp_path / "copy.db").exists()
    assert not (tmp_path / "other.db").exists()


def test_a_mistake_is_told_in_sqlites_words(log: Cli) -> None:
    """A column that is not there is named."""
    assert "no such column: nope" in log.here("sql", "SELECT nope FROM request_logs").stderr


def test_a_statement_without_an_end_is_interrupted(log: Cli) -> None:
    """After the time limit the command ends with 1 and says so."""
    endless = "WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT COUNT(*) FROM c"
    done = log.here("sql", "--timeout", "100ms", endless)
    assert (done.code, "took longer than 0.1 s" in done.stderr) == (1, True)
