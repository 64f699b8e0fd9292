"""What cannot be undone: it is said first what will go, then asked for on a terminal; elsewhere --yes is needed."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
from pathlib import Path

import anyio
import pytest

from chainlog_async.common.clock import now_ms
from tests.support.cli import ANSI, Cli, entry
from tests.support.operator import fill, migrate, rows_of
from tests.support.schemas import query

KEEP = ("prune", "--keep-rows", "500")
WHAT_GOES = "deletes 1,500 requests from {}: 2026-03-01 21:20:00 to 2026-03-01 21:44:59 UTC, about "
NO_TERMINAL = "Nothing was deleted: there is no terminal to ask on. Give --yes to delete it.\n"


@pytest.fixture
def filled(cli: Cli) -> Path:
    """A database with two thousand rows."""
    anyio.run(migrate, cli.db)
    fill(cli.db, 2_000, padding=500)
    return cli.db


@pytest.fixture
def refused(cli: Cli, filled: Path) -> Path:
    """A database with three rejected entries."""
    cli.sql("CREATE TRIGGER refuse BEFORE INSERT ON request_logs BEGIN SELECT RAISE(ABORT, 'no') ; END")
    cli.store(*[entry()] * 3)
    cli.sql("UPDATE rejected_entries SET rejected_at = 1700000000000 + id")
    return filled


def on_screen(written: str) -> str:
    """The text on a terminal without its colours, on one line."""
    return " ".join(ANSI.sub("", written).split())


def rejected_ids(path: Path) -> list[object]:
    """The ids of the rejected entries."""
    return [number for (number,) in query(path, "SELECT id FROM rejected_entries ORDER BY id")]


def test_prune_without_a_terminal_needs_yes(cli: Cli, filled: Path) -> None:
    """In a pipe it says what would go, deletes nothing and ends with 2; with --yes it says so and does it."""
    refused = cli.run(*KEEP, stdin="y\n")
    assert refused.code == 2
    assert refused.stderr.startswith(WHAT_GOES.format(filled))
    assert refused.stderr.endswith(NO_TERMINAL)
    assert refused.stdout == ""
    assert rows_of(filled) == 2_000
    done = cli.here(*KEEP, "--yes", "--json")
    assert (done.code, json.loads(done.stdout)["deleted"]) == (0, 1_500)
    assert done.stderr.startswith(WHAT_GOES.format(filled))
    assert rows_of(filled) == 500


def test_prune_without_a_terminal_fails_also_when_nothing_goes(cli: Cli, filled: Path) -> None:
    """A script without --yes fails the first time, not on the day when something has to go."""
    refused = cli.here("prune", "--keep-rows", "5000")
    assert (refused.code, refused.stderr.endswith(NO_TERMINAL)) == (2, True)
    code, screen = cli.on_terminal("prune", "--keep-rows", "5000", answer=b"n\n", columns=200)
    assert code == 0
    assert f"deletes no request from {filled}; 2,000 stay" in on_screen(screen)
    assert "[y/N]" not in screen


@pytest.mark.parametrize("answer", [b"n\n", b"\n", b"\x04", b"what\nn\n", signal.SIGINT], ids=repr)
def test_prune_asks_on_a_terminal_and_takes_only_yes_for_yes(
    cli: Cli, filled: Path, answer: bytes | signal.Signals
) -> None:
    """No, Enter, the end of the input and Ctrl-C delete nothing, and end with 1."""
    code, screen = cli.on_terminal(*KEEP, answer=answer, columns=200)
    assert code == 1, screen
    assert WHAT_GOES.format(filled) in on_screen(screen)
    assert "Delete 1,500 requests? [y/N]: " in screen
    assert on_screen(screen).endswith("nothing was deleted")
    assert rows_of(filled) == 2_000


def test_prune_deletes_when_it_is_told_yes(cli: Cli, filled: Path) -> None:
    """The answer y is enough; with --yes there is no question."""
    code, screen = cli.on_terminal(*KEEP, answer=b"y\n", columns=200)
    assert code == 0
    assert f"deleted 1,500 requests from {filled}; 500 are left" in on_screen(screen)
    assert rows_of(filled) == 500
    code, screen = cli.on_terminal("prune", "--keep-rows", "400", "--yes", answer=b"n\n", columns=200)
    assert (code, rows_of(filled)) == (0, 400)
    assert "[y/N]" not in screen


def test_a_question_needs_a_terminal_to_be_read_and_answered_on(cli: Cli, filled: Path) -> None:
    """A terminal that is only read, or only written to, is none: yes | chainlog prune deletes nothing."""
    code, screen = cli.on_terminal(*KEEP, columns=200)
    assert (code, rows_of(filled)) == (2, 2_000)
    assert on_screen(screen).endswith(NO_TERMINAL.strip())
    ours, theirs = pty.openpty()
    try:
        done = subprocess.run(cli.command(*KEEP), stdin=theirs, capture_output=True, check=False, cwd=cli.folder)
    finally:
        os.close(ours)
        os.close(theirs)
    assert (done.returncode, rows_of(filled)) == (2, 2_000)
    assert done.stderr.decode().endswith(NO_TERMINAL)


def test_what_waits_for_an_answer_goes_by_the_time_of_the_question(cli: Cli, filled: Path) -> None:
    """Requests that become too old while the question waits stay: they were not in what was said."""

    def answer() -> bytes:
        cli.sql(f"UPDATE request_logs SET timestamp = {now_ms() - 3_600_000} WHERE id = 2000")
        return b"y\n"

    cli.sql("UPDATE request_logs SET timestamp = timestamp + 9000000000000 WHERE id = 2000")
    code, screen = cli.on_terminal("prune", "--older-than", "1h", answer=answer, columns=200)
    assert code == 0
    assert "Delete 1,999 requests?" in screen
    assert rows_of(filled) == 1


def test_rejected_delete_says_what_goes_and_asks(cli: Cli, refused: Path) -> None:
    """How many, from when and how large; only yes deletes them, and without a terminal --yes is needed."""
    told = rf"deletes 2 rejected entries from {refused}: rejected from 2023-11-14 22:13:20 to 2023-11-14 22:13:20 UTC, "
    done = cli.here("rejected", "delete", "1", "3", "77", stdin="y\n")
    assert done.code == 2
    assert re.match(re.escape(told) + r"[\d.]+ (bytes|kB)\n", done.stderr), done.stderr
    assert done.stderr.endswith(NO_TERMINAL)
    code, screen = cli.on_terminal("rejected", "delete", "1", "3", answer=b"n\n", columns=300)
    assert code == 1
    assert "Delete 2 rejected entries permanently? [y/N]: " in screen
    assert rejected_ids(refused) == [1, 2, 3]
    code, screen = cli.on_terminal("rejected", "delete", "1", "3", answer=b"y\n", columns=300)
    assert (code, rejected_ids(refused)) == (0, [2])
    missing = cli.here("rejected", "delete", "2", "77", "--yes")
    assert (missing.code, rejected_ids(refused)) == (1, [])
    assert missing.stderr.endswith("there is no rejected entry 77\n")


@pytest.mark.parametrize("command", ["backup", "export"])
def test_a_file_is_replaced_only_when_that_is_wanted(cli: Cli, filled: Path, command: str) -> None:
    """Its size and age are said first; a terminal is asked, elsewhere --force or --yes is needed."""
    target = cli.folder / "there.csv"
    target.write_text("precious")
    os.utime(target, (1_700_000_000, 1_700_000_000))
    told = f"replaces {target}: 8 bytes, last changed 2023-11-14 22:13:20 UTC"
    done = cli.run(command, target, stdin="y\n")
    assert (done.code, target.read_text()) == (1, "precious")
    assert "replace it with --force" in done.stderr
    code, screen = cli.on_terminal(command, target, answer=b"n\n", columns=300)
    assert (code, target.read_text()) == (1, "precious")
    assert told in on_screen(screen)
    assert on_screen(screen).endswith("Replace it? [y/N]: n nothing was replaced")
    code, _ = cli.on_terminal(command, target, answer=b"y\n", columns=300)
    assert (code, target.read_bytes()[:8] != b"precious") == (0, True)
    for option in ("--force", "--yes"):
        target.write_text("precious")
        done = cli.here(command, target, option)
        assert done.code == 0, done.stderr
        assert done.stderr.startswith(f"replaces {target}: 8 bytes, last changed ")
        assert target.read_bytes()[:8] != b"precious"
    assert rows_of(filled) == 2_000
