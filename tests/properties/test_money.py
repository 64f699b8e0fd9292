"""Buckets, rollups and totals equal the rows, whatever is logged and in whatever order: cost to the nano-dollar."""

from __future__ import annotations

import math
import sqlite3
import tempfile
from collections.abc import Sequence
from contextlib import aclosing, closing
from pathlib import Path

import anyio
import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chainlog_async import Attempt, ChainLog, RequestLogEntry
from chainlog_async.admin.check import check_database
from chainlog_async.admin.prices import set_prices
from chainlog_async.admin.reprice import plan_repricing, reprice
from chainlog_async.common.outcome import attempt_status
from chainlog_async.entry.model import MAX_COST_USD, TOKEN_CLASSES
from chainlog_async.prices.model import Price
from chainlog_async.requests.model import RequestLogRow
from chainlog_async.storage.engines import open_reads
from chainlog_async.usage.points import UsagePoint
from chainlog_async.usage.query import UsageFilter, UsageQuery
from chainlog_async.usage.time_window import Window
from tests.support.entries import entry
from tests.support.rolling_up import roll_up, without_rollups
from tests.support.usage_rows import DAY_MS, END, START
from tests.support.writing import settings_for

NANO = 1_000_000_000

costs = st.none() | st.sampled_from([0.0, 0.1, 1e-9, 5e-10, 1 / 3, float(MAX_COST_USD)]) | st.floats(0, 100)
TAGS = ["team:a", "team:b", "team:c", "env:prod:eu"]
tokens = st.none() | st.integers(0, 10_000)
attempts = st.builds(
    lambda status, message, cost: Attempt(
        provider_id="p0", model="m0", http_status=status, error_message=message, cost_usd=cost
    ),
    st.sampled_from([None, 200, 429, 499, 500]),
    st.sampled_from([None, "broke off"]),
    costs,
)
entries = st.builds(
    lambda hour, provider, caller, cost, trail, tags, classes: entry(
        timestamp=START + hour * 3_600_000,
        provider_id=provider,
        caller=caller,
        cost_usd=cost,
        attempt_trail=trail or None,
        tags=tags,
        **dict(zip(TOKEN_CLASSES, classes, strict=True)),
    ),
    st.integers(0, 71),
    st.sampled_from(["p0", "p1"]),
    st.sampled_from([None, "team"]),
    costs,
    st.lists(attempts, max_size=2),
    st.none() | st.lists(st.sampled_from(TAGS), max_size=3),
    st.tuples(*[tokens] * len(TOKEN_CLASSES)),
)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(entries, min_size=1, max_size=40), st.integers(0, 40))
def test_sums_equal_the_rows_exactly(logged: list[RequestLogEntry], late: int) -> None:
    """In any order, also of rows that come after everything was rolled up, and once half of them are pruned."""
    with tempfile.TemporaryDirectory() as folder:
        anyio.run(_check, Path(folder) / "log.db", logged, late)


async def _check(path: Path, logged: list[RequestLogEntry], late: int) -> None:
    with without_rollups():
        async with ChainLog(settings_for(path)) as chainlog:
            for one in logged[:late]:
                chainlog.submit(one)
        await roll_up(path, END)
        async with ChainLog(settings_for(path)) as chainlog:
            for one in logged[late:]:
                chainlog.submit(one)
            await chainlog.flush()
            await _check_usage(chainlog, logged)
            await _check_tags(chainlog, logged)
        await roll_up(path, END)
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("DELETE FROM request_logs WHERE id % 2")
        async with ChainLog(settings_for(path)) as chainlog:
            await _check_usage(chainlog, logged)
            await _check_tags(chainlog, logged)
    assert (await check_database(path)).wrong_numbers == 0


async def _check_usage(chainlog: ChainLog, logged: list[RequestLogEntry]) -> None:
    window = Window(start=START, end=START + 3 * DAY_MS)
    points = await chainlog.usage.get_usage(UsageQuery(window=window, by="provider"))
    totals = await chainlog.usage.get_metric_totals(100)
    for provider in {one.provider_id for one in logged}:
        rows = [one for one in logged if one.provider_id == provider]
        known = await chainlog.usage.get_provider_usage(provider)
        (point,) = [point for point in points if point.name == provider]
        of_metrics = [one for one in totals.usage if one.provider == provider]
        cost = sum(_nano(one.cost_usd) for one in rows)
        assert known is not None
        assert point.cost_usd == known.total_cost_usd == cost / NANO
        assert sum(round(one.cost_usd * NANO) for one in of_metrics) == cost
        assert point.unanswered_cost_usd == sum(map(_unanswered, rows)) / NANO
        for name in TOKEN_CLASSES:
            assert getattr(point, name) == sum(getattr(one, name) or 0 for one in rows)


