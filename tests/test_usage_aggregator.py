"""What is promised about reading: the answers, their order, their cost, and what goes wrong."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from chainlog_async import (
    ChainUsage,
    ProviderUsage,
    RequestLogRow,
    SummaryStats,
    UsageAggregator,
    initialize_database,
    migrate_schema,
)
from chainlog_async.storage.sqlite.connection import close_connection
from chainlog_async.storage.sqlite.queries import requests_sql, totals
from tests.support.entries import insert_as_original, original_row

QUERIES: dict[str, tuple[object, ...] | dict[str, object]] = {
    "ALL_PROVIDERS": (),
    "ONE_PROVIDER": ("groq",),
    "ALL_CHAINS": (),
    "ONE_CHAIN": ("default",),
    "RECENT": (50,),
    "AFTER_ID": (10, 50),
    "SUMMARY": (),
    "CHAIN_NAMES": (10,),
    "PROVIDER_NAMES": (10,),
    "MODEL_NAMES": {"dimension": "model", "limit": 10},
    "CALLER_NAMES": {"dimension": "caller", "limit": 10},
}

SQL = {
    name: value
    for module in (totals, requests_sql)
    for name, value in vars(module).items()
    if name.isupper() and not name.startswith("_") and "SELECT" in str(value)
}

ONE_WITH_A_CALLER = """
INSERT INTO request_logs (timestamp, chain_name, provider_id, model, latency_ms, http_status, attempts, caller)
VALUES (1, 'default', 'groq', 'm', 1, 200, 1, 'team')
"""


@pytest.fixture
async def usage(database: Path) -> AsyncIterator[UsageAggregator]:
    """An aggregator on an empty database."""
    async with UsageAggregator(database) as aggregator:
        yield aggregator


def ids(rows: list[RequestLogRow]) -> list[int]:
    """Give the numbers of rows."""
    return [row.id for row in rows]


# Answers


async def test_an_empty_log_answers_zeros(usage: UsageAggregator) -> None:
    """Before the first request there are no totals, no rows, and zeros rather than nulls in the summary."""
    assert await usage.get_all_provider_usage() == []
    assert await usage.get_all_chain_usage() == []
    assert await usage.get_recent_requests() == []
    assert await usage.get_summary_stats() == SummaryStats(0, 0, 0)


async def test_what_was_never_used_is_none(usage: UsageAggregator, database: Path) -> None:
    """A provider or chain that nothing was logged for has no usage, however near its name."""
    insert_as_original(database, [original_row()])
    for name in ("nobody", "Groq", "gro", "groq ", "", "%", "groq' OR '1'='1"):
        assert await usage.get_provider_usage(name) is None
        assert await usage.get_chain_usage(name) is None


async def test_totals_add_up(usage: UsageAggregator, database: Path) -> None:
    """Requests, tokens of each kind and the latest timestamp are kept for each provider and each chain."""
    insert_as_original(
        database,
        [
            original_row(timestamp=2000, prompt_tokens=10, completion_tokens=1),
            original_row(timestamp=1000, prompt_tokens=20, completion_tokens=2, total_tokens=30, chain_name="fast"),
            original_row(timestamp=1500, prompt_tokens=40, completion_tokens=4, provider_id="openai"),
        ],
    )
    assert await usage.get_provider_usage("groq") == ProviderUsage("groq", 2, 41, 30, 3, 2000)
    assert await usage.get_provider_usage("openai") == ProviderUsage("openai", 1, 44, 40, 4, 1500)
    assert await usage.get_chain_usage("default") == ChainUsage("default", 2, 55, 50, 5, 2000)
    assert await usage.get_chain_usage("fast") == ChainUsage("fast", 1, 30, 20, 2, 1000)


async def test_a_row_comes_back_as_it_is_stored(usage: UsageAggregator, database: Path) -> None:
    """Every field of a request is in its row, quotes, line ends and emoji included."""
    insert_as_original(
        database,
        [original_row(chain_name="große-kette-日本", latency_ms=12, attempts=3, error_message='429: "slow\ndown" 🙈')],
    )
    assert await usage.get_recent_requests() == [
        RequestLogRow(
            id=1,
            timestamp=1_772_400_000_000,
            chain_name="große-kette-日本",
            provider_id="groq",
            model="llama-3.1-8b-instant",
            prompt_tokens=100,
            completion_tokens=20,
            total_tokens=120,
            latency_ms=12,
            http_status=200,
            attempts=3,
            error_message='429: "slow\ndown" 🙈',
            request_id=None,
            caller=None,
            ttft_ms=None,
            cost_usd=None,
            streamed=None,
            cached_tokens=None,
            metadata=None,
            attempt_trail=None,
        )
    ]


@pytest.mark.parametrize("name", ["a/b c", "große-kette-日本", 'it\'s "quoted"', "%_", "; DROP TABLE t", ""])
async def test_any_name_is_only_a_name(name: str, usage: UsageAggregator, database: Path) -> None:
    """Slashes, spaces, quotes and other alphabets mean nothing special in a name."""
    insert_as_original(database, [original_row(provider_id=name, chain_name=name)])
    provider, chain = await usage.get_provider_usage(name), await usage.get_chain_usage(name)
    assert provider is not None
    assert chain is not None
    assert provider.provider_id == chain.chain_name == name
    assert await usage.get_all_provider_usage() == [provider]


async def test_the_last_used_comes_first(usage: UsageAggregator, database: Path) -> None:
    """Providers and chains are listed by their latest request, and by name when those are of the same ms."""
    for name, timestamp in [("b", 5000), ("c", 9000), ("a", 5000), ("d", 1000), ("c", 2000), ("A", 5000)]:
        insert_as_original(database, [original_row(provider_id=name, chain_name=name, timestamp=timestamp)])
    assert [row.provider_id for row in await usage.get_all_provider_usage()] == ["c", "A", "a", "b", "d"]
    assert [row.chain_name for row in await usage.get_all_chain_usage()] == ["c", "A", "a", "b", "d"]


async def test_the_newest_requests_come_first(usage: UsageAggregator, database: Path) -> None:
    """Requests are listed by their time, whatever order they came in; of the same ms the last stored is first."""
    insert_as_original(database, [original_row(timestamp=time) for time in (30, 10, 50, 50, 20, 50)])
    assert ids(await usage.get_recent_requests()) == [6, 4, 3, 1, 5, 2]
    assert ids(await usage.get_recent_requests(2)) == [6, 4]


async def test_fifty_requests_unless_told_otherwise(usage: UsageAggregator, database: Path) -> None:
    """The default is the fifty newest; a limit beyond what there is gives all."""
    insert_as_original(database, [original_row(timestamp=number) for number in range(1, 61)])
    assert ids(await usage.get_recent_requests()) == list(range(60, 10, -1))
    assert ids(await usage.get_recent_requests(10_000)) == list(range(60, 0, -1))


async def test_a_follower_gets_each_row_once(usage: UsageAggregator, database: Path) -> None:
    """Asked for what came after the last number it saw, in portions, a follower sees all rows in their order."""
    insert_as_original(database, [original_row(timestamp=1000 - number) for number in range(7)])
    seen: list[int] = []
    while rows := await usage.get_recent_requests(3, after_id=seen[-1] if seen else 0):
        seen += ids(rows)
    assert seen == [1, 2, 3, 4, 5, 6, 7]
    insert_as_original(database, [original_row(timestamp=1)])
    assert ids(await usage.get_recent_requests(after_id=7)) == [8]


@pytest.mark.parametrize("limit", [0, -1])
async def test_a_limit_below_one_is_an_error(limit: int, usage: UsageAggregator) -> None:
    """A limit of -1, which SQLite would take for all rows, is refused."""
    with pytest.raises(ValueError, match=f"limit is {limit}"):
        await usage.get_recent_requests(limit)
    with pytest.raises(ValueError, match=f"limit is {limit}"):
        await usage.get_recent_requests(limit, after_id=0)


@pytest.mark.parametrize(
    ("latencies", "average"),
    [
        ([0, 1], 1),
        ([1, 2], 2),
        ([2, 3], 3),
        ([1, 1, 2], 1),
        ([1, 2, 2], 2),
        ([4, 4], 4),
        ([2**52, 2**52 + 1], 2**52 + 1),
    ],
)
async def test_the_average_is_rounded_half_up(
    latencies: list[int], average: int, usage: UsageAggregator, database: Path
) -> None:
    """The mean latency is rounded to whole ms, a half always up, exactly, at any size."""
    insert_as_original(database, [original_row(latency_ms=latency) for latency in latencies])
    assert (await usage.get_summary_stats()).avg_latency_ms == average


async def test_a_waterfall_took_more_than_one_attempt(usage: UsageAggregator, database: Path) -> None:
    """Requests with two attempts or more are counted, those with one or none are not."""
    insert_as_original(database, [original_row(attempts=attempts) for attempts in (0, 1, 2, 3, 1)])
    assert await usage.get_summary_stats() == SummaryStats(5, 2, 250)


async def test_the_answer_of_the_original_field_for_field(
    copy_of_original: Callable[[int], Path], shared_data: Path
) -> None:
    """On 429chain's own database the JSON is what its own aggregator answered, in the same order."""
    path = copy_of_original(2)
    connection = await initialize_database(path)
    await migrate_schema(connection)
    await close_connection(connection)
    async with UsageAggregator(path) as usage:
        answer = {
            "providers": await usage.get_all_provider_usage(),
            "chains": await usage.get_all_chain_usage(),
            "summary": await usage.get_summary_stats(),
            "recent": await usage.get_recent_requests(50),
        }
    expected = json.loads((shared_data / "429chain-v2.expected.json").read_text("utf-8"))
    answered = json.loads(msgspec.json.encode(answer))
    # Rows and totals have all of today's columns; the service answers with those of the original alone.
    for kind in ("providers", "chains", "recent"):
        answered[kind] = [{name: item[name] for name in expected[kind][0]} for item in answered[kind]]
    assert answered == expected


