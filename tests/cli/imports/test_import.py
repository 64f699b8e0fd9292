"""``chainlog import``: good lines are kept, bad ones told, nothing lost on the way."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
from contextlib import closing, suppress
from pathlib import Path

import anyio
import pytest

from chainlog_async.cli.imports.progress import ImportDisplay
from chainlog_async.cli.imports.run import ImportReport, ImportRun
from chainlog_async.settings import Settings
from tests.support.cli import Cli, entry, jsonl, until

BAD = (
    "not json",
    '{"chain_name": "default"}',
    json.dumps(entry(latency_ms=-1)),
    json.dumps(entry(provder_id="x")),
    "[1, 2]",
    '{"chain_name": "\udcff"}',
)


def _file(cli: Cli, content: str | bytes, name: str = "entries.jsonl") -> Path:
    path = cli.folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogateescape"))
    return path


def test_good_lines_are_kept_and_bad_ones_told(cli: Cli) -> None:
    """Each bad line is reported with file, number and reason; the good ones around it are in; the code is 1."""
    lines = [json.dumps(entry()), *BAD, json.dumps(entry())]
    done = cli.here("import", _file(cli, "\n".join(lines)))
    assert done.code == 1
    assert "imported 2 entries" in done.stdout
    assert cli.rows() == 2
    reports = done.stderr.splitlines()
    assert [line.partition("entries.jsonl:")[2].partition(":")[0] for line in reports[:-1]] == list("234567")
    assert "missing fields: provider_id, model, latency_ms, http_status" in reports[1]
    assert "latency_ms" in reports[2]
    assert "did you mean 'provider_id'" in reports[3]
    assert "jq -c '.[]'" in reports[4]
    assert reports[-1] == "skipped 6 bad lines"


def test_both_ways_to_write_a_name_are_understood(cli: Cli) -> None:
    """Entries in camelCase and in snake_case, and both in one file, are the same."""
    camel = {
        "chainName": "default",
        "providerId": "groq",
        "model": "m",
        "promptTokens": 2,
        "completionTokens": 3,
        "latencyMs": 1,
        "httpStatus": 200,
    }
    assert cli.here("import", _file(cli, jsonl(camel, entry(prompt_tokens=2, completion_tokens=3)))).code == 0
    providers = cli.json("usage", "providers")["providers"]
    assert isinstance(providers, list)
    assert [(row["totalRequests"], row["totalTokens"]) for row in providers] == [(2, 10)]


@pytest.mark.parametrize("where", ["file", "stdin"])
def test_strict_imports_nothing_when_a_line_is_bad(cli: Cli, where: str) -> None:
    """With --strict one bad line keeps everything out, and not even a database is made."""
    content = jsonl(*[entry()] * 3000) + "bad\n" + jsonl(entry())
    done = (
        cli.run("import", "--strict", "-", stdin=content)
        if where == "stdin"
        else cli.run("import", "--strict", _file(cli, content))
    )
    assert done.code == 1
    assert ":3001: " in done.stderr
    assert "nothing was imported" in done.stderr
    assert not cli.db.exists()


def test_strict_judges_every_file_before_the_first_goes_in(cli: Cli) -> None:
    """A value that cannot be stored in the last file keeps the first file out as well."""
    first = _file(cli, jsonl(entry()), "first.jsonl")
    last = _file(cli, jsonl(entry(http_status=99)), "last.jsonl")
    assert cli.here("import", "--strict", first, last).code == 1
    assert not cli.db.exists()


def test_strict_stores_what_an_import_without_it_would(cli: Cli) -> None:
    """An odd optional value is no reason to refuse a line, with --strict or without."""
    odd = _file(cli, jsonl(entry(cost_usd="unknown", error_message="cut\0")))
    assert cli.here("import", "--strict", odd).code == 0
    assert cli.here("import", odd).code == 0
    assert cli.rows() == 2


def test_strict_takes_a_pipe_that_can_be_read_only_once(cli: Cli) -> None:
    """With --strict a good pipe is read once, judged, and then imported whole."""
    done = cli.run("import", "--strict", "-", stdin=jsonl(*[entry()] * 2500))
    assert done.code == 0
    assert cli.rows() == 2500


def test_files_and_stdin_in_one_go(cli: Cli) -> None:
    """Several files and - are imported together, and the report counts them together."""
    done = cli.run(
        "import", _file(cli, jsonl(entry()), "a"), "-", _file(cli, jsonl(entry()), "b"), stdin=jsonl(entry())
    )
    assert done.code == 0
    assert "imported 3 entries" in done.stdout


def test_json_is_one_document(cli: Cli) -> None:
    """With --json stdout is one JSON object with counts, rate and the first bad lines."""
    done = cli.here("import", "--json", _file(cli, jsonl(entry()) + "bad\n"))
    report = json.loads(done.stdout)
    assert done.code == 1
    assert list(report) == [
        "database",
        "imported",
        "duplicates",
        "bad",
        "unreadFiles",
        "refused",
        "unstored",
        "waiting",
        "replayed",
        "seconds",
        "rowsPerSecond",
        "interrupted",
        "stoppedAfter",
        "error",
        "badLines",
    ]
    assert (report["imported"], report["bad"], report["interrupted"]) == (1, 1, None)
    (bad,) = report["badLines"]
    assert (bad["file"], bad["line"]) == (str(cli.folder / "entries.jsonl"), 2)
    assert "not JSON" in bad["error"]
    assert (bad["count"], bad["lines"]) == (1, [2])


def test_a_flood_of_errors_is_cut(cli: Cli) -> None:
    """Only the first errors are printed, then how many more bad lines there were; all are counted."""
    done = cli.here("import", "--show-bad", "3", _file(cli, jsonl(*({f"a{'b' * n}": 1} for n in range(1000)))))
    reports = done.stderr.splitlines()
    assert [line.partition(" unknown field")[0].rpartition("entries.jsonl")[2] for line in reports[:3]] == [
        ":1:",
        ":2:",
        ":3:",
    ]
    assert reports[-2:] == ["and 997 more bad lines (--show-bad N shows more)", "skipped 1,000 bad lines"]


def test_an_error_that_repeats_is_one_line(cli: Cli) -> None:
    """Lines with the same error, whatever the value that is wrong, are one line with their number and the first."""
    bad = [entry(latency_ms=f"x{number}") for number in range(1000)]
    done = cli.here("import", _file(cli, jsonl(entry(), *bad) + "{}\n"))
    assert done.stderr.splitlines() == [
        f"{cli.folder / 'entries.jsonl'}:2: latency_ms is 'x0'; give a number (1,000 lines: 2, 3, 4, 5, 6, …)",
        f"{cli.folder / 'entries.jsonl'}:1002: missing fields: chain_name, provider_id, model, latency_ms, http_status",
        "skipped 1,001 bad lines",
    ]
    (many, one) = json.loads(cli.here("import", "--json", _file(cli, jsonl(*bad[:20]) + "{}\n")).stdout)["badLines"]
    assert (many["line"], many["count"], many["lines"]) == (1, 20, [1, 2, 3, 4, 5])
    assert (one["line"], one["count"]) == (21, 1)


def test_one_file_that_fits_not_at_all_says_what_to_do(cli: Cli) -> None:
    """JSON lines or CSV of another shape name --map and the names in the file; one good line, and there is none."""
    other = {"vendor": "groq", "seconds": 1.5}
    for content in (jsonl(*[other] * 40), "vendor,seconds\n" + "groq,1.5\n" * 40):
        done = cli.here("import", _file(cli, content))
        assert done.code == 1
        assert "--map NAME=provider_id; the file's names are vendor, seconds\n" in done.stderr
        assert len(done.stderr.splitlines()) == 3
    assert "--map" not in cli.here("import", _file(cli, jsonl(*[other] * 40, entry()))).stderr
    assert "check --map" in cli.here("import", "--map", "vendr=provider_id", _file(cli, jsonl(other))).stderr


def test_a_small_queue_of_the_service_costs_no_entry(cli: Cli) -> None:
    """The settings of the service's queue, however small and forgetful, do not lose an import's entries."""
    config = _file(cli, "settings: {max_queue_size: 5, max_queue_bytes: 65536, on_full: drop_oldest}", "c.yaml")
    assert cli.here("import", "--config", config, _file(cli, jsonl(*[entry()] * 5000))).code == 0
    assert cli.rows() == 5000


def test_a_full_queue_is_waited_for(tmp_path: Path) -> None:
    """When the queue is full the import waits for the writer instead of leaving the entry out."""
    path = tmp_path / "entries.jsonl"
    path.write_text(jsonl(*[entry()] * 500))
    settings = Settings(db_path=tmp_path / "o.db", max_queue_size=3)
    display = ImportDisplay([str(path)], show_bad=5)

    async def run() -> ImportReport:
        return await ImportRun([str(path)], settings, display).run(strict=False)

    report = anyio.run(run)
    assert (report.imported, report.bad, report.refused) == (500, 0, 0)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_stops_the_reading_and_keeps_what_was_read(cli: Cli, number: signal.Signals, code: int) -> None:
    """SIGINT and SIGTERM end an import after a line that is named; all before it is committed."""
    process = cli.start("import", "-")
    assert process.stdin is not None
    process.stdin.write(jsonl(*[entry()] * 1000).encode())
    process.stdin.flush()
    until(lambda: cli.rows() == 1000)
    process.send_signal(number)
    stdout, stderr = process.communicate()
    assert process.returncode == code
    assert b"imported 1,000 entries" in stdout
    assert f"stopped by {number.name} after stdin:1000" in stderr.decode()
    assert cli.rows() == 1000


def test_a_locked_database_is_waited_for_until_told_twice(cli: Cli) -> None:
    """While another process holds the lock an import waits; a second signal ends it, and says what is not written."""
    (cli.folder / "config.yaml").write_text("settings: {busy_timeout_ms: 10, shutdown_timeout_ms: 50}\n")
    cli.store()
    with closing(sqlite3.connect(cli.db, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        process = cli.start("import", _file(cli, jsonl(*[entry()] * 10)))
        assert process.stderr is not None
        assert b"database is locked" in process.stderr.readline()
        # Two that come at once may be one to the process, so there is a pause, and another if need be.
        while process.poll() is None:
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(3)
        stdout, stderr = process.communicate()
    assert process.returncode == 130
    assert b"imported 0 entries" in stdout
    assert b"error: could not write 10 entries yet" in stderr
    done = cli.here("import", _file(cli, jsonl(entry())))
    assert "also wrote 10 entries" in done.stderr
    assert cli.rows() == 11


def test_no_progress_bar_without_a_terminal(cli: Cli) -> None:
    """Into a pipe an import writes one line on stdout and nothing on stderr."""
    done = cli.here("import", _file(cli, jsonl(*[entry()] * 2000)))
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 1


def test_a_progress_bar_on_a_terminal(cli: Cli) -> None:
    """On a terminal a bar is shown while it lasts, and bad lines still come out whole."""
    code, screen = cli.on_terminal("import", _file(cli, "bad\n" + jsonl(*[entry()] * 2000)), columns=200)
    assert code == 1
    assert "importing" in screen
    assert "entries.jsonl:1: not JSON" in screen


def test_a_provider_cannot_write_to_the_terminal_through_a_bad_line(cli: Cli) -> None:
    """Control characters in a bad line's reason and in a file's name are shown as escapes."""
    done = cli.here("import", _file(cli, '{"\\u001b[2J\\u009bm": 1}', "evil\x1b[31m.jsonl"))
    assert done.code == 1
    assert "\x1b" not in done.stderr
    assert "\x9b" not in done.stderr
    assert "evil\\x1b[31m.jsonl:1: unknown field" in done.stderr


def test_a_database_that_cannot_be_used_is_told_without_a_traceback(cli: Cli) -> None:
    """A file that is no database is refused by name, and stays as it is."""
    cli.db.write_bytes(b"these are my notes, not a database " * 100)
    done = cli.here("import", _file(cli, jsonl(entry())))
    assert done.code == 1
    assert done.stderr.startswith("error: ")
    assert str(cli.db) in done.stderr
    assert "Traceback" not in done.stderr
    assert cli.db.read_bytes().startswith(b"these are my notes")


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ([], "Missing argument"),
        (["nowhere.jsonl"], "does not exist"),
        (["."], "is a directory"),
        (["-", "-"], "only once"),
    ],
)
def test_misuse_ends_with_2(cli: Cli, args: list[str], says: str) -> None:
    """No file, a missing one, a folder, or stdin given twice is a usage error."""
    done = cli.here("import", *args)
    assert done.code == 2
    assert says in done.stderr


def test_an_odd_value_in_a_line_is_repaired_and_told(cli: Cli) -> None:
    """Half an emoji, in any text, costs no line; the report and the row name the field."""
    odd = json.dumps(entry(model="M", error_message="M", metadata={"a": "M"})).replace('"M"', r'"cut \ud83d"')
    done = cli.here("import", _file(cli, odd + "\n" + json.dumps(entry()) + "\n"))
    assert (done.code, "skipped" in done.stderr) == (0, False)
    assert "cut, replaced or left out: model (1), error_message (1), metadata (1)" in done.stdout
    with closing(sqlite3.connect(cli.db)) as connection:
        (row, _) = connection.execute("SELECT model, error_message, metadata FROM request_logs ORDER BY id").fetchall()
    assert row[:2] == ("cut \N{REPLACEMENT CHARACTER}",) * 2
    assert json.loads(row[2]) == {
        "a": "cut \N{REPLACEMENT CHARACTER}",
        "chainlog_repaired": ["model", "error_message", "metadata"],
    }


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e400"])
def test_a_number_that_json_does_not_have_costs_no_line(cli: Cli, number: str) -> None:
    """NaN, which is how pandas writes nothing, is nothing; what else cannot be stored is named in the row."""
    odd = json.dumps(entry(cost_usd="ODD", latency_ms=1.5)).replace('"ODD"', number)
    bad = json.dumps(entry(latency_ms="ODD")).replace('"ODD"', number)
    done = cli.here("import", _file(cli, f"{odd}\n{bad}\n"))
    assert done.code == 1
    assert "latency_ms" in done.stderr
    assert "skipped 1 bad line\n" in done.stderr
    with closing(sqlite3.connect(cli.db)) as connection:
        ((cost, metadata),) = connection.execute("SELECT cost_usd, metadata FROM request_logs").fetchall()
    assert cost is None
    assert metadata == (None if number == "NaN" else '{"chainlog_repaired":["cost_usd"]}')
