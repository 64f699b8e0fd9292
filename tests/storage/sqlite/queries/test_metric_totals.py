"""What counters that are scraped promise: exact, never falling, the same for every process, and cheap each time."""

from __future__ import annotations

import asyncio
import math
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainlog_async import UsageAggregator, initialize_database, migrate_schema
from chainlog_async.common.clock import DAY_MS, QUARTER_MS
from chainlog_async.storage.sqlite.connection import close_connection
from chainlog_async.storage.sqlite.maintenance.rollup_job import RollupJob
from chainlog_async.storage.sqlite.queries import metric_totals as running_totals
from chainlog_async.storage.sqlite.queries.metric_totals import LATE_MS
from chainlog_async.usage.metric_series import OTHER
from chainlog_async.usage.metric_totals import BOUNDS_MS, MetricTotals, UsageTotals
from tests.support.entries import insert_as_original, original_row
from tests.support.rolling_up import roll_up_small_ones

NOW = 1_772_400_000_000
INSERT = """
INSERT INTO request_logs (
  timestamp, chain_name, provider_id, model, prompt_tokens, completion_tokens, total_tokens, latency_ms, http_status,
  attempts, ttft_ms, cost_usd, cached_tokens, attempt_trail
) VALUES (:at, :chain, 'groq', :model, 10, 5, 15, :latency, :status, :attempts, :ttft, :cost, 3, :trail)
"""


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What the totals take for the time, in ms UTC."""
    times = [NOW]
    monkeypatch.setattr(running_totals, "now_ms", lambda: times[0])
    return times


@pytest.fixture
async def usage(database: Path) -> AsyncIterator[UsageAggregator]:
    """The reads of an empty database."""
    async with UsageAggregator(database) as aggregator:
        yield aggregator


def insert(path: Path, **values: object) -> None:
    """Stores a request; blocks."""
    row = {"at": NOW, "chain": "fast", "model": "m", "latency": 200, "status": 200, "attempts": 1}
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(INSERT, {**row, "ttft": None, "cost": None, "trail": None, **values})


async def fresh(path: Path, max_groups: int = 100) -> MetricTotals:
    """The totals as a process tells them that has just begun."""
    async with UsageAggregator(path) as aggregator:
        return await aggregator.get_metric_totals(max_groups)


def requests_of(totals: MetricTotals) -> int:
    """Requests of all series."""
    return sum(each.requests for each in totals.usage)


async def test_everything_is_counted(database: Path, usage: UsageAggregator) -> None:
    """Requests, errors, 429s, waterfalls, tokens, cost, latency, time to first token and each attempt."""
    assert await usage.get_metric_totals() == MetricTotals(usage=(), attempts=())
    trail = '[{"provider_id": "a", "model": "m", "http_status": 429}, {"provider_id": "groq", "model": "m"}]'
    insert(database, cost=0.25, ttft=80)
    insert(database, status=429, latency=7_000)
    insert(database, status=502, latency=400_000, attempts=2, cost=0.5, trail=trail)
    insert(database, status=499)
    totals = await usage.get_metric_totals()
    (told,) = totals.usage
    assert msgspec.structs.replace(told, latency_ms=None, ttft_ms=None, unanswered_latency_ms=None) == UsageTotals(
        chain="fast", provider="groq", model="m", requests=4, errors=2, cancelled=1, rate_limited=1, waterfalls=1,
        prompt_tokens=40, completion_tokens=20, cached_tokens=12, cache_write_tokens=0, reasoning_tokens=0,
        total_tokens=60, cost_usd=0.75, unanswered_cost_usd=0.0,
        latency_ms=None, ttft_ms=None, unanswered_latency_ms=None,  # type: ignore[arg-type]  # compared below
    )  # fmt: skip
    assert (told.latency_ms.counts, told.latency_ms.sum) == ((0, 1, *[0] * 10), 200)
    assert told.unanswered_latency_ms.counts == (0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1)
    assert (told.ttft_ms.counts, told.ttft_ms.sum) == ((1, *[0] * 11), 80)
    tries = {(each.provider, each.tries, each.successes, each.rate_limited, each.failures) for each in totals.attempts}
    assert tries == {("a", 1, 0, 1, 0), ("groq", 4, 1, 1, 1)}


async def test_time_passes(database: Path, usage: UsageAggregator, clock: list[int]) -> None:
    """Buckets that are over stay counted once, however often and however rarely somebody asks, late rows included."""
    stored = 0
    for step in (0, QUARTER_MS, 10, LATE_MS, 0, 90 * LATE_MS, 5 * QUARTER_MS):
        clock[0] += step
        for late_by in (0, LATE_MS // 2, 30 * LATE_MS, -LATE_MS):
            insert(database, at=clock[0] - late_by, cost=0.1, ttft=9)
            stored += 1
            totals = await usage.get_metric_totals()
            assert requests_of(totals) == totals.attempts[0].tries == sum(totals.usage[0].ttft_ms.counts) == stored
            assert totals == await fresh(database)


async def test_an_import_does_not_keep_a_reader_busy(
    database: Path, usage: UsageAggregator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where adding everything up takes seconds, late rows wait until ten times as long has passed; then they count."""
    times = [0.0]

    def monotonic() -> float:
        times[0] += 2
        return times[0]

    monkeypatch.setattr(running_totals, "monotonic", monotonic)
    insert(database)
    await usage.get_metric_totals()
    insert(database, at=NOW - 99 * LATE_MS)
    insert(database)
    assert requests_of(await usage.get_metric_totals()) == 2
    times[0] += 20
    assert requests_of(await usage.get_metric_totals()) == 3


