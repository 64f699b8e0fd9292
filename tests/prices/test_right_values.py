"""Requests without a cost get the right one, to the microdollar, whatever they come in by."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from chainlog_async import Attempt, ChainLog
from chainlog_async.admin.prices import set_prices
from chainlog_async.prices.model import Price
from chainlog_async.requests.model import RequestLogRow
from chainlog_async.usage.query import UsageQuery
from chainlog_async.usage.time_window import Window
from tests.support.entries import entry
from tests.support.faults import beside_it
from tests.support.right_values import CALLS, Call
from tests.support.writing import settings_for, until

pytest.importorskip("genai_prices")

CACHED = CALLS[0].tokens


async def stored(path: Path, **fields: object) -> RequestLogRow:
    """The row that an entry becomes."""
    async with ChainLog(settings_for(path, prices=True)) as chainlog:
        await chainlog.write(entry(**fields))
        return (await chainlog.usage.get_recent_requests(1))[0]


@pytest.mark.parametrize("call", CALLS)
async def test_the_right_value_comes_out(call: Call, tmp_path: Path) -> None:
    """In the row and in the sums, under any of a provider's names, with the source of the cost."""
    provider, model, tokens, micro = call
    async with ChainLog(settings_for(tmp_path / "log.db", prices=True)) as chainlog:
        await chainlog.write(entry(provider_id=provider, model=model, **tokens))
        await chainlog.write(entry(provider_id=provider, model=model, **tokens))
        first, second = await chainlog.usage.get_recent_requests(2)
        totals = await chainlog.usage.get_provider_usage(provider)
    assert first.cost_usd == second.cost_usd == pytest.approx(micro / 1e6, abs=1e-12)
    assert first.cost_source == "table"
    assert totals is not None
    assert totals.total_cost_usd == pytest.approx(2 * micro / 1e6, abs=1e-12)


@pytest.mark.parametrize(
    ("fields", "cost", "source"),
    [
        ({"cost_usd": 0.5}, 0.5, "gateway"),
        ({"cost_usd": 0.5, "cost_source": "provider"}, 0.5, "provider"),
        ({"cost_usd": 0.0}, 0.0, "gateway"),
        ({"model": "nobody-knows-this"}, None, None),
        ({"prompt_tokens": 0, "completion_tokens": 0}, None, None),
        ({"attempts": 0}, None, None),
        ({"cost_source": "provider", "model": "nobody-knows-this"}, None, None),
    ],
)
async def test_a_cost_says_where_it_is_from(
    fields: Mapping[str, object], cost: float | None, source: str | None, tmp_path: Path
) -> None:
    """What is given counts; what is not known is None, never 0."""
    row = await stored(tmp_path / "log.db", **{"provider_id": "openai", "model": "gpt-4o-mini", **fields})
    assert (row.cost_usd, row.cost_source) == (cost, source)


async def test_a_price_that_was_set_comes_first_from_its_day_on(tmp_path: Path) -> None:
    """Before genai-prices, for the tier that it names, and not for what ended before it."""
    path = tmp_path / "log.db"
    names = {"provider_id": "openai", "model": "gpt-4o-mini", "prompt_tokens": 1_000_000, "completion_tokens": 0}
    assert (await stored(path, **names, timestamp=2_000)).cost_usd == pytest.approx(0.15)
    price = Price(provider_id="openai", model="gpt-4o-mini", source="manual", since=3_000, input=2_000_000)
    flex = Price(provider_id="openai", model="gpt-4o-mini", source="manual", service_tier="own", input=1_000_000)
    await set_prices(path, [price, flex])
    assert (await stored(path, **names, timestamp=2_500)).cost_usd == pytest.approx(0.15)
    assert (await stored(path, **names, timestamp=3_000)).cost_usd == pytest.approx(2.0)
    assert (await stored(path, **names, timestamp=4_000, service_tier="own")).cost_usd == pytest.approx(1.0)
    # Without a price of the completion, one with a completion has none.
    assert (await stored(path, **names | {"completion_tokens": 1}, timestamp=5_000)).cost_usd is None


