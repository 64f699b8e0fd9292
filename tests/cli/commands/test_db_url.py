"""``--db-url``: the same commands, asked of a `chainlog serve`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from chainlog_async.settings import Settings
from tests.support.cli import Cli, entry, jsonl
from tests.support.service import KEY
from tests.support.serving import server_beside

READER = "reader"
OWN = "own"
KEYS = [KEY, {"key": READER, "can": "read"}, {"key": OWN, "can": "read", "caller": "team-a"}]


@pytest.fixture
def url(cli: Cli) -> Iterator[str]:
    """A service with three requests, on the file that `--db` names."""
    cli.store(
        entry(provider_id="azure", caller="team-a", request_id="r-1"),
        entry(provider_id="azure", caller="team-b", http_status=500, error_message="down", request_id="r-2"),
        entry(model="other", caller="team-b", attempts=2),
    )
    with server_beside(Settings(db_path=cli.db, server={"port": 0, "api_keys": KEYS})) as url:
        yield url


def env(key: str = READER) -> dict[str, str]:
    """The key in a variable."""
    return {"CHAINLOG_DB_KEY": key}


@pytest.mark.parametrize(
    "command",
    [
        ["usage"],
        ["usage", "--since", "2023-11-14", "--until", "2023-11-16", "--by", "provider"],
        ["latency", "--since", "2023-11-14", "--until", "2023-11-16"],
        ["health", "--since", "2023-11-14", "--until", "2023-11-16"],
        ["recent", "--caller", "team-b"],
        ["show", "1"],
        ["show", "r-2"],
    ],
    ids=" ".join,
)
def test_a_command_answers_as_on_the_file(cli: Cli, url: str, command: list[str]) -> None:
    """Its JSON is the same."""
    assert cli.json(*command, "--db-url", url, db=False, env=env()) == cli.json(*command)


def test_an_export_has_the_same_rows(cli: Cli, url: str) -> None:
    """Page by page over HTTP."""
    shipped = cli.run("export", "-", "--format", "jsonl", "--db-url", url, db=False, env=env())
    assert shipped.stdout == cli.run("export", "-", "--format", "jsonl").stdout
    assert len(shipped.stdout.splitlines()) == 3


def test_a_key_with_a_caller_exports_and_follows_its_own(cli: Cli, url: str) -> None:
    """And what is known of all callers together is refused with the reason."""
    own = cli.run("export", "-", "--format", "jsonl", "--db-url", url, db=False, env=env(OWN)).stdout
    assert [json.loads(line)["caller"] for line in own.splitlines()] == ["team-a"]
    refused = cli.here("usage", "--db-url", url, db=False, env=env(OWN))
    assert refused.code == 1
    assert "(403): this key sees one caller" in refused.stderr


def test_an_import_is_shipped(cli: Cli, url: str) -> None:
    """It returns when the server has stored everything, and leaves no journal behind."""
    lines = jsonl(*(entry(model=f"m{number}") for number in range(2_500)))
    (cli.folder / "lines.jsonl").write_text(lines)
    report = cli.json("import", "lines.jsonl", "--db-url", url, db=False, env=env(KEY))
    assert (report["imported"], report["database"]) == (2_500, url)
    assert len(cli.json("recent", "-n", "9999")["requests"]) == 2_503  # type: ignore[arg-type]  # a list
    assert cli.json("journal", "--db-url", url, db=False, env=env(KEY))["journals"] == []


@pytest.mark.parametrize("command", ["vacuum", "check", "rebuild", "prune", "migrate", "rejected", "backup copy.db"])
def test_a_command_of_a_file_says_where_to_run_it(cli: Cli, command: str) -> None:
    """Nothing is asked of the server, and no file is made."""
    done = cli.here(*command.split(), "--db-url", "http://log.example.org:4290", db=False)
    assert done.code != 0
    said = " ".join(done.stderr.split())
    assert "the log is kept by http://log.example.org:4290" in said
    assert "run it on that host" in said
    assert list(cli.folder.iterdir()) == []


def test_a_file_and_a_url_are_two_logs(cli: Cli) -> None:
    """One of them has to go."""
    done = cli.here("usage", "--db-url", "http://log.example.org:4290")
    assert done.code == 2
    assert "--db and --db-url name two logs" in done.stderr


def test_a_service_may_pass_on_what_it_gets(cli: Cli, url: str, tmp_path: Path) -> None:
    """`chainlog serve --db-url` ships, and answers from the other service; so does a gateway behind it."""
    relay = Settings(db_path=tmp_path / "relay" / "o.db", db_url=url, db_key=KEY, server={"port": 0})
    with server_beside(relay) as relay_url:
        httpx.post(f"{relay_url}/v1/logs", json=entry(model="by-the-relay"), trust_env=False)
        (cli.folder / "lines.jsonl").write_text(jsonl(entry(model="through-it")))
        assert cli.json("import", "lines.jsonl", "--db-url", relay_url, db=False)["imported"] == 1
        recent = [row["model"] for row in httpx.get(f"{relay_url}/v1/requests", trust_env=False).json()["requests"]]
        health = httpx.get(f"{relay_url}/health", trust_env=False).json()
    assert {"by-the-relay", "through-it", "other"} <= {*recent}
    assert health["status"] == "ok"
    assert not relay.db_path.exists()
