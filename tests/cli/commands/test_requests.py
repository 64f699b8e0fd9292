"""``chainlog recent`` with filters, ``show`` and ``export``: the requests that are meant, for people and programs."""

from __future__ import annotations

import csv
import io
import json
import re
import signal
import stat

import pyarrow.parquet as pq
import pytest

from chainlog_async.common.clock import now_ms
from tests.support.cli import ANSI, HOSTILE, HOSTILE_SHOWN, Cli, entry, jsonl

TRAIL = [
    {"provider_id": "groq", "model": "m", "http_status": 429, "latency_ms": 80.4, "error_message": HOSTILE},
    {"provider_id": "azure", "model": "gpt", "error_message": "connection refused"},
    {"provider_id": "openai", "model": "gpt", "http_status": 200, "latency_ms": 1500},
]
WHOLE = {
    "request_id": "r-1",
    "caller": "team",
    "ttft_ms": 320,
    "cost_usd": 0.0125,
    "streamed": True,
    "cached_tokens": 1000,
    "metadata": {"tag": HOSTILE},
    "attempt_trail": TRAIL,
}


def listed(cli: Cli, *options: str) -> list[dict[str, object]]:
    """The requests that `recent` gives, newest first."""
    rows = cli.json("recent", *options)["requests"]
    assert isinstance(rows, list)
    return rows


def models(cli: Cli, *options: str) -> list[object]:
    """Their models."""
    return [row["model"] for row in listed(cli, *options)]


def test_recent_shows_what_the_filters_let_through(cli: Cli) -> None:
    """All filters hold together; times and durations are taken as people write them."""
    now = now_ms()
    cli.store(
        entry(model="old", timestamp=1_700_000_000_000, http_status=429),
        entry(model="slow", timestamp=now - 7_200_000, latency_ms=5_000, caller="team", attempts=3, cost_usd=0.5),
        entry(model="failed", timestamp=now - 1_000, http_status=503, error_message="Upstream TIMED out"),
        entry(model="new", timestamp=now, provider_id="azure", chain_name="c", request_id="r"),
    )
    for options, found in (
        ((), ["new", "failed", "slow", "old"]),
        (("--since", "1d"), ["new", "failed", "slow"]),
        (("--since", "2023-11-14", "--until", "2023-11-15T00:00+01:00"), ["old"]),
        (("--status", "errors"), ["failed", "old"]),
        (("--status", "4xx"), ["old"]),
        (("--min-latency", "2s", "--caller", "team"), ["slow"]),
        (("--max-latency", "2s"), ["new", "failed", "old"]),
        (("--min-attempts", "2", "--max-attempts", "3"), ["slow"]),
        (("--min-cost", "0.25", "--max-cost", "0.5"), ["slow"]),
        (("--max-tokens", "1"), []),
        (("--min-tokens", "1", "--model", "old", "--model", "new"), ["new", "old"]),
        (("--not-model", "old", "--not-model", "new", "--not-caller", "team"), ["failed"]),
        (("--caller", ""), ["new", "failed", "old"]),
        (("--caller", "", "--caller", "team", "--not-provider", "azure"), ["failed", "slow", "old"]),
        (("--search", "UPSTREAM"), ["failed"]),
        (("--error", "timed"), ["failed"]),
        (("--provider", "azure", "--chain", "c", "--model", "new", "--request-id", "r"), ["new"]),
        (("-n", "1", "--since", "90min"), ["new"]),
    ):
        assert models(cli, *options) == found, options
    assert cli.here("recent", "--model", "nobody").stdout == "no request matches\n"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--since", "soon"), "such as 90min, 24h or 7d"),
        (("--since", "1m"), "'1m' could mean minutes or months: 1min or 1mo?"),
        (("--min-latency", "1m"), "'1m' could mean minutes or months: 1min or 1mo?"),
        (("--since", "7"), "7 as ms since the epoch is in January 1970; a duration needs a unit, as in 7d"),
        (("--since", "1703638574"), "in s it is 2023-12-27T00:56:14Z, which is 1703638574000 ms"),
        (("--until", "20231127"), "and a date is written 2026-11-25"),
        (("--min-latency", "500"), "'500' is not a duration; give a number and a unit, such as 500ms, 2s or 1min"),
        (("--status", "999"), "status is '999'"),
        (("--since", "1h", "--until", "2h"), "before it starts at"),
        (("--since", "2099-01-01"), "the window starts in the future"),
        (("--since", "1703638574000000"), "in µs it is 2023-12-27T00:56:14Z, which is 1703638574000 ms"),
        (("--error", "x" * 1001), "error_text has 1001 characters"),
    ],
)
def test_a_filter_that_means_nothing_is_misuse(cli: Cli, options: tuple[str, str], told: str) -> None:
    """A mistake in an option ends with 2, and says what would do."""
    cli.store()
    done = cli.here("recent", *options)
    assert (done.code, told in done.stderr) == (2, True), done.stderr


