"""The operator's commands as processes: check, rebuild, backup, prune, vacuum, journal, rejected."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from chainlog_async.common.clock import now_ms
from tests.support.cli import ROOT, Cli, entry, invoke, jsonl
from tests.support.entries import entry as an_entry
from tests.support.operator import T0, leave_journal, rows_of
from tests.support.schemas import query, totals_of

COMMANDS: list[tuple[str, ...]] = [
    ("check",),
    ("rebuild",),
    ("backup", "copy.db"),
    ("prune", "--keep-rows", "10", "--yes"),
    ("prune", "--keep-rows", "10", "--dry-run"),
    ("vacuum",),
    ("journal",),
    ("journal", "replay"),
    ("rejected",),
    ("rejected", "retry", "--all"),
    ("rejected", "delete", "1", "--yes"),
]


@contextmanager
def write_lock(path: Path) -> Iterator[None]:
    """Holds the write lock."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_says_how_it_ends(cli: Cli, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """The help of each has its exit codes and examples, and a missing database is an error that makes no file."""
    monkeypatch.chdir(cli.folder)
    name = command[: 2 if command[0] in ("journal", "rejected") else 1]
    code, shown = invoke(cli, *name, "--help")
    assert code == 0
    assert "Exit codes: 0 " in shown
    assert "Examples:" in shown
    missing = f"error: {cli.db} does not exist; start the service that writes it, or correct db_path\n"
    assert invoke(cli, *command) == (1, missing)
    assert list(cli.folder.iterdir()) == []


def test_a_database_of_the_original_works_with_all_of_them(
    cli: Cli, copy_of_original: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before it is migrated each says what to do and leaves it as it is; afterwards each does its work."""
    monkeypatch.chdir(cli.folder)
    cli.db = copy_of_original(2)
    before = cli.db.read_bytes()
    for command in COMMANDS:
        code, told = invoke(cli, *command)
        if command != ("journal",):
            assert code == 1
            assert "run `chainlog migrate`" in told
    assert cli.db.read_bytes() == before
    assert cli.run("migrate").code == 0
    for command in COMMANDS[:-1]:
        code, told = invoke(cli, *command)
        assert code == 0, told
    assert invoke(cli, *COMMANDS[-1])[0] == 1, "there is no rejected entry"
    assert cli.json("check")["prunedRows"] == 90
    cli.db = cli.folder / "copy.db"
    assert cli.json("check")["rows"] == 100


def test_check_finds_a_tampered_total_and_rebuild_mends_it_also_after_pruning(cli: Cli, filled: Path) -> None:
    """Found with its figures and exit code 1, mended with them, and then nothing is found any more."""
    assert invoke(cli, "prune", "--keep-rows", "600", "--yes")[0] == 0
    sound = cli.run("check")
    assert (sound.code, sound.stderr) == (0, "")
    assert "is intact, and its totals match 600 requests and 1,400 pruned ones" in sound.stdout
    totals = totals_of(filled)
    cli.sql("UPDATE usage_by_provider SET total_tokens = 42 WHERE provider_id = 'provider 1'")
    found = cli.here("check")
    assert found.code == 1
    assert "has 1 wrong number in its totals; chainlog rebuild corrects them" in found.stdout
    assert [line.split() for line in found.stdout.splitlines() if "provider 1" in line] == [
        ["usage_by_provider", "provider", "1", "total_tokens", "42", "335,000"]
    ]
    report = json.loads(cli.here("check", "--quick", "--json").stdout)
    assert report["quick"]
    assert report["differences"] == [
        {
            "table": "usage_by_provider",
            "name": "provider 1",
            "column": "total_tokens",
            "kept": 42,
            "counted": 335_000,
        }
    ]
    mended = cli.here("rebuild")
    assert mended.code == 0
    assert "corrected 1 wrong number in the totals" in mended.stdout
    assert totals_of(filled) == totals
    assert invoke(cli, "check")[0] == 0
    assert "were already correct" in invoke(cli, "rebuild")[1]


def test_check_reports_damage(cli: Cli, filled: Path) -> None:
    """A file with overwritten pages is told as damaged, with what to do and exit code 1."""
    cli.sql("PRAGMA wal_checkpoint(TRUNCATE)")
    with closing(sqlite3.connect(filled)) as connection:
        [root] = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'request_logs'").fetchone()
    with filled.open("r+b") as file:
        file.seek((root - 1) * 4096)
        file.write(b"\xa5" * 4096)
    done = cli.here("check")
    assert done.code == 1
    assert f"{filled} is damaged:" in done.stdout
    assert "replace it with a backup or a recovered file" in done.stdout
    assert invoke(cli, "backup", str(cli.folder / "copy.db"))[0] == 1
    assert not (cli.folder / "copy.db").exists()


PLAN = re.compile(
    r"deletes ([\d,]+) requests? from \S+: (\S+ \S+) to (\S+ \S+) UTC, about \S+ \w+; "
    r"([\d,]+) stay, and so do all totals"
)