async def test_what_attempts_cost_that_did_not_answer_is_a_part_of_it(tmp_path: Path) -> None:
    """The answer's price and what the failed attempts cost, which is its own sum."""
    tried = [
        Attempt(provider_id="a", model="m", http_status=500, cost_usd=0.25),
        Attempt(provider_id="openai", model="gpt-4o-mini", http_status=200),
    ]
    names = {"provider_id": "openai", "model": "gpt-4o-mini", **CACHED}
    row = await stored(tmp_path / "log.db", **names, attempt_trail=tried)
    assert row.cost_usd == pytest.approx(0.25 + 336.90e-6)


async def test_attempts_with_tokens_get_a_cost_of_their_own(tmp_path: Path) -> None:
    """By their provider and model, whether they answered or not; a given cost stays, and an unknown one is None."""
    tokens: dict[str, Any] = {"prompt_tokens": 2_006, "completion_tokens": 300}
    claude, cached = cast("dict[str, Any]", CALLS[3].tokens), cast("dict[str, Any]", CACHED)
    tried = [
        Attempt(provider_id="groq", model="llama-3.3-70b-versatile", http_status=500, **tokens),
        Attempt(provider_id="anthropic", model="claude-sonnet-4-5", http_status=529, **claude),
        Attempt(provider_id="groq", model="llama-3.3-70b-versatile", http_status=500, cost_usd=0.25, **tokens),
        Attempt(provider_id="groq", model="nobody-knows-this", http_status=500, **tokens),
        Attempt(provider_id="groq", model="llama-3.3-70b-versatile", http_status=429),
        Attempt(provider_id="openai", model="gpt-4o-mini", http_status=200, **cached),
    ]
    right = [1_420.54e-6, 9_684e-6, 0.25, None, None, 336.90e-6]
    names = {"provider_id": "openai", "model": "gpt-4o-mini", "attempts": 6, **CACHED}
    async with ChainLog(settings_for(tmp_path / "log.db", prices=True)) as chainlog:
        await chainlog.write(entry(**names, attempt_trail=tried, metadata={"note": "kept", "max_tokens": 9}))
        await chainlog.write(entry(**names, cost_usd=0.5, attempt_trail=tried))
        without, given = reversed(await chainlog.usage.get_recent_requests(2))
        (point,) = await chainlog.usage.get_usage(UsageQuery(window=Window(start=0, end=2**41)))
    for row in (without, given):
        assert [attempt.cost_usd for attempt in row.attempt_trail or ()] == pytest.approx(right)
        assert [attempt.http_status for attempt in row.attempt_trail or ()] == [500, 529, 500, 500, 429, 200]
    assert without.metadata == {"note": "kept", "max_tokens": 9}
    # What failed attempts cost is a part of the cost that is computed, and of one that was given already.
    spent = sum(cost or 0 for cost in right[:5])
    assert (without.cost_usd, given.cost_usd) == pytest.approx((336.90e-6 + spent, 0.5))
    assert point.unanswered_cost_usd == pytest.approx(2 * spent)


async def test_prices_can_be_switched_off(tmp_path: Path) -> None:
    """Then nothing is looked up."""
    async with ChainLog(settings_for(tmp_path / "log.db", prices=False)) as chainlog:
        await chainlog.write(entry(provider_id="openai", model="gpt-4o-mini"))
        assert (await chainlog.usage.get_recent_requests(1))[0].cost_usd is None


async def test_a_database_made_anew_gets_its_prices_anew(tmp_path: Path) -> None:
    """A model that was priced before the file was deleted is priced in the new file too."""
    path = tmp_path / "log.db"
    call = {"provider_id": "openai", "model": "gpt-4o-mini", "prompt_tokens": 1_000, "completion_tokens": 100}
    async with ChainLog(settings_for(path, prices=True)) as chainlog:
        await chainlog.write(entry(**call))
        before = chainlog.request_logger.connection
        for suffix in ("", "-wal", "-shm"):
            beside_it(path, suffix).unlink(missing_ok=True)
        await until(lambda: chainlog.request_logger.connection is not before)
        await chainlog.write(entry(**call))
        rows = await chainlog.usage.get_recent_requests(10)
    assert [row.cost_source for row in rows] == ["table"]
