"""Usage and latency over time equal an independent computation from the rows, whatever is rolled up and however."""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import get_args
from zoneinfo import ZoneInfo

import pytest

from chainlog_async import ChainLog, RequestLogEntry, UsageAggregator
from chainlog_async.common.outcome import outcome_of
from chainlog_async.storage.sqlite.connection import close_connection, initialize_database
from chainlog_async.storage.sqlite.maintenance.rollup_job import ROLLUP_GRACE_MS, RollupJob
from chainlog_async.usage.dimensions import GroupBy
from chainlog_async.usage.percentiles import RELATIVE_ERROR, UPPERS
from chainlog_async.usage.points import UsagePoint
from chainlog_async.usage.query import DurationsOf, UsageFilter, UsageQuery
from chainlog_async.usage.time_window import Step, Window
from tests.support import rolling_up
from tests.support.entries import entry, insert_as_original, original_row
from tests.support.schemas import query
from tests.support.usage_rows import DAY_MS, END, START, copy_of, log_without_rolling_up, random_entries, roll_up
from tests.support.writing import settings_for, until

FILTERS = [
    UsageFilter(),
    UsageFilter(chain="c1"),
    UsageFilter(provider="p2"),
    UsageFilter(model="m0"),
    UsageFilter(caller="team-1"),
    UsageFilter(caller=""),
    UsageFilter(chain="c0", provider="p1"),
    UsageFilter(provider="p2", caller="team-0"),
    UsageFilter(model="m0", caller="team-1"),
    UsageFilter(chain="c0", model="m1", caller=""),
    UsageFilter(chain="nothing"),
]
BYS: list[GroupBy | None] = [None, "chain", "provider", "model", "caller"]


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[RequestLogEntry]]:
    """A database with 1,200 requests, of which nothing is rolled up."""
    path = tmp_path_factory.mktemp("usage") / "log.db"
    entries = random_entries(1_200)
    asyncio.run(log_without_rolling_up(path, entries))
    return path, entries


