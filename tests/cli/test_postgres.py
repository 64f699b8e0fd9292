"""`chainlog` on PostgreSQL prints what it prints of a SQLite file with the same requests."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from pathlib import Path

import pytest

from chainlog_async.settings import Settings
from chainlog_async.storage.engines import open_storage
from tests.storage.questions import same
from tests.storage.random_log import random_entries
from tests.support.cli import Cli
from tests.support.postgres import SharedServer
from tests.support.two_engines import fold, store_in_each
from tests.support.writing import settings_for

COMMANDS = [
    "recent --limit 20",
    "recent --status errors --json",
    "recent --provider p1 --model m0 --json",
    "usage --json",
    "usage providers",
    "usage --by model --since 2026-03-27 --until 2026-04-02 --step 1d --tz Europe/Berlin --json",
    "latency --by provider --since 2026-03-27 --until 2026-04-02 --json",
    "health --since 2026-03-27 --until 2026-04-02 --json",
    "show 3 --json",
    "export - --format jsonl",
]


@pytest.fixture
def logs(postgres_url: str, tmp_path: Path) -> tuple[Settings, Settings]:
    """The same requests in the file that `cli` uses and in PostgreSQL, where a part of them is folded."""
    logs = (
        settings_for(tmp_path / "observability.db"),
        settings_for(tmp_path / "observability.db", db_url=postgres_url),
    )
    asyncio.run(store_in_each(logs, random_entries(150, seed=9)))
    asyncio.run(fold(postgres_url, batches=2))
    return logs


@pytest.mark.usefixtures("logs")
def test_every_command_prints_the_same(postgres_url: str, cli: Cli) -> None:
    """Tables, JSON and exports."""
    for command in COMMANDS:
        # An export writes to the standard output of a process.
        run = cli.run if command.startswith("export") else cli.here
        expected = run(*command.split())
        found = run(*command.split(), "--db-url", postgres_url, db=False)
        assert found.code == expected.code == 0, command
        assert same(_parsed(found.stdout), _parsed(expected.stdout)), command


def test_new_requests_are_followed(logs: tuple[Settings, Settings], postgres_url: str, cli: Cli) -> None:
    """`--follow` begins with the newest and goes on with what comes, in its order."""
    command = ["recent", "--follow", "--limit", "1", "--json", "--interval", "0.05"]
    following = cli.start(*command, "--db-url", postgres_url, db=False)
    assert following.stdout is not None
    assert json.loads(following.stdout.readline())["id"]
    new = random_entries(5, seed=10)
    position = asyncio.run(_position(logs[1]))
    asyncio.run(store_in_each(logs, new, position))
    models = [json.loads(following.stdout.readline())["model"] for _ in new]
    assert models == [one.model for one in new]


@pytest.mark.usefixtures("logs")
def test_a_copy_is_reported(postgres_server: SharedServer, cli: Cli) -> None:
    """As text and as JSON: how much was copied, and that both are equal; another log's database is refused."""
    url = postgres_server.new_database()
    done = cli.here("copy", "--from", cli.db, "--to", url, db=False)
    assert done.code == 0, done.stderr
    assert f"is equal to {cli.db}: 150 requests, 150 copied now" in done.stdout
    report = cli.json("copy", "--from", cli.db, "--to", url, db=False)
    assert (report["copied"], report["differences"]) == (0, [])
    other = cli.folder / "other.db"
    cli.db.rename(other)
    refused = cli.here("copy", "--from", other, "--to", url, db=False)
    assert (refused.code, refused.stdout) == (1, "")
    assert "has requests that are not of this file" in refused.stderr


@pytest.mark.parametrize(
    ("command", "instead"),
    [
        ("backup copy.db", "use pg_dump, or pg_basebackup"),
        ("rebuild", "rollups are made anew by themselves"),
        ("vacuum", "autovacuum keeps it small"),
    ],
)
def test_what_is_for_files_says_what_to_do_instead(command: str, instead: str, cli: Cli) -> None:
    """Commands that work on a SQLite file name PostgreSQL's own way, and connect to nothing."""
    done = cli.here(*command.split(), "--db-url", "postgresql://me:secret@127.0.0.1:1/log", db=False)
    assert done.code == 1
    assert "the log is kept by postgresql://127.0.0.1:1/log" in done.stderr
    assert instead in done.stderr


async def _position(log: Settings) -> int:
    async with aclosing(await open_storage(log)) as storage:
        await storage.start()
        return await storage.position("w")


def _parsed(text: str) -> object:
    # PostgreSQL orders the keys of metadata by their length, so texts are compared as what they say.
    for decode in (json.loads, lambda lines: [json.loads(line) for line in lines.splitlines()]):
        try:
            return decode(text)
        except ValueError:
            pass
    return text