def test_prune_says_what_it_did(cli: Cli, filled: Path) -> None:
    """A dry run only counts; then rows go and the file is smaller; wrong values are misuse."""
    code, would = invoke(cli, "prune", "--max-bytes", "1MB", "--keep-rows", "500", "--dry-run")
    assert code == 0
    assert would.startswith(
        f"would delete 1,500 requests from {filled}: 2026-03-01 21:20:00 to 2026-03-01 21:44:59 UTC, about 8"
    )
    assert would.endswith(" kB; 500 stay, and so do all totals\n")
    assert rows_of(filled) == 2_000
    report = cli.json("prune", "--keep-rows", "500", "--yes")
    assert (report["deleted"], report["rows"], report["freeBytes"]) == (1_500, 500, 0)
    assert (report["oldest"], report["newest"]) == (T0, T0 + 1_499_000)
    done = cli.here("prune", "--older-than", "1d", "--yes")
    assert done.code == 0
    assert done.stdout.startswith(f"deleted 500 requests from {filled}; 0 are left\nsize: ")
    plan = PLAN.fullmatch(done.stderr.strip())
    assert plan is not None, done.stderr
    assert plan.groups() == ("500", "2026-03-01 21:45:00", "2026-03-01 21:53:19", "0")
    assert cli.json("usage")["summary"] == {"totalRequests": 2_000, "waterfallRequests": 1_333, "avgLatencyMs": 250}
    for value in (
        ("--older-than", "30 days"),
        ("--older-than", "30000d"),
        ("--older-than", "9999999d"),
        ("--max-bytes", "much"),
        ("--keep-rows", "0"),
        ("--max-bytes", "0"),
    ):
        assert invoke(cli, "prune", *value)[0] == 2


def test_a_month_is_not_a_minute(cli: Cli, filled: Path) -> None:
    """1m is refused with a question, even with --yes; 1min and 1mo both work, and differ by what they delete."""
    code, told = invoke(cli, "prune", "--older-than", "1m", "--yes")
    assert code == 2
    assert told.endswith("Invalid value for '--older-than': '1m' could mean minutes or months: 1min or 1mo?\n")
    assert rows_of(filled) == 2_000
    cli.sql(f"UPDATE request_logs SET timestamp = {now_ms() - 3_600_000} WHERE id > 1900")
    assert cli.json("prune", "--older-than", "1mo", "--dry-run")["deleted"] == 1_900
    assert cli.json("prune", "--older-than", "1min", "--dry-run")["deleted"] == 2_000


def test_prune_alone_goes_by_the_settings(cli: Cli, filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a bound on the command line those of the settings hold; where there is none, that is misuse."""
    monkeypatch.setenv("CHAINLOG_RETENTION_ROWS", "700")
    assert invoke(cli, "prune", "--yes")[0] == 0
    monkeypatch.setenv("CHAINLOG_RETENTION_ROWS", "0")
    monkeypatch.setenv("CHAINLOG_RETENTION_BYTES", "0")
    code, told = invoke(cli, "prune")
    assert code == 2
    assert "give --older-than, --keep-rows or --max-bytes" in told
    assert rows_of(filled) == 700


def test_vacuum_tells_the_room_it_needs_and_what_came_of_it(
    cli: Cli, filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On stderr how much room it needs where, on stdout the sizes; another process's lock is a named error."""
    cli.sql("DELETE FROM request_logs WHERE id <= 1900")
    done = cli.run("vacuum")
    assert done.code == 0
    assert done.stderr.startswith("needs up to ")
    assert " is free\n" in done.stderr
    assert done.stdout.startswith(f"compacted {filled}: 1.")
    report = cli.json("vacuum")
    assert report["bytesAfter"] == filled.stat().st_size
    assert not report["converted"]
    monkeypatch.setenv("CHAINLOG_BUSY_TIMEOUT_MS", "50")
    with write_lock(filled):
        for command in ("vacuum", "rebuild"):
            code, told = invoke(cli, command)
            assert code == 1
            assert f"error: {filled} is locked by another process" in told


WRITER = """
import asyncio, sqlite3, sys
from chainlog_async import ChainLog, RequestLogEntry, Settings

async def main():
    async with ChainLog(Settings(db_path=sys.argv[1])) as chainlog:
        lock = sqlite3.connect(sys.argv[1], isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")
        for number in range(1_500):
            assert chainlog.log_request(RequestLogEntry(
                timestamp=1_700_000_000_000 + number, chain_name="c", provider_id="p", model=f"waits {number}",
                latency_ms=1, http_status=200,
            ))
        print("logged", flush=True)
        await asyncio.sleep(3600)

asyncio.run(main())
"""


def test_the_journal_of_a_killed_writer_is_shown_and_replayed(cli: Cli, filled: Path) -> None:
    """While it lives it is left alone; after kill -9 what it was told it had accepted is in the log, once."""
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, filled], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    try:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"logged\n"
        (alive,) = as_list(cli.json("journal")["journals"])
        assert (alive["alive"], alive["waiting"], alive["oldestWaiting"]) == (True, 1_500, 1_700_000_000_000)
        writer.kill()
        writer.wait()
    finally:
        writer.kill()
        writer.communicate()
    shown = cli.run("journal")
    (line,) = [line.split() for line in shown.stdout.splitlines() if "dead" in line]
    assert line[:2] == [alive["writerId"], "dead"]
    assert "1,500" in line
    assert "2023-11-14" in line
    replayed = cli.run("journal", "replay")
    assert replayed.code == 0
    assert replayed.stdout == f"wrote 1,500 entries from 1 journal of dead writers to {filled}\n"
    assert "1500 entries were written from its journal" in replayed.stderr
    assert invoke(cli, "journal", "replay") == (0, f"there is no journal of a dead writer beside {filled}\n")
    assert invoke(cli, "journal")[1].startswith("there is no journal in ")
    assert query(filled, "SELECT COUNT(DISTINCT model), COUNT(*) FROM request_logs WHERE model LIKE 'waits %'") == [
        (1_500, 1_500)
    ]
    assert invoke(cli, "check")[0] == 0


