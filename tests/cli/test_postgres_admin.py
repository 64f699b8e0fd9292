"""`check`, `prune`, `rejected`, `prices` and `reprice` do to PostgreSQL what they do to a SQLite file."""

from __future__ import annotations

import asyncio
import json
import random
from contextlib import aclosing
from typing import Any

import pytest

from chainlog_async import RequestLogEntry
from chainlog_async.admin.check import CheckReport
from chainlog_async.admin.engines import tasks_of
from chainlog_async.common.clock import DAY_MS, now_ms
from chainlog_async.common.progress import no_progress
from chainlog_async.settings import Settings
from chainlog_async.storage.engines import open_storage, reads_of
from tests.storage.questions import compare_all
from tests.storage.random_log import END, batch_of, random_entries
from tests.support.cli import Cli, Ended
from tests.support.entries import entry
from tests.support.postgres import query, run
from tests.support.two_engines import fold, roll_up, store_in_each
from tests.support.writing import settings_for

TODAY = now_ms() // DAY_MS * DAY_MS
OF_THE_ENGINE = ("database", "deletedBytes", "bytesBefore", "bytesAfter", "freeBytes", "canShrink", "seconds")
"""What a report says of an engine, and not of the log."""


class Both:
    """The same log in the file that `cli` uses and in PostgreSQL, and commands that are run on both."""

    def __init__(self, cli: Cli, url: str) -> None:
        self.cli = cli
        self.url = url
        self.logs = (settings_for(cli.db), settings_for(cli.db, db_url=url))
        self._position = 0

    def store(self, entries: list[RequestLogEntry], *, folded: int | None = None) -> None:
        """Stores entries in both, and folds so many batches of PostgreSQL's, or all."""
        self._position = asyncio.run(store_in_each(self.logs, entries, self._position))
        asyncio.run(fold(self.url, batches=folded))

    def run(self, command: str) -> tuple[Ended, Ended]:
        """The command on the file and on PostgreSQL."""
        args = command.split()
        return self.cli.here(*args), self.cli.here(*args, "--db-url", self.url, db=False)

    def same(self, command: str, code: int = 0) -> str:
        """What the command prints of both, which has to be the same. Returns it."""
        of_file, of_server = self.run(command)
        assert (of_file.code, of_server.code) == (code, code), (of_file.stderr, of_server.stderr)
        assert self._told(of_server.stdout) == self._told(of_file.stdout)
        return of_server.stdout

    def reports(self, command: str) -> dict[str, Any]:
        """The command's JSON, which has to be the same but for what is the engine's. Returns it."""
        of_file, of_server = (json.loads(ended.stdout) for ended in self.run(f"{command} --json"))
        for name in OF_THE_ENGINE:
            of_file.pop(name, None)
            of_server.pop(name, None)
        assert of_server == of_file
        return dict(of_server)

    def check(self) -> CheckReport:
        """Both are right, and know the same rows."""
        of_file, of_server = (
            asyncio.run(tasks_of(log).check(quick=False, on_progress=no_progress)) for log in self.logs
        )
        assert (of_file.differences, of_server.differences) == ((), ())
        assert of_server.ok
        assert (of_server.rows, of_server.pruned_rows) == (of_file.rows, of_file.pruned_rows)
        return of_server

    def answer_the_same(self) -> None:
        """Both answer questions about usage in the same way, also about what was pruned."""
        asyncio.run(self._compare())

    async def _compare(self) -> None:
        async with aclosing(reads_of(self.logs[0])) as of_file, aclosing(reads_of(self.logs[1])) as of_server:
            assert await of_server.get_all_provider_usage() == await of_file.get_all_provider_usage()
            assert await of_server.get_summary_stats() == await of_file.get_summary_stats()
            ids = [[row.id for row in await reads.get_requests_after(0, limit=999)] for reads in (of_file, of_server)]
            assert ids[0] == ids[1]

    def _told(self, text: str) -> str:
        lines = text.replace(str(self.cli.db), "LOG").replace(self.url.replace("postgres@", ""), "LOG").splitlines()
        return "\n".join(line.partition(" (")[0] for line in lines if not line.startswith("size: "))


@pytest.fixture
def both(cli: Cli, postgres_url: str) -> Both:
    """Two empty logs."""
    return Both(cli, postgres_url)


@pytest.mark.parametrize("folded", [0, 2, None])
def test_a_check_finds_nothing_wrong_at_any_moment(both: Both, folded: int | None) -> None:
    """Whether nothing, a part or all of it is folded, and rolled up."""
    both.store(random_entries(150, seed=3), folded=folded)
    assert both.check().rows == 150
    if folded is None:
        asyncio.run(roll_up(both.url, END + DAY_MS, small_ones=True))
        both.check()
        assert "is intact, and its totals match 150 requests and 0 pruned ones" in both.same("check")
        assert both.reports("check --quick")["ok"]