async def _check_tags(chainlog: ChainLog, logged: list[RequestLogEntry]) -> None:
    """A request counts once under each of its tags; with another filter, that of it which passes."""
    window = Window(start=START, end=START + 3 * DAY_MS, step="1d")
    for key in ("team", "env"):
        for provider in (None, "p0"):
            query = UsageQuery(window=window, by=f"tag:{key}", where=UsageFilter(provider=provider))
            found: dict[tuple[int, str], list[float]] = {}
            for point in await chainlog.usage.get_usage(query):
                assert point.name is not None
                found[point.start, point.name] = [point.requests, point.cost_usd, point.reasoning_tokens]
            expected: dict[tuple[int, str], list[float]] = {}
            for one in logged:
                for tag in set(one.tags or ()) if provider in (None, one.provider_id) else ():
                    if tag.startswith(f"{key}:"):
                        day = START + (one.timestamp - START) // DAY_MS * DAY_MS
                        sums = expected.setdefault((day, tag.partition(":")[2]), [0, 0, 0])
                        sums[:] = [sums[0] + 1, sums[1] + _nano(one.cost_usd), sums[2] + (one.reasoning_tokens or 0)]
            assert found == {name: [sums[0], sums[1] / NANO, sums[2]] for name, sums in expected.items()}


def _nano(cost_usd: float | None) -> int:
    return math.floor((cost_usd or 0) * 1e9 + 0.5)


def _unanswered(one: RequestLogEntry | RequestLogRow) -> int:
    trail = msgspec.convert(one.attempt_trail or [], list[Attempt], from_attributes=True)
    return sum(_nano(try_.cost_usd) for try_ in trail if attempt_status(try_.http_status, try_.error_message) >= 400)


priced_tries = st.builds(
    lambda model, status, message, cost, prompt, completion: Attempt(
        provider_id="p0",
        model=model,
        http_status=status,
        error_message=message,
        cost_usd=cost,
        prompt_tokens=prompt,
        completion_tokens=completion,
    ),
    st.sampled_from(["m0", "m1", "without a price"]),
    st.sampled_from([None, 200, 429, 499, 500]),
    st.sampled_from([None, "broke off"]),
    st.none() | costs,
    tokens,
    tokens,
)
priced_entries = st.builds(
    lambda minute, model, status, cost, prompt, tier, trail: entry(
        timestamp=START + minute * 60_000,
        provider_id="p0",
        model=model,
        http_status=status,
        cost_usd=cost,
        prompt_tokens=prompt,
        completion_tokens=prompt // 3,
        service_tier=tier,
        tags=["team:a"],
        attempt_trail=trail or None,
        attempts=len(trail),
    ),
    st.integers(0, 4_000),
    st.sampled_from(["m0", "m1", "without a price"]),
    st.sampled_from([200, 429, 502]),
    st.none() | st.none() | costs,
    st.sampled_from([0, 0, 100, 12_345]),
    st.sampled_from([None, "flex"]),
    st.lists(priced_tries, max_size=3),
)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(priced_entries, min_size=20, max_size=60))
def test_repricing_leads_to_what_would_have_been_stored(logged: list[RequestLogEntry]) -> None:
    """Of requests and of their tries, whatever they cost before; and every sum is that of the rows at each moment."""
    with tempfile.TemporaryDirectory() as folder:
        anyio.run(_check_repricing, Path(folder), logged)


async def _check_repricing(folder: Path, logged: list[RequestLogEntry]) -> None:
    repriced, stored = folder / "repriced.db", folder / "stored.db"
    await _store(repriced, logged)
    await roll_up(repriced, END)
    for rate in (7, 3):
        await set_prices(repriced, _prices(rate))
        await reprice(repriced, 0)
        assert await plan_repricing(repriced, 0) == []
        assert (await check_database(repriced)).wrong_numbers == 0
    await _store(stored, [])
    await set_prices(stored, _prices(3))
    await _store(stored, logged)
    rows = [await _rows(path) for path in (repriced, stored)]
    assert rows[0] == rows[1]
    for row in rows[0]:
        unanswered = _unanswered(row)
        assert row.cost_source != "table" or _nano(row.cost_usd) >= unanswered
    (point,) = await _usage_of(repriced)
    assert point.cost_usd == sum(_nano(row.cost_usd) for row in rows[0]) / NANO
    assert point.unanswered_cost_usd == sum(map(_unanswered, rows[0])) / NANO


async def _store(path: Path, logged: list[RequestLogEntry]) -> None:
    with without_rollups():
        async with ChainLog(settings_for(path)) as chainlog:
            for one in logged:
                chainlog.submit(one)


def _prices(rate: int) -> list[Price]:
    return [
        Price(provider_id="p0", model="m0", source="manual", input=rate * 1_000_003, output=rate * 5_000_000),
        Price(provider_id="p0", model="m1", source="manual", input=rate * 250_000),
        Price(provider_id="p0", model="m1", source="manual", service_tier="flex", input=rate * 10_000, output=rate),
    ]


async def _rows(path: Path) -> list[RequestLogRow]:
    async with aclosing(open_reads(path)) as reads:
        return list(await reads.get_requests_after(0, limit=100))


async def _usage_of(path: Path) -> Sequence[UsagePoint]:
    async with aclosing(open_reads(path)) as reads:
        return await reads.get_usage(UsageQuery(window=Window(start=START, end=START + 3 * DAY_MS)))