def test_a_journal_that_cannot_be_read_is_told(cli: Cli, filled: Path) -> None:
    """Looking and replaying both say which, with exit code 1."""
    segment = leave_journal(filled, "d" * 32, [an_entry()])
    segment.unlink()
    segment.mkdir()
    for command in (("journal",), ("journal", "replay")):
        code, told = invoke(cli, *command)
        assert code == 1
        assert "cannot be read: [Errno" in told or "stays unchanged: [Errno" in told
        assert "d" * 32 in told
    shutil.rmtree(segment)


def test_rejected_entries_are_shown_retried_and_deleted(cli: Cli, filled: Path) -> None:
    """A refused entry is listed with its reason; retry writes it once it can, delete forgets it."""
    cli.sql(
        "CREATE TRIGGER refuse BEFORE INSERT ON request_logs WHEN NEW.model LIKE 'bad%' "
        "BEGIN SELECT RAISE(ABORT, 'no such model'); END"
    )
    lines = jsonl(*(entry(model=f"bad {number}", error_message="evil \x1b[31m") for number in range(1, 6)))
    assert cli.run("import", "-", stdin=lines).code == 1
    listed = cli.here("rejected", "-n", "2")
    assert listed.code == 0
    assert "\x1b" not in listed.stdout
    assert [line.split()[0] for line in listed.stdout.splitlines()[2:]] == ["5", "4"]
    assert "no such model (SQLITE_CONSTRAINT_TRIGGER)" in listed.stdout
    (first, *_) = as_list(cli.json("rejected")["rejected"])
    assert isinstance(first["entry"], dict)
    assert first["entry"]["model"] == "bad 5"

    stays = cli.here("rejected", "retry", "3", "99")
    assert stays.code == 1
    assert stays.stderr.splitlines() == [
        "3 stays rejected: no such model (SQLITE_CONSTRAINT_TRIGGER)",
        "99 stays rejected: there is no rejected entry with that id",
    ]
    deleted = cli.here("rejected", "delete", "5", "--yes")
    assert (deleted.code, deleted.stdout) == (0, f"deleted 1 rejected entry from {filled}\n")
    assert invoke(cli, "rejected", "delete", "5", "--yes")[0] == 1
    cli.sql("DROP TRIGGER refuse")
    assert cli.json("rejected", "retry", "2")["written"] == [2]
    assert invoke(cli, "rejected", "retry", "--all") == (0, f"wrote 3 entries to {filled}\n")
    assert invoke(cli, "rejected") == (0, "there are no rejected entries\n")
    assert rows_of(filled) == 2_004
    assert invoke(cli, "check")[0] == 0


def test_options_before_a_subcommand_are_not_lost_in_silence(cli: Cli, filled: Path) -> None:
    """An option of the list before the name of a command is misuse, for the command would not see it."""
    for group, command in (("journal", "replay"), ("rejected", "retry")):
        code, told = invoke(cli, group, "--db", str(filled), command)
        assert code == 2
        assert f"--db goes after '{command}'" in told


@pytest.mark.usefixtures("filled")
def test_a_terminal_shows_progress(cli: Cli) -> None:
    """On a terminal there is a bar that is gone at the end; in a pipe there is none."""
    code, screen = cli.on_terminal("check")
    assert code == 0
    assert "━" in screen
    assert "is intact" in screen.splitlines()[-1]
    assert cli.run("check").stderr == ""


def test_the_manual_has_every_command() -> None:
    """docs/how-to/operations.md has a line for each command of this file."""
    manual = (ROOT / "docs" / "how-to" / "operations.md").read_text()
    for command in ("check", "rebuild", "backup", "prune", "vacuum", "journal", "journal replay", "rejected"):
        assert f"\n| `{command}" in manual
    for command in ("rejected retry", "rejected delete"):
        assert f"\n| `{command}" in manual


def as_list(value: object) -> list[dict[str, object]]:
    """What JSON has for a list of objects."""
    assert isinstance(value, list)
    return value