@pytest.mark.parametrize(
    ("change", "table"),
    [
        ("UPDATE usage_by_provider SET total_tokens = total_tokens + 1 WHERE provider_id = 'p1'", "usage_by_provider"),
        ("UPDATE usage_summary SET waterfall_requests = 0", "usage_summary"),
        (
            "UPDATE usage_buckets SET cost_nano = cost_nano + 1 WHERE start = (SELECT max(start) FROM usage_buckets)",
            "usage_buckets",
        ),
        ("UPDATE usage_buckets SET latencies = '{}' WHERE latencies <> '{}'", "usage_buckets"),
        ("UPDATE tag_buckets SET requests = 9", "tag_buckets"),
        ("DELETE FROM attempt_buckets WHERE provider_id = 'p1'", "attempt_buckets"),
        ("UPDATE usage_rollups SET errors = errors + 1 WHERE dimension = 'chain'", "rollups"),
        ("UPDATE usage_totals SET requests = 0", "usage_totals"),
        ("UPDATE log_days SET rows = rows + 1", "log_days"),
        ("DELETE FROM request_logs WHERE id = 7", "usage_by_chain"),
    ],
)
def test_a_check_names_what_is_wrong(both: Both, change: str, table: str) -> None:
    """With the table, what was expected, and exit code 1."""
    both.store(random_entries(60, seed=4))
    asyncio.run(roll_up(both.url, END + DAY_MS, small_ones=True))
    asyncio.run(run(both.url, f"SET search_path = chainlog; {change}"))
    done = both.cli.here("check", "--json", "--db-url", both.url, db=False)
    assert done.code == 1
    assert table in {one["table"] for one in json.loads(done.stdout)["differences"]}
    assert "look for who else changed these tables" in both.cli.here("check", "--db-url", both.url, db=False).stdout


def aged(*ages: float) -> list[RequestLogEntry]:
    """A request of each age, in days before today began."""
    return [entry(timestamp=int(TODAY - age * DAY_MS) + number, cost_usd=0.1) for number, age in enumerate(ages)]


AGES = (9.4, 9.3, 5.9, 5.8, 5.2, 3, 1.5, 0.5, 0.1)


@pytest.mark.parametrize("partitioned", [True, False])
@pytest.mark.parametrize(
    "limits", ["--keep-rows 6", "--older-than 5d", "--keep-rows 2 --older-than 7d", "--keep-rows 99"]
)
def test_prune_deletes_the_same(both: Both, limits: str, partitioned: bool) -> None:
    """To the row, whatever is dropped as a day; a dry run says it before, and totals, usage and checks stay right."""
    if partitioned:
        asyncio.run(run(both.url, f"SELECT chainlog.make_partitions({TODAY - 9 * DAY_MS}, {TODAY + DAY_MS})"))
    both.store(aged(*AGES), folded=1)
    planned = both.reports(f"prune {limits} --dry-run")
    done = both.reports(f"prune {limits} --yes")
    assert {**planned, "dryRun": False} == done
    assert both.check().pruned_rows == done["deleted"]
    both.answer_the_same()
    assert both.reports(f"prune {limits} --yes")["deleted"] == 0


def test_prune_asks_first(both: Both) -> None:
    """Without a terminal and without --yes nothing goes."""
    both.store(aged(*AGES))
    refused = both.cli.here("prune", "--keep-rows", "1", "--db-url", both.url, db=False)
    assert refused.code == 2
    assert "deletes 8 requests from postgresql://127.0.0.1" in refused.stderr
    assert both.check().rows == len(AGES)


def test_prune_by_size_drops_whole_days(both: Both) -> None:
    """As many as have to go; today stays."""
    asyncio.run(run(both.url, f"SELECT chainlog.make_partitions({TODAY - 4 * DAY_MS}, {TODAY + DAY_MS})"))
    long = [
        entry(timestamp=TODAY - age * DAY_MS + number, error_message=random.randbytes(750).hex(), http_status=500)
        for age in (4, 3, 2, 1, 0)
        for number in range(100)
    ]
    both.store(long)
    command = ("prune", "--yes", "--json", "--db-url", both.url)
    before = json.loads(both.cli.here(*command, "--max-bytes", "1TB", db=False).stdout)
    assert before["deleted"] == 0
    limit = str(before["bytesBefore"] - 150_000)
    done = json.loads(both.cli.here(*command, "--max-bytes", limit, db=False).stdout)
    assert done["deleted"] in (100, 200)
    assert done["bytesAfter"] <= int(limit)
    assert done["tooLarge"] is None
    small = json.loads(both.cli.here(*command, "--max-bytes", "10kB", db=False).stdout)
    assert small["rows"] >= 100
    assert "totals and usage are never deleted" in small["tooLarge"]


REFUSE = """
CREATE FUNCTION chainlog.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.model LIKE 'bad%' THEN RAISE EXCEPTION 'no such row here'; END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER refuse BEFORE INSERT ON chainlog.request_logs FOR EACH ROW EXECUTE FUNCTION chainlog.refuse()
"""


