"""``chainlog usage`` and ``chainlog recent``: true to the database, harmless to the terminal."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.cells import cell_len

from tests.support.cli import ANSI, HOSTILE, HOSTILE_SHOWN, Cli, entry


def test_usage_for_machines(cli: Cli) -> None:
    """With --json usage is one object: the summary, and providers and chains, last used first."""
    cli.store(
        entry(provider_id="groq", timestamp=2_000, attempts=3, latency_ms=100),
        entry(provider_id="azure", timestamp=1_000, total_tokens=5, latency_ms=101),
    )
    usage = cli.json("usage")
    assert list(usage) == ["summary", "providers", "chains"]
    assert usage["summary"] == {"totalRequests": 2, "waterfallRequests": 1, "avgLatencyMs": 101}
    assert usage["providers"] == [
        {
            "providerId": name,
            "totalRequests": 1,
            "totalTokens": tokens,
            "totalPromptTokens": 1200,
            "totalCompletionTokens": 34,
            "lastRequestTimestamp": last,
            "totalCostUsd": 0.0,
        }
        for name, tokens, last in (("groq", 1234, 2_000), ("azure", 5, 1_000))
    ]
    assert list(cli.json("usage", "providers")) == ["providers"]
    assert list(cli.json("usage", "chains")) == ["chains"]


def test_usage_for_people(cli: Cli) -> None:
    """The table has thousands separators, numbers on the right, the last use in UTC and how long ago that was."""
    cli.store(*[entry(prompt_tokens=1_000_000, cost_usd=0.25)] * 2, entry(provider_id="azure"))
    lines = cli.run("usage", "providers").stdout.splitlines()
    assert lines[0].split() == [
        "provider",
        "requests",
        "tokens",
        "prompt",
        "completion",
        "cost",
        "last",
        "used",
        "(UTC)",
    ]
    groq = next(line for line in lines if line.startswith("groq"))
    assert re.fullmatch(r"groq +2  2,000,068  2,000,000 +68  \$0\.5000  2023-11-14 22:13:20  [\d,]+ d ago", groq)
    assert lines[0].index("tokens") + len("tokens") == groq.index("2,000,068") + len("2,000,068")


def test_an_empty_database_is_no_error(cli: Cli) -> None:
    """A new database has zeros for machines and a sentence for people."""
    cli.store()
    assert cli.json("usage")["summary"] == {"totalRequests": 0, "waterfallRequests": 0, "avgLatencyMs": 0}
    assert "no provider has been used yet" in cli.here("usage").stdout
    assert cli.json("recent") == {"requests": []}
    assert "no request has been logged yet" in cli.here("recent").stdout


def test_recent_is_newest_first(cli: Cli) -> None:
    """The rows are those of the service's JSON, newest first, as many as asked for."""
    cli.store(*[entry(timestamp=number, model=f"m{number}") for number in (3_000, 1_000, 2_000)])
    rows = cli.json("recent", "-n", "2")["requests"]
    assert isinstance(rows, list)
    assert [row["model"] for row in rows] == ["m3000", "m2000"]
    assert list(rows[0]) == [
        "id",
        "timestamp",
        "chainName",
        "providerId",
        "model",
        "promptTokens",
        "completionTokens",
        "totalTokens",
        "latencyMs",
        "httpStatus",
        "attempts",
        "errorMessage",
        "requestId",
        "caller",
        "ttftMs",
        "costUsd",
        "streamed",
        "cachedTokens",
        "metadata",
        "attemptTrail",
        "cacheWriteTokens",
        "cacheWrite1hTokens",
        "reasoningTokens",
        "promptAudioTokens",
        "completionAudioTokens",
        "finishReason",
        "serviceTier",
        "responseId",
        "sessionId",
        "tags",
        "costSource",
    ]
    assert cli.json("recent", "-n", "0") == {"requests": []}


@pytest.mark.parametrize("command", [["usage"], ["recent"], ["recent", "--follow"]])
def test_a_missing_database_is_told_and_not_made(cli: Cli, command: list[str]) -> None:
    """A reader of a missing file says so with the remedy, ends with 1, and does not make the file."""
    done = cli.here(*command)
    assert done.code == 1
    assert done.stderr.startswith(f"error: {cli.db} does not exist")
    assert "Traceback" not in done.stderr
    assert not cli.db.exists()


@pytest.mark.parametrize("command", [["usage"], ["recent"]])
def test_hostile_text_cannot_drive_the_terminal(cli: Cli, command: list[str]) -> None:
    """Control characters, markup and line ends in names and errors are shown as plain text on one line."""
    cli.store(entry(provider_id=HOSTILE, chain_name=HOSTILE, model=HOSTILE, error_message=HOSTILE))
    done = cli.run(*command)
    assert HOSTILE_SHOWN in done.stdout
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", done.stdout)
    _, screen = cli.on_terminal(*command, columns=500)
    assert HOSTILE_SHOWN in screen
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", ANSI.sub("", screen))


