"""Costs are computed again: those of the table and none, with all their sums, and as often as it is interrupted."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from chainlog_async import ChainLog
from chainlog_async.admin import reprice as reprice_module
from chainlog_async.admin.prices import set_prices
from chainlog_async.admin.reprice import RepricedModel, plan_repricing, reprice
from chainlog_async.prices.model import Price
from tests.support.entries import entry
from tests.support.locks import free_locks_at_pauses
from tests.support.operator import clean
from tests.support.rolling_up import roll_up, without_rollups
from tests.support.schemas import query
from tests.support.writing import settings_for

T0 = 1_772_323_200_000
TOKENS = {"prompt_tokens": 1_000, "completion_tokens": 0}


def price(dollars: int) -> Price:
    """So many dollars per million tokens."""
    return Price(provider_id="own", model="m", source="manual", input=dollars * 1_000_000)


async def log(path: Path, count: int, **fields: object) -> None:
    """Requests of one model, a minute apart."""
    with without_rollups():
        async with ChainLog(settings_for(path)) as chainlog:
            for number in range(count):
                at = T0 + number * 60_000
                chainlog.submit(entry(**{"provider_id": "own", "model": "m", "timestamp": at, **TOKENS, **fields}))


def changed(rows: int, before: float, after: float) -> RepricedModel:
    """What the plan says of the model."""
    return RepricedModel(provider_id="own", model="m", rows=rows, before_usd=before, after_usd=after)


def costs(path: Path) -> list[tuple[object, ...]]:
    """Sums in rows, buckets and totals, in nano-dollars."""
    tables = ("SELECT SUM(cost_nano) FROM request_logs", "SELECT SUM(cost_nano) FROM usage_buckets")
    totals = ("SELECT SUM(total_cost_nano) FROM usage_by_provider", "SELECT SUM(total_cost_nano) FROM usage_by_chain")
    return [query(path, sql)[0] for sql in (*tables, *totals)]


async def test_rows_buckets_rollups_and_totals_change_together(tmp_path: Path) -> None:
    """What the table priced, and what had no cost; a provider's or a gateway's own cost stays."""
    path = tmp_path / "log.db"
    await log(path, 30, tags=["team:a", "team:b", "team:a"])
    await log(path, 30, cost_usd=0.5)
    await roll_up(path, T0 + 10 * 86_400_000)
    await set_prices(path, [price(2)])
    assert await plan_repricing(path, 0) == [changed(30, 0, 0.06)]
    assert await reprice(path, 0) == 30
    assert costs(path) == [(15_060_000_000,)] * 4
    assert query(path, "SELECT cost_source, COUNT(*) FROM request_logs GROUP BY 1") == [("gateway", 30), ("table", 30)]
    await clean(path)
    await roll_up(path, T0 + 10 * 86_400_000)
    await clean(path)
    await set_prices(path, [price(3)])
    assert await plan_repricing(path, T0 + 20 * 60_000) == [changed(10, 0.02, 0.03)]
    assert await reprice(path, T0 + 20 * 60_000) == 10
    assert costs(path) == [(15_070_000_000,)] * 4
    assert await plan_repricing(path, T0 + 20 * 60_000) == []
    sums = query(path, "SELECT tag_value, SUM(cost_nano) FROM tag_buckets GROUP BY 1")
    assert sums == [("a", 70_000_000), ("b", 70_000_000)]
    await clean(path)


async def test_one_that_was_interrupted_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At any point the sums are those of the rows; the next call does the rest, also beside a writer."""
    monkeypatch.setattr(reprice_module, "SLICE_IDS", 7)
    path = tmp_path / "log.db"
    await log(path, 60)
    await set_prices(path, [price(2)])
    with anyio.CancelScope() as scope:
        await reprice(path, 0, on_progress=lambda _what, done, _total: scope.cancel() if done else None)
    assert 0 < costs(path)[0][0] < 120_000_000  # type: ignore[operator]  # numbers
    assert len(set(costs(path))) == 1
    await clean(path)
    async with ChainLog(settings_for(path)) as chainlog, anyio.create_task_group() as tasks:
        tasks.start_soon(reprice, path, 0)
        for number in range(50):
            await chainlog.write(entry(provider_id="own", model="m", timestamp=T0 + number, **TOKENS))
    assert costs(path) == [(220_000_000,)] * 4
    await clean(path)


async def test_requests_that_need_no_change_take_no_lock(tmp_path: Path) -> None:
    """Another run after a kill must not keep the gateway from writing while it passes what is done."""
    path = tmp_path / "log.db"
    await log(path, 30)
    await set_prices(path, [price(2)])
    assert await reprice(path, 0) == 30
    with closing(sqlite3.connect(path, isolation_level=None)) as other, anyio.fail_after(30):
        other.execute("BEGIN IMMEDIATE")
        assert await reprice(path, 0) == 0


async def test_the_lock_is_free_after_each_transaction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other processes poll for it, so they need a pause."""
    monkeypatch.setattr(reprice_module, "SLICE_IDS", 7)
    pauses = free_locks_at_pauses(monkeypatch, tmp_path / "log.db")
    await log(tmp_path / "log.db", 30)
    await set_prices(tmp_path / "log.db", [price(2)])
    assert await reprice(tmp_path / "log.db", 0) == 30
    assert pauses == [True] * 5