async def reject(logs: tuple[Settings, Settings], count: int) -> None:
    """Keeps entries as rejected in both."""
    for log in logs:
        async with aclosing(await open_storage(log)) as storage:
            await storage.start()
            for number in range(count):
                row = batch_of(f"w{number}", 0, [entry(model=f"bad {number}", request_id=f"r{number}")])
                await storage.commit(batch_of(f"v{number}", 0, [entry(model="good")]))
                await storage.reject(row, ValueError("refused"))


def test_rejected_entries_are_listed_retried_and_deleted(both: Both) -> None:
    """With the same ids and entries; a retry that fails leaves them, and one that works brings them into the log."""
    asyncio.run(reject(both.logs, 4))
    listed = both.run("rejected --json")
    entries = [[(one["id"], one["entry"]) for one in json.loads(e.stdout)["rejected"]] for e in listed]
    assert entries[0] == entries[1]
    assert [number for number, *_ in entries[1]] == [4, 3, 2, 1]
    assert len(json.loads(both.run("rejected --limit 2 --json")[1].stdout)["rejected"]) == 2
    both.same("rejected delete 1 9 --yes", code=1)
    asyncio.run(run(both.url, REFUSE))
    refused = both.cli.here("rejected", "retry", "2", "--db-url", both.url, db=False)
    assert refused.code == 1
    assert "2 stays rejected: refused by a trigger: no such row here (P0001)" in refused.stderr
    asyncio.run(run(both.url, "DROP TRIGGER refuse ON chainlog.request_logs"))
    assert both.same("rejected retry 2 77", code=1) == f"wrote 1 entry to {both.url.replace('postgres@', '')}\n"
    assert both.reports("rejected retry --all")["written"] == [3, 4]
    assert both.same("rejected") == "there are no rejected entries\n"
    assert both.check().rows == 7
    assert asyncio.run(query(both.url, "SELECT count(*) FROM chainlog.streams WHERE writer_id LIKE 'chainlog%'")) == [
        (0,)
    ]


def test_prices_are_set_imported_listed_and_looked_up(both: Both) -> None:
    """And count for what is stored from then on."""
    both.store([entry()])
    assert both.same("prices list") == "there are no prices\n"
    both.same("prices set xai own --input 0.05 --output 0.08 --since 2026-01-01")
    both.same("prices set xai own --input 0.06 --output 0.08 --since 2026-01-01")
    facts = {"groq/llama": {"litellm_provider": "groq", "input_cost_per_token": 5e-08}}
    (both.cli.folder / "map.json").write_text(json.dumps(facts))
    assert both.same("prices import map.json") == "imported 1 price\n"
    listed = both.run("prices list --json")
    assert json.loads(listed[0].stdout) == json.loads(listed[1].stdout)
    assert [one["input"] for one in json.loads(listed[1].stdout)] == [50_000, 60_000]
    assert "0.06" in both.same("prices list x-ai own")
    both.store([entry(provider_id="xai", model="own"), entry(provider_id="groq", model="llama")], folded=1)
    rows = [json.loads(ended.stdout)["requests"] for ended in both.run("recent --json")]
    assert rows[0] == rows[1]


def test_an_update_looks_models_up(both: Both) -> None:
    """What is set stays, and what genai-prices does not know is named."""
    pytest.importorskip("genai_prices")
    both.store([entry(provider_id="gemini", model="gemini-2.5-flash"), entry(provider_id="openai", model="unheard-of")])
    both.same("prices set openai unheard-of --input 1")
    assert both.same("prices update") == "1 of 2 models have a price\n  no price: openai/unheard-of\n"
    assert "google" in both.same("prices list")


@pytest.mark.parametrize("folded", [0, 1, None])
def test_costs_are_computed_again(both: Both, folded: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows, usage, rollups and totals, whatever is folded, a few at a time; a given cost stays."""
    monkeypatch.setattr("chainlog_async.admin.postgres.reprice.SLICE_IDS", 13)
    entries = [
        *random_entries(60, seed=6),
        *[
            entry(provider_id="own", model="m", timestamp=TODAY - 7 * DAY_MS + n, prompt_tokens=1_000)
            for n in range(30)
        ],
        *[entry(provider_id="own", model="m", timestamp=TODAY + n, cost_usd=0.5) for n in range(5)],
    ]
    both.store(entries, folded=folded)
    if folded is None:
        asyncio.run(roll_up(both.url, TODAY, small_ones=True))
    both.same("prices set own m --input 2 --output 3")
    both.same("prices set p1 m1 --input 1 --output 3")
    both.same("reprice --since 3d --dry-run")
    both.same("reprice --dry-run")
    assert "→" in both.same("reprice")
    assert both.same("reprice") == "changed 0 rows, $0 → $0\n"
    both.check()
    both.answer_the_same()
    both.same("prices set own m --input 4 --output 3")
    both.same("reprice --since 3d")
    both.same("reprice")
    both.check()
    asyncio.run(compare_everything(both))


async def compare_everything(both: Both) -> None:
    """A few random questions to both."""
    async with aclosing(reads_of(both.logs[0])) as of_file, aclosing(reads_of(both.logs[1])) as of_server:
        await compare_all(of_server, of_file, random.Random(1), questions=3)