async def test_late_rows_that_were_pruned_at_once_are_counted(database: Path, usage: UsageAggregator) -> None:
    """What is too old to be kept may be imported and gone before the next scrape, and is counted all the same."""
    insert(database)
    await usage.get_metric_totals()
    insert(database, at=NOW - 99 * LATE_MS)
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("DELETE FROM request_logs WHERE timestamp < ?", (NOW - LATE_MS,))
    insert(database)
    assert requests_of(await usage.get_metric_totals()) == 3


async def test_days_that_are_rolled_up_count_the_same(database: Path, usage: UsageAggregator, clock: list[int]) -> None:
    """Read from rollups, in part or whole, the totals are those of the buckets, late rows included."""
    for number in range(60):
        insert(database, at=NOW + number * DAY_MS // 4, cost=0.1, ttft=70, latency=50 * number, model=f"m{number % 3}")
    before = await usage.get_metric_totals()
    roll_up_small_ones(database)
    connection = await initialize_database(database)
    try:
        rollups = RollupJob()
        clock[0] = NOW + 99 * DAY_MS
        steps = 0
        while await rollups.advance(connection, clock[0]):
            steps += 1
            if not steps % 200:
                assert await fresh(database) == before
    finally:
        await close_connection(connection)
    assert await fresh(database) == await usage.get_metric_totals() == before
    insert(database, at=NOW, model="late")
    assert requests_of(await fresh(database)) == requests_of(await usage.get_metric_totals()) == 61


async def test_retention_takes_nothing_away(database: Path, usage: UsageAggregator) -> None:
    """When all requests are deleted the totals stay as they are."""
    insert(database)
    before = await usage.get_metric_totals()
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("DELETE FROM request_logs")
    assert await usage.get_metric_totals() == before == await fresh(database)


async def test_rows_of_429chain_count(database: Path, usage: UsageAggregator) -> None:
    """The original's own INSERT, with numbers that are doubles, is counted like ours."""
    await usage.get_metric_totals()
    insert_as_original(database, [original_row(latency_ms=95.5), original_row(http_status=429)])
    (told,) = (await usage.get_metric_totals()).usage
    assert (told.requests, told.rate_limited, told.latency_ms.counts[0]) == (2, 1, 1)


async def test_later_combinations_are_counted_together(
    database: Path, usage: UsageAggregator, clock: list[int]
) -> None:
    """The first that were seen keep their names, also after a restart; nobody changes sides, and nothing is lost."""
    for number in range(5):
        insert(database, model=f"z{9 - number}", at=NOW + number * DAY_MS)
        insert(database, model="z9", at=NOW + number * DAY_MS)
        totals = await usage.get_metric_totals(2)
        told = {each.model: each.requests for each in totals.usage}
        assert sum(told.values()) == 2 * number + 2
        assert set(told) <= {"z9", "z8", OTHER}
        assert len(totals.attempts) == len(told)
    assert told == {"z9": 6, "z8": 1, OTHER: 3}
    clock[0] += 9 * DAY_MS
    assert {each.model: each.requests for each in (await fresh(database, 2)).usage} == told
    insert(database, chain=OTHER, model=OTHER)
    assert sum(each.model == OTHER for each in (await usage.get_metric_totals(2)).usage) == 1


async def test_a_chain_called_other_is_no_second_other(database: Path, usage: UsageAggregator) -> None:
    """A real combination of that very name is one series with what has no series of its own."""
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.executemany(
            "INSERT INTO request_logs (timestamp, chain_name, provider_id, model, latency_ms, http_status, attempts) "
            "VALUES (?, ?, ?, ?, 1, 200, 1)",
            [(NOW + place * DAY_MS, name, name, name) for place, name in enumerate((OTHER, "a", "b"))],
        )
    told = (await usage.get_metric_totals(2)).usage
    assert [(each.chain, each.requests) for each in told] == [(OTHER, 2), ("a", 1)]


async def test_another_file_begins_anew(database: Path, usage: UsageAggregator) -> None:
    """When the database was replaced, the totals are those of the new file alone."""
    insert(database, model="old")
    await usage.get_metric_totals()
    other = database.with_name("new.db")
    connection = await initialize_database(other)
    await migrate_schema(connection)
    await close_connection(connection)
    insert(other, model="new")
    await asyncio.to_thread(other.replace, database)
    await usage.renew()
    assert [each.model for each in (await usage.get_metric_totals()).usage] == ["new"]


@settings(max_examples=20, deadline=None)
@given(costs=st.lists(st.floats(0, 10), min_size=1, max_size=20))
def test_costs_never_fall(tmp_path_factory: pytest.TempPathFactory, costs: list[float]) -> None:
    """Whether buckets are read apart or together, and by whichever process, the cost is the same to the last bit."""

    async def check() -> None:
        path = tmp_path_factory.mktemp("costs") / "log.db"
        connection = await initialize_database(path)
        await migrate_schema(connection)
        await close_connection(connection)
        last = 0.0
        async with UsageAggregator(path) as aggregator:
            for number, cost in enumerate(costs):
                insert(path, at=NOW + number % 3 * QUARTER_MS, cost=cost)
                (told,) = (await aggregator.get_metric_totals()).usage
                assert told.cost_usd >= last
                last = told.cost_usd
        (told,) = (await fresh(path)).usage
        assert told.cost_usd == last
        assert last == sum(math.floor(cost * 1e9 + 0.5) for cost in costs) / 1e9

    asyncio.run(check())


async def test_bounds_are_exact_to_five_percent(database: Path) -> None:
    """The bins that count up to a bound end at most 5 % beside it."""
    with closing(sqlite3.connect(database)) as connection:
        for bound in BOUNDS_MS:
            ((end,),) = connection.execute(
                "SELECT MAX(upper_ms) FROM duration_bins WHERE upper_ms <= ?", (bound * 21 // 20,)
            )
            assert abs(end - bound) <= 0.05 * bound


async def test_a_scrape_reads_open_buckets_alone(database: Path) -> None:
    """SQLite looks for buckets by their start, and for new rows by their ids: the log's length costs nothing."""
    ask = "EXPLAIN QUERY PLAN "
    span = {"since": 1, "until": 2}
    with closing(sqlite3.connect(database)) as connection:
        for sql, parameters in (
            (running_totals.NEW_ROWS, (1, 2)),
            (running_totals.USAGE_OF_BUCKETS, span),
            (running_totals.USAGE_OF_DAYS, span),
            (running_totals.ATTEMPTS, span),
            (running_totals.DAYS, span),
        ):
            steps = [str(row[3]) for row in connection.execute(ask + sql, parameters)]
            reads = [
                step
                for step in steps
                if "request_logs" in step or "_buckets" in step or "rolled" in step or "_rollups" in step
            ]
            assert reads
            assert [step for step in reads if not step.startswith("SEARCH")] == []
            assert [step for step in reads if "start" not in step and "rowid>? AND rowid<?" not in step] == []