@pytest.fixture(scope="module")
def states(logged: tuple[Path, list[RequestLogEntry]], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Copies of it with nothing, a part or all of it rolled up."""
    folder = tmp_path_factory.mktemp("states")
    half = copy_of(logged[0], folder / "half.db")
    asyncio.run(roll_up(half, START + 2 * DAY_MS + 5_000_000))
    whole = copy_of(half, folder / "whole.db")
    asyncio.run(roll_up(whole))
    assert query(whole, "SELECT COUNT(*) FROM rolled_up WHERE width = 86400000") == [(5,)]
    return {"buckets alone": logged[0], "half rolled up": half, "all rolled up": whole}


@pytest.fixture(params=["buckets alone", "half rolled up", "all rolled up"])
async def usage(request: pytest.FixtureRequest, states: dict[str, Path]) -> AsyncIterator[UsageAggregator]:
    """The reads of each of them."""
    async with UsageAggregator(states[request.param]) as aggregator:
        yield aggregator


def value_of(one: RequestLogEntry, by: GroupBy | None) -> str | None:
    """What the entry is grouped under."""
    names = {"chain": one.chain_name, "provider": one.provider_id, "model": one.model, "caller": one.caller or ""}
    return None if by is None else names[by]


def passes(one: RequestLogEntry, where: UsageFilter) -> bool:
    """Whether the filter lets it through."""
    asked = {"chain": where.chain, "provider": where.provider, "model": where.model, "caller": where.caller}
    return all(wanted is None or value_of(one, name) == wanted for name, wanted in asked.items())  # type: ignore[arg-type]  # the names are literals


Key = tuple[int, str | None]


def grouped(
    entries: Iterable[RequestLogEntry], window: Window, by: GroupBy | None, where: UsageFilter
) -> dict[Key, list[RequestLogEntry]]:
    """The entries by the start of their step and by group, with a calendar instead of arithmetic."""
    groups: dict[Key, list[RequestLogEntry]] = defaultdict(list)
    for one in entries:
        if window.start <= one.timestamp < window.end and passes(one, where):
            groups[step_start(one.timestamp, window.step, window.zone), value_of(one, by)].append(one)
    return groups


@cache
def step_start(timestamp: int, step: Step | None, zone: str) -> int:
    """When the step began that the moment is in, both in ms since the epoch."""
    local = datetime.fromtimestamp(timestamp / 1_000, ZoneInfo(zone))
    if step == "1d":
        local = local.replace(hour=0, minute=0, second=0, microsecond=0)
    else:
        minutes = {"15m": 15, "1h": 60}[str(step)]
        local = local.replace(minute=local.minute // minutes * minutes, second=0, microsecond=0)
    return int(local.timestamp()) * 1_000


def half_up(number: float) -> int:
    """As the database rounds."""
    return math.floor(number + 0.5)


def test_bins_have_the_same_numbers_in_python_and_in_sql(database: Path) -> None:
    """And each fits into nine bits, which is what a stored histogram has for it."""
    bins = query(database, "SELECT number, upper_ms FROM duration_bins ORDER BY number")
    assert bins == [*enumerate(UPPERS), (len(UPPERS), 2**63 - 1)]
    assert len(bins) <= 512


@pytest.mark.parametrize(
    ("zone", "step"), [("UTC", "15m"), ("UTC", "1h"), ("Europe/Berlin", "1d"), ("Asia/Kathmandu", "1d")]
)
async def test_sums_equal_those_of_the_rows(
    zone: str, step: Step, usage: UsageAggregator, logged: tuple[Path, list[RequestLogEntry]]
) -> None:
    """Every number, by every group and filter, on local days that are 23 hours long as well."""
    midnight = datetime(2026, 3, 27, tzinfo=ZoneInfo(zone))
    window = Window(start=int(midnight.timestamp()) * 1_000, end=END, step=step, zone=zone)
    for where in FILTERS:
        for by in BYS:
            expected = grouped(logged[1], window, by, where)
            points = await usage.get_usage(UsageQuery(window=window, by=by, where=where))
            assert {(point.start, point.name) for point in points} == set(expected)
            for point in points:
                check_sums(point, expected[point.start, point.name])


def check_sums(point: UsagePoint, entries: list[RequestLogEntry]) -> None:
    """Every sum and mean of the point."""
    assert point.requests == len(entries)
    assert point.errors == sum(outcome_of(one) == "failed" for one in entries)
    assert point.cancelled == sum(one.http_status == 499 for one in entries)
    assert point.rate_limited == sum(one.http_status == 429 for one in entries)
    assert point.waterfalls == sum(one.attempts > 1 for one in entries)
    assert point.prompt_tokens == sum(one.prompt_tokens for one in entries)
    assert point.completion_tokens == sum(one.completion_tokens for one in entries)
    assert point.total_tokens == point.prompt_tokens + point.completion_tokens
    assert point.cached_tokens == sum(one.cached_tokens or 0 for one in entries)
    assert point.cost_usd == pytest.approx(sum(one.cost_usd or 0 for one in entries))
    answered = [one for one in entries if outcome_of(one) == "answered"]
    for mean, values in (
        (point.avg_latency_ms, [half_up(one.latency_ms) for one in answered]),
        (point.avg_ttft_ms, [half_up(one.ttft_ms) for one in answered if one.ttft_ms is not None]),
    ):
        assert mean == (pytest.approx(sum(values) / len(values)) if values else None)


@pytest.mark.parametrize("durations_of", get_args(DurationsOf))
@pytest.mark.parametrize("step", ["15m", "1d"])
@pytest.mark.parametrize("by", BYS)
async def test_percentiles_are_within_the_stated_error(
    by: GroupBy | None,
    step: Step,
    durations_of: DurationsOf,
    usage: UsageAggregator,
    logged: tuple[Path, list[RequestLogEntry]],
) -> None:
    """Against the nearest rank of the stored durations, at most `RELATIVE_ERROR` away, for each group and filter.

    They are of answered requests, unless the others or all are asked for.
    """
    asked = {"answered": {"answered"}, "unanswered": {"failed", "cancelled"}}
    window = Window(start=START, end=END, step=step)
    for where in FILTERS:
        expected = grouped(logged[1], window, by, where)
        points = await usage.get_latency(UsageQuery(window=window, by=by, where=where, durations_of=durations_of))
        assert {(point.start, point.name) for point in points} == set(expected)
        for point in points:
            entries = expected[point.start, point.name]
            measured = [one for one in entries if outcome_of(one) in asked.get(durations_of, {outcome_of(one)})]
            latencies = sorted(half_up(one.latency_ms) for one in measured)
            first_tokens = sorted(half_up(one.ttft_ms) for one in measured if one.ttft_ms is not None)
            for found, true in ((point.latency_ms, latencies), (point.ttft_ms, first_tokens)):
                for percent in (50, 90, 95, 99):
                    check_percentile(getattr(found, f"p{percent}"), true, percent)
            failed, cancelled = (sum(outcome_of(one) == kind for one in entries) for kind in ("failed", "cancelled"))
            assert point.error_rate == pytest.approx(failed / len(entries))
            assert point.cancelled_rate == pytest.approx(cancelled / len(entries))
            tokens = sum(one.completion_tokens for one in entries)
            took = sum(half_up(one.latency_ms) for one in entries if outcome_of(one) == "answered")
            if took:
                assert point.tokens_per_second == pytest.approx(1_000 * tokens / took)


def check_percentile(found: float | None, true: list[int], percent: int) -> None:
    """One percentile of sorted values."""
    if not true:
        assert found is None
        return
    exact = true[math.ceil(percent * len(true) / 100) - 1]
    # The estimate is rounded to a tenth of a ms.
    assert found is not None
    assert abs(found - exact) <= RELATIVE_ERROR * exact + 0.05


async def test_a_window_without_a_step_is_one_point(
    usage: UsageAggregator, logged: tuple[Path, list[RequestLogEntry]]
) -> None:
    """Its quarters of an hour count whole, at both ends."""
    window = Window(start=START + 1, end=START + DAY_MS + 1)
    (point,) = await usage.get_usage(UsageQuery(window=window))
    assert (point.start, point.end) == (START, START + DAY_MS + 900_000)
    check_sums(point, [one for one in logged[1] if one.timestamp < point.end])


async def test_gaps_are_filled_where_asked(usage: UsageAggregator) -> None:
    """With `fill` each step has each group, with zeros and without means; without it only what there was."""
    window = Window(start=END, end=END + DAY_MS, step="6h")
    assert await usage.get_usage(UsageQuery(window=window)) == []
    assert await usage.get_latency(UsageQuery(window=window)) == []
    points = await usage.get_usage(UsageQuery(window=window, fill=True))
    assert [(point.requests, point.avg_latency_ms) for point in points] == [(0, None)] * 4
    window = Window(start=START - DAY_MS, end=START + DAY_MS, step="1d")
    filled = await usage.get_latency(UsageQuery(window=window, by="provider", fill=True))
    assert [point.requests > 0 for point in filled] == [False] * 3 + [True] * 3


async def test_groups_beyond_the_largest_are_added_up(usage: UsageAggregator) -> None:
    """`max_groups` names are kept, the ones with the most requests; the others are one group without a name."""
    window = Window(start=START, end=END)
    full = await usage.get_usage(UsageQuery(window=window, by="provider"))
    assert [point.requests for point in full] == sorted((point.requests for point in full), reverse=True)
    first, rest = await usage.get_usage(UsageQuery(window=window, by="provider", max_groups=1))
    assert first == full[0]
    assert (rest.name, rest.other) == (None, True)
    assert rest.requests == full[1].requests + full[2].requests
    latency = await usage.get_latency(UsageQuery(window=window, by="provider", max_groups=1))
    assert [point.other for point in latency] == [False, True]
    with pytest.raises(ValueError, match="max_groups is 0"):
        await usage.get_usage(UsageQuery(window=window, max_groups=0))


async def test_late_rows_are_in_every_answer_at_once(states: dict[str, Path], tmp_path: Path) -> None:
    """A row for a time that is rolled up, by us or by 429chain, counts at once, and after it is rolled up anew."""
    path = copy_of(states["all rolled up"], tmp_path / "late.db")
    window = Window(start=START, end=END, step="1d")
    late = original_row(timestamp=START + 7_000_000, latency_ms=33.0)
    async with UsageAggregator(path) as usage:
        for how_many in (1, 2):
            before = await usage.get_usage(UsageQuery(window=window, by="chain"))
            insert_as_original(path, [late])
            assert await usage.get_usage(UsageQuery(window=window, by="chain")) != before
            (default,) = [
                point
                for point in await usage.get_usage(UsageQuery(window=window, by="chain"))
                if point.name == "default"
            ]
            assert (default.start, default.requests, default.avg_latency_ms) == (START, how_many, 33.0)
            await roll_up(path)
            assert default in await usage.get_usage(UsageQuery(window=window, by="chain"))
            assert query(path, "SELECT COUNT(*) FROM rolled_up WHERE width = 86400000") == [(5,)]


async def test_a_row_that_comes_while_its_time_is_rolled_up_is_not_lost(tmp_path: Path) -> None:
    """At whichever step it comes, no quarter, hour or day is taken for rolled up until it is in it."""
    window = Window(start=START, end=START + DAY_MS)
    template = tmp_path / "template.db"
    await log_without_rolling_up(template, [entry(timestamp=START + 900_000 * number) for number in range(4)])
    for steps in range(1, 4 * 11 + 3 * 12 + 2, 4):
        path = copy_of(template, tmp_path / f"{steps}.db")
        rollups = RollupJob(advance_s=0)
        await roll_up(path, taker=rollups, steps=steps)
        insert_as_original(path, [original_row(timestamp=START + 1)])
        await roll_up(path, taker=rollups)
        async with UsageAggregator(path) as usage:
            for by in BYS:
                points = await usage.get_usage(UsageQuery(window=window, by=by))
                assert [point.requests for point in points] == [5]


async def test_a_stream_of_late_rows_does_not_keep_the_writer_at_one_quarter_for_ever(tmp_path: Path) -> None:
    """A look takes nothing twice, although each late row makes what was just done invalid."""
    path = tmp_path / "late.db"
    await log_without_rolling_up(path, [entry(timestamp=START + 900_000 * number) for number in range(4)])
    rolling_up.roll_up_small_ones(path)
    rollups = RollupJob(advance_s=0)
    connection = await initialize_database(path)
    try:
        steps = 0
        while await rollups.advance(connection, END + ROLLUP_GRACE_MS):
            steps += 1
            assert steps <= 4 * 11
            await asyncio.to_thread(insert_as_original, path, [original_row(timestamp=START + 1)])
    finally:
        await close_connection(connection)
    assert query(path, "SELECT COUNT(*) FROM rolled_up") == [(3,)]


async def test_work_that_is_not_finished_is_done_by_another(tmp_path: Path) -> None:
    """What a killed process had begun counts for nothing, and is taken over after a minute."""
    path = tmp_path / "killed.db"
    await log_without_rolling_up(path, random_entries(100))
    await roll_up(path, taker=RollupJob(advance_s=0), steps=3)
    await roll_up(path)
    assert query(path, "SELECT COUNT(*) FROM rolled_up WHERE taken_by IS NOT NULL") == [(1,)]
    await roll_up(path, END + ROLLUP_GRACE_MS + 61_000)
    assert query(path, "SELECT COUNT(*) FROM rolled_up WHERE taken_by IS NOT NULL") == [(0,)]
    assert query(path, "SELECT COUNT(*) FROM rolled_up WHERE width = 86400000") == [(5,)]


async def test_the_writer_rolls_up_what_is_over(tmp_path: Path) -> None:
    """Without anybody asking, between two batches."""
    path = tmp_path / "log.db"
    async with ChainLog(settings_for(path)) as chainlog:
        for one in random_entries(50):
            chainlog.submit(one)
        await chainlog.flush()
        await until(lambda: query(path, "SELECT COUNT(*) FROM rolled_up WHERE width = 86400000") == [(5,)])
    async with UsageAggregator(path) as usage:
        (point,) = await usage.get_usage(UsageQuery(window=Window(start=START, end=END)))
    assert point.requests == 50