# Cost


def test_the_costs_of_every_query_are_watched() -> None:
    """A query that is added to the aggregator is added to the tests of its cost."""
    elsewhere = ("BY_ID", "NEWEST_ID", "NEWEST_OF_SESSIONS", "OLDEST_TIMESTAMP", "REQUEST_IDS", "QUERIES")
    queries = {name for name in SQL if name not in elsewhere}
    assert {name for name in queries if not name.startswith("_")} == set(QUERIES)


@pytest.mark.parametrize("name", QUERIES)
def test_no_query_scans_the_log(name: str, database: Path) -> None:
    """SQLite's plan for a read visits the log by an index, in the index's order, or not at all."""
    with closing(sqlite3.connect(database)) as connection:
        plan = connection.execute(f"EXPLAIN QUERY PLAN {SQL[name]}", QUERIES[name]).fetchall()
    steps = [step for *_, step in plan if "request_logs" in step]
    assert steps == {
        "RECENT": ["SCAN request_logs USING INDEX idx_logs_timestamp"],
        "AFTER_ID": ["SEARCH request_logs USING INTEGER PRIMARY KEY (rowid>?)"],
    }.get(name, [])


@pytest.fixture(scope="module")
def logs(empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A log of a hundred rows, and one of ten thousand."""
    folder = tmp_path_factory.mktemp("logs")
    few = Path(shutil.copy(empty_database, folder / "few.db"))
    with closing(sqlite3.connect(few)) as connection, connection:
        connection.execute(ONE_WITH_A_CALLER)
    insert_as_original(few, [original_row(timestamp=number) for number in range(100)])
    many = Path(shutil.copy(few, folder / "many.db"))
    insert_as_original(many, [original_row(timestamp=number) for number in range(100, 10_000)])
    return few, many


@pytest.mark.parametrize("name", QUERIES)
def test_the_cost_of_a_query_does_not_grow_with_the_log(name: str, logs: tuple[Path, Path]) -> None:
    """A read takes SQLite as many instructions with ten thousand rows as with a hundred."""

    def cost(path: Path) -> int:
        instructions = 0

        def count() -> int:
            nonlocal instructions
            instructions += 1
            return 0

        with closing(sqlite3.connect(path)) as connection:
            connection.set_progress_handler(count, 1)
            assert connection.execute(SQL[name], QUERIES[name]).fetchall()
        return instructions

    few, many = map(cost, logs)
    assert many <= few * 1.01