@pytest.mark.parametrize("command", [["usage", "providers"], ["recent"]])
def test_hostile_text_in_json_is_escaped_and_the_same(cli: Cli, command: list[str]) -> None:
    """JSON holds the text unchanged, with every control character written as an escape."""
    cli.store(entry(provider_id=HOSTILE))
    done = cli.here(*command, "--json")
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", done.stdout)
    (row,) = next(iter(json.loads(done.stdout).values()))
    assert row["providerId"] == HOSTILE


@pytest.mark.parametrize("columns", [60, 80, 200])
@pytest.mark.parametrize("command", [["usage"], ["recent"]])
def test_a_row_fits_the_terminal(cli: Cli, command: list[str], columns: int) -> None:
    """On a terminal a row takes one line, however long its texts; wide characters count as two."""
    cli.store(entry(provider_id="日本語" * 30, error_message="very long " * 100), entry(model="m" * 200))
    code, screen = cli.on_terminal(*command, columns=columns)
    assert code == 0
    lines = ANSI.sub("", screen).splitlines()
    assert "日本" in screen
    assert max(map(cell_len, lines)) <= columns
    if command == ["recent"]:
        assert len(lines) == 4


def test_a_pipe_gets_every_character(cli: Cli) -> None:
    """Into a pipe nothing is cut, however long, and no colour is written."""
    text = "long " * 500 + "end"
    cli.store(entry(error_message=text, http_status=500))
    done = cli.run("recent", env={"COLUMNS": "40"})
    assert text in done.stdout
    assert "\x1b" not in done.stdout


def test_colour_only_where_it_is_wanted(cli: Cli) -> None:
    """A status is coloured on a terminal, and not when NO_COLOR is set."""
    cli.store(entry(http_status=503))
    assert "\x1b[31m503" in cli.on_terminal("recent")[1]
    cli.set("NO_COLOR", "1")
    assert "\x1b[31m" not in cli.on_terminal("recent")[1]


def test_a_reader_that_leaves_ends_it_quietly(cli: Cli) -> None:
    """`chainlog recent | head -1` prints no traceback and no message."""
    cli.store(*[entry()] * 2000)
    process = cli.start("recent", "-n", "2000")
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    process.stdout = None
    assert process.communicate()[1] == b""


def _lines(process: subprocess.Popen[bytes], count: int) -> list[str]:
    assert process.stdout is not None
    return [process.stdout.readline().decode().rstrip("\n") for _ in range(count)]


def test_follow_sees_what_another_process_writes(cli: Cli) -> None:
    """`recent --follow` prints the last rows and then each new one, in order, and Ctrl-C ends it with 0."""
    cli.store(*[entry(model=f"old{number}", timestamp=number) for number in range(5)])
    process = cli.start("recent", "--follow", "-n", "2", "--interval", "0.05")
    header, _, *old = _lines(process, 4)
    assert header.startswith("time (UTC)")
    assert ["old3" in old[0], "old4" in old[1]] == [True, True]
    cli.store(*[entry(model=f"new{number}") for number in range(1200)])
    assert [re.search(r"new\d+", line) is not None for line in _lines(process, 1200)] == [True] * 1200
    cli.store(entry(model="last"))
    assert "last" in _lines(process, 1)[0]
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate()
    assert (process.returncode, stdout, stderr) == (0, b"", b"")


def test_follow_for_machines_is_one_object_a_line(cli: Cli) -> None:
    """With --json each row is a line of its own as soon as it is there, and SIGTERM ends it with 0."""
    cli.store(entry(model="old"))
    process = cli.start("recent", "--follow", "--json", "--interval", "0.05")
    assert json.loads(_lines(process, 1)[0])["model"] == "old"
    cli.store(entry(model="new\x9b"))
    line = _lines(process, 1)[0]
    assert json.loads(line)["model"] == "new\x9b"
    assert "\x9b" not in line
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 0


def test_follow_starts_at_the_end_of_the_log(cli: Cli) -> None:
    """Rows that are there already are not new, even when their timestamps are older than the last ones shown."""
    cli.store(entry(timestamp=9_000, model="newest"), *[entry(timestamp=1, model="older")] * 700)
    process = cli.start("recent", "--follow", "--json", "-n", "1", "--interval", "0.05")
    assert json.loads(_lines(process, 1)[0])["model"] == "newest"
    cli.store(entry(timestamp=2, model="new"))
    assert json.loads(_lines(process, 1)[0])["model"] == "new"


def test_follow_ends_when_nobody_reads(cli: Cli) -> None:
    """`chainlog recent --follow | head -1` ends by itself, without a message and without waiting for a next row."""
    cli.store(entry())
    process = cli.start("recent", "--follow", "--interval", "0.05")
    _lines(process, 3)
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    assert process.communicate()[1] == b""


def test_the_original_database_must_be_migrated_first(cli: Cli, copy_of_original: Callable[[int], Path]) -> None:
    """A reader leaves 429chain's database as it is, and says which command brings it up to date."""
    cli.db = copy_of_original(2)
    before = cli.db.read_bytes()
    done = cli.run("usage")
    assert done.code == 1
    assert cli.db.read_bytes() == before
    assert "chainlog migrate" in done.stderr