def test_more_than_a_page_is_shown(cli: Cli) -> None:
    """Any number can be asked for, whatever a page holds."""
    cli.store(*[entry(model=f"m{n}", timestamp=10**12 + n) for n in range(1300)])
    assert models(cli, "-n", "1200") == [f"m{n}" for n in range(1299, 99, -1)]


def test_follow_shows_what_the_filters_let_through(cli: Cli) -> None:
    """With --follow, old and new requests are those that are meant."""
    cli.store(entry(model="old", http_status=429), entry(model="other"))
    process = cli.start("recent", "--follow", "--json", "--interval", "0.05", "--status", "429")
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["model"] == "old"
    cli.store(entry(model="passed over"), entry(model="new", http_status=429))
    assert json.loads(process.stdout.readline())["model"] == "new"
    process.send_signal(signal.SIGINT)
    assert process.wait() == 0


def test_show_tells_everything(cli: Cli) -> None:
    """One request by its id, with its tries as a table; what was not recorded is left out, what was can do no harm."""
    cli.store(entry(), entry(error_message=HOSTILE, http_status=429, attempts=3) | WHOLE)
    done = cli.run("show", "2")
    lines = dict(
        re.split(r":\s+", line, maxsplit=1) for line in done.stdout.splitlines() if re.match(r"[a-z UTC()]+: ", line)
    )
    assert (lines["first token"], lines["cost"], lines["streamed"]) == ("320 ms", "$0.012500", "yes")
    assert lines["prompt"] == "1,200 tokens, 1,000 cached"
    assert lines["time (UTC)"] == "2023-11-14 22:13:20.000"
    assert lines["error"] == HOSTILE_SHOWN
    tries = [line.split()[:5] for line in done.stdout.splitlines()[-3:]]
    assert tries[0] == ["1", "groq", "m", "429", "80"]
    assert tries[1] == ["2", "azure", "gpt", "-", "connection"]
    assert tries[2] == ["3", "openai", "gpt", "200", "1.50"]
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", done.stdout)
    assert "first token" not in cli.here("show", "1").stdout
    _, screen = cli.on_terminal("show", "2", columns=400)
    assert "\x1b[33m429" in screen
    assert HOSTILE_SHOWN in ANSI.sub("", screen).replace("\n", "")


def test_show_for_machines(cli: Cli) -> None:
    """With --json it is the request as the service gives it."""
    cli.store(entry() | WHOLE)
    request = cli.json("show", "1")
    assert [request] == listed(cli)
    assert request["metadata"] == {"tag": HOSTILE}


def test_a_request_that_is_not_there_is_told(cli: Cli) -> None:
    """An unknown id ends with 1, and what is no id with 2."""
    cli.store()
    done = cli.here("show", "7")
    assert (done.code, done.stderr) == (1, "there is no request 7; it may have been pruned\n")
    assert cli.here("show", "x").stderr == "there is no request x; it may have been pruned\n"
    assert cli.here("show", str(2**64)).code == 1
    assert cli.here("show", "").code == cli.here("show", "x" * 1001).code == 2


def test_a_request_is_found_by_the_gateway_s_own_id(cli: Cli) -> None:
    """By all of it, or by a beginning that no other has; where more than one is meant, they are named."""
    ids = ["req-005f4b", "req-005f4c", "req-1", "req-1-again", "again", "again", "2"]
    cli.store(*[entry(request_id=name, model=f"m{number}") for number, name in enumerate(ids, 1)])
    for wanted, model in (("req-005f4b", "m1"), ("req-1-", "m4"), ("req-1", "m3"), ("2", "m2"), ("7", "m7")):
        assert cli.json("show", wanted)["model"] == model, wanted
    for wanted, told in (
        ("req-005f4", "several ids begin with req-005f4: req-005f4b, req-005f4c; give more of it"),
        ("again", "several requests have the id again: show one of 6, 5"),
        ("req-2", "there is no request req-2; it may have been pruned"),
        ("005f4b", "there is no request 005f4b; it may have been pruned"),
        ("_e%", "there is no request _e%; it may have been pruned"),
        ("8", "there is no request 8; it may have been pruned"),
    ):
        done = cli.here("show", wanted)
        assert (done.code, done.stderr) == (1, f"{told}\n"), wanted


def test_a_misspelt_name_is_answered_with_the_one_there_is(cli: Cli) -> None:
    """Where nothing is found, a similar name that is in the log is suggested; a name that is there is not."""
    cli.store(entry(provider_id="groq", model="llama-3.1", caller="team-a", chain_name="fast"))
    for command in (("recent",), ("usage",), ("latency",), ("export", "--force", "x.csv")):
        for options, meant in (
            (("--provider", "grok"), "; did you mean --provider groq?"),
            (("--model", "lama-3.1", "--chain", "fats"), "; did you mean --chain fast --model llama-3.1?"),
            (("--caller", "team-b", "--provider", "groq"), "; did you mean --caller team-a?"),
            (("--provider", "zzz"), ""),
            (("--provider", "groq", "--until", "2020-01-01", "--since", "2019-12-31"), ""),
        ):
            (cli.folder / "x.csv").unlink(missing_ok=True)
            done = cli.here(*command, *options)
            told = (done.stderr or done.stdout).splitlines()[-1]
            assert (done.code, told.partition(";")[2]) == (0, meant.removeprefix(";")), (command, options)
    assert cli.json("usage", "--provider", "grok") == {"points": []}


