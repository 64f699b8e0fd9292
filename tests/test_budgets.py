"""A budget is what the rows of its period cost, exactly, and asking for it costs the same in a log of any size."""

from __future__ import annotations

import random
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from chainlog_async import BudgetStatus, ChainLog, RequestLogEntry, UsageAggregator
from chainlog_async.common.clock import DAY_MS, HOUR_MS, now_ms
from chainlog_async.errors import SettingsError
from chainlog_async.settings import BudgetSettings
from chainlog_async.storage.sqlite.reader_pool import ReaderPool
from tests.support.entries import entry
from tests.support.rolling_up import roll_up
from tests.support.schemas import instructions
from tests.support.writing import query, settings_for

TEAM = BudgetSettings(name="team-a", caller="team-a", limit_usd=50, per="day", zone="Europe/Berlin")
COST = (
    "SELECT COALESCE(SUM(CAST(ROUND(cost_usd * 1e9) AS INTEGER)), 0) FROM request_logs "
    "WHERE timestamp >= ? AND timestamp < ? AND caller = 'team-a'"
)


def midnight(day: str) -> int:
    """When a day begins in Berlin, in ms."""
    return int(datetime.fromisoformat(day).replace(tzinfo=ZoneInfo("Europe/Berlin")).timestamp() * 1_000)


async def log(path: Path, entries: list[RequestLogEntry]) -> None:
    """Writes the entries."""
    async with ChainLog(settings_for(path)) as chainlog:
        for one in entries:
            chainlog.submit(one)


async def ask(path: Path, budget: BudgetSettings, at: int) -> BudgetStatus:
    """What is left at that time."""
    async with UsageAggregator(path) as usage:
        return await usage.get_budget(budget, at=at)


# The clocks go forward, go back, and do neither.
@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25", "2026-11-29"])
@pytest.mark.parametrize("is_rolled_up", [False, True])
async def test_a_budget_is_what_the_rows_of_its_day_cost(tmp_path: Path, day: str, is_rolled_up: bool) -> None:
    """To the nano-dollar and to the millisecond, whatever the clocks of Berlin do that day."""
    rng, path, start = random.Random(day), tmp_path / "o.db", midnight(day)
    edges = [*range(start - 2 * HOUR_MS, start + 27 * HOUR_MS, HOUR_MS // 4)]
    times = [edge + offset for edge in edges for offset in (-1, 0, 1)]
    costs = (0.1, 1e-9, 0.0000003, None)
    await log(
        path,
        [
            entry(timestamp=at, cost_usd=rng.choice([*costs, rng.random()]), caller=rng.choice(["team-a", "b", None]))
            for at in times
        ],
    )
    if is_rolled_up:
        await roll_up(path, start + 3 * DAY_MS, small_ones=True)
    status = await ask(path, TEAM, start + 12 * HOUR_MS)
    ((nano,),) = query(path, COST, status.starts_at, status.resets_at)
    assert status.starts_at == start
    assert round(status.spent_usd * 1e9) == nano
    assert status.spent_usd == int(str(nano)) / 1e9
    assert round(status.left_usd * 1e9) == 50_000_000_000 - int(str(nano))
    # The last moment of the day counts to it, and the first of the next does not.
    assert (await ask(path, TEAM, status.resets_at - 1)).spent_usd == status.spent_usd
    assert (await ask(path, TEAM, status.resets_at)).starts_at == status.resets_at


async def test_nothing_spent_is_zero_and_too_much_leaves_nothing(tmp_path: Path) -> None:
    """`left_usd` is never below zero."""
    path = tmp_path / "o.db"
    await log(path, [entry(timestamp=midnight("2026-11-29"), caller="team-a", cost_usd=60.5)])
    spent = await ask(path, TEAM, midnight("2026-11-29"))
    assert (spent.spent_usd, spent.left_usd, spent.is_spent) == (60.5, 0.0, True)
    fresh = await ask(path, TEAM, midnight("2026-11-30"))
    assert (fresh.spent_usd, fresh.left_usd, fresh.is_spent) == (0.0, 50.0, False)


async def test_a_budget_counts_whom_it_is_for(tmp_path: Path) -> None:
    """A provider, a model, a chain, a caller, several of these, or everybody."""
    path, at = tmp_path / "o.db", midnight("2026-11-29")
    names = [("p", "m", "c", "x"), ("p", "n", "c", "y"), ("q", "m", "d", None)]
    await log(
        path,
        [
            entry(timestamp=at, provider_id=p, model=m, chain_name=c, caller=who, cost_usd=10.0**number)
            for number, (p, m, c, who) in enumerate(names)
        ],
    )

    async def spent(**names: str) -> float:
        return (await ask(path, BudgetSettings.model_validate({"name": "b", "limit_usd": 1, **names}), at)).spent_usd

    assert await spent() == 111
    assert await spent(provider="p") == 11
    assert await spent(model="m") == 101
    assert await spent(chain="d") == 100
    assert await spent(caller="") == 100
    assert await spent(provider="p", caller="y") == 10


async def test_a_budget_costs_the_same_in_a_log_of_any_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite takes as many instructions for it with ten times the requests, rolled up or not."""
    asked: list[tuple[str, dict[str, object]]] = []
    fetch = ReaderPool.fetch

    async def noting(pool: ReaderPool, sql: str, parameters: dict[str, object]) -> list[tuple[object, ...]]:
        asked.append((sql, parameters))
        return await fetch(pool, sql, parameters)

    monkeypatch.setattr(ReaderPool, "fetch", noting)
    start = midnight("2026-11-01")
    month = TEAM.model_copy(update={"per": "month"})
    times = range(start, start + 20 * DAY_MS, 6 * HOUR_MS)
    taken = {}
    for requests in (1, 10):
        path = tmp_path / f"{requests}.db"
        await log(path, [entry(timestamp=at, cost_usd=0.1, caller="team-a") for at in times for _ in range(requests)])
        for is_rolled_up in (False, True):
            if is_rolled_up:
                await roll_up(path, start + 40 * DAY_MS, small_ones=True)
            asked.clear()
            status = await ask(path, month, start)
            assert status.spent_usd == pytest.approx(0.1 * requests * len(times))
            taken[requests, is_rolled_up] = sum(instructions(path, sql, parameters) for sql, parameters in asked)
    assert taken[10, False] <= 1.01 * taken[1, False]
    assert taken[10, True] <= 1.01 * taken[1, True]


async def test_the_gateway_asks_by_name(tmp_path: Path) -> None:
    """And hears of a name that is not in the settings, with the most similar one."""
    async with ChainLog(settings_for(tmp_path / "o.db", budgets=[TEAM])) as chainlog:
        await chainlog.write(entry(timestamp=now_ms(), caller="team-a", cost_usd=0.25))
        status = await chainlog.budget("team-a")
        assert (status.spent_usd, status.left_usd) == (0.25, 49.75)
        assert status.starts_at <= now_ms() < status.resets_at
        with pytest.raises(SettingsError, match=r"no budget 'team-b' in the settings; did you mean 'team-a'\?"):
            await chainlog.budget("team-b")