def test_export_makes_every_format(cli: Cli) -> None:
    """The ending of the name says which format; the file is the owner's alone, and has what the filters let through."""
    cli.store(*[entry(timestamp=n, http_status=200 + n % 2 * 229) for n in range(1201)])
    report = cli.json("export", "--status", "429", "out.csv")
    path = cli.folder / "out.csv"
    assert (report["requests"], report["format"], report["bytes"]) == (600, "csv", path.stat().st_size)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with path.open(newline="") as file:
        assert [int(row["timestamp"]) for row in csv.DictReader(file)] == list(range(1199, 0, -2))
    done = cli.here("export", "out.jsonl")
    assert done.stdout.startswith("exported 1,201 requests to out.jsonl (")
    assert len((cli.folder / "out.jsonl").read_text().splitlines()) == 1201
    assert cli.here("export", "--since", "1970-01-01T00:00:01.100", "out.parquet").code == 0
    assert pq.read_table(cli.folder / "out.parquet").num_rows == 101
    assert not [path for path in cli.folder.iterdir() if "partial" in path.name]


def test_export_to_stdout(cli: Cli) -> None:
    """With - the file goes to stdout and everything else to stderr."""
    cli.store(entry(model="=cmd()"))
    done = cli.run("export", "-")
    (row,) = csv.DictReader(io.StringIO(done.stdout, newline=""))
    assert row["model"] == "'=cmd()"
    assert done.stderr.startswith("exported 1 request to stdout (")
    done = cli.run("export", "--format", "jsonl", "-")
    assert json.loads(done.stdout)["model"] == "=cmd()"


def test_what_was_exported_can_be_imported(cli: Cli) -> None:
    """JSON lines, but for their ids, are entries again."""
    cli.store(entry(error_message="why") | WHOLE)
    cli.here("export", "out.jsonl")
    exported = json.loads((cli.folder / "out.jsonl").read_text())
    done = cli.run("import", "-", stdin=jsonl({name: value for name, value in exported.items() if name != "id"}))
    assert done.code == 0, done.stderr
    first, second = listed(cli)
    assert first | {"id": 0} == second | {"id": 0}


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["out.xlsx"], 2, "give --format"),
        (["--json", "-"], 2, "--json needs a FILE"),
        (["there.csv"], 1, "already exists"),
        (["nowhere/out.csv"], 1, "is not a folder"),
        (["--format", "csv", "observability.db"], 1, "belongs to the database itself"),
    ],
)
def test_an_export_that_cannot_be_made_is_told(cli: Cli, arguments: list[str], code: int, told: str) -> None:
    """The reason is on stderr, nothing is replaced and nothing left behind."""
    cli.store(entry())
    (cli.folder / "there.csv").write_text("mine")
    done = cli.here("export", *arguments)
    assert (done.code, told in done.stderr) == (code, True), done.stderr
    assert [path.name for path in cli.folder.iterdir() if not path.name.startswith(cli.db.name)] == ["there.csv"]
    assert (cli.folder / "there.csv").read_text() == "mine"


def test_an_export_replaces_a_file_when_it_is_told_to(cli: Cli) -> None:
    """With --force what was there is gone."""
    cli.store(entry())
    (cli.folder / "there.csv").write_text("mine")
    assert cli.here("export", "--force", "there.csv").code == 0
    assert (cli.folder / "there.csv").read_text().startswith("id,timestamp,")


def test_an_export_that_is_stopped_leaves_nothing(cli: Cli) -> None:
    """Ctrl-C ends it, also when nobody empties the pipe, and says that the output is incomplete."""
    cli.store(*[entry(error_message="x" * 2000)] * 500)
    process = cli.start("export", "--format", "jsonl", "-")
    assert process.stdout is not None
    assert process.stdout.read(1) == b"{"
    process.send_signal(signal.SIGINT)
    assert process.wait() == 128 + signal.SIGINT
    assert process.stderr is not None
    assert b"output is incomplete" in process.stderr.read()


def test_export_shows_how_far_it_is(cli: Cli) -> None:
    """On a terminal there is a bar, which is gone at the end."""
    cli.store(*[entry(timestamp=n) for n in range(1500)])
    code, screen = cli.on_terminal("export", "out.csv", columns=100)
    assert code == 0
    assert "1,500 requests" in screen
    assert "exported 1,500 requests to out.csv" in ANSI.sub("", screen).splitlines()[-1]
