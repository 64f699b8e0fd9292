"""What caches saved is what the same tokens would have cost more without them."""

from __future__ import annotations

from pathlib import Path

import pytest

from chainlog_async import RequestLogEntry, UsageFilter, Window
from chainlog_async.admin import prices as sqlite_prices
from chainlog_async.admin.postgres import prices as postgres_prices
from chainlog_async.prices.model import Price
from chainlog_async.settings import Settings
from chainlog_async.storage.postgres.url import parse_url
from chainlog_async.usage.cache_savings import CacheSavings, savings_of
from chainlog_async.usage.points import UsagePoint
from chainlog_async.usage_aggregator import UsageAggregator
from tests.support.service import running, service_settings
from tests.support.two_engines import store_in_each

T0 = 1_760_000_400_000
"""The start of a quarter of an hour."""
M = 1_000_000
CLAUDE = Price(
    provider_id="anthropic",
    model="claude",
    source="manual",
    input=3 * M,
    cache_read=3 * M // 10,
    cache_write=15 * M // 4,
    cache_write_1h=6 * M,
)
"""Dollars per million tokens: 3 of input, 0.30 read, 3.75 written, 6 written for an hour."""


def point(cached_tokens: int = 0, cache_write_tokens: int = 0, cache_write_1h_tokens: int = 0) -> UsagePoint:
    """What was used of a model."""
    return UsagePoint(
        start=0,
        end=1,
        name="claude",
        cached_tokens=cached_tokens,
        cache_write_tokens=cache_write_tokens,
        cache_write_1h_tokens=cache_write_1h_tokens,
    )


@pytest.mark.parametrize(
    ("tokens", "dollars"),
    [
        ({"cached_tokens": M}, 2.70),
        ({"cache_write_tokens": M}, -0.75),
        ({"cache_write_tokens": M, "cache_write_1h_tokens": M}, -3.0),
        ({"cached_tokens": 10 * M, "cache_write_tokens": 2 * M, "cache_write_1h_tokens": M}, 27 - 0.75 - 3),
        ({}, 0.0),
    ],
)
def test_reading_saves_and_writing_costs(tokens: dict[str, int], dollars: float) -> None:
    """Each class by its own rate against that of input."""
    found = savings_of([(point(**tokens), CLAUDE)])
    assert found.saved_usd == pytest.approx(dollars, abs=1e-12)
    assert found.unpriced_tokens == 0


def test_a_class_without_a_rate_saves_nothing_and_a_model_without_a_price_is_counted_apart() -> None:
    """What is not known is told, and never guessed."""
    plain = Price(provider_id="p", model="m", source="manual", input=3 * M)
    tokens = point(cached_tokens=5, cache_write_tokens=7)
    assert savings_of([(tokens, plain)]) == CacheSavings(cached_tokens=5, cache_write_tokens=7)
    assert savings_of([(tokens, None)]) == CacheSavings(cached_tokens=5, cache_write_tokens=7, unpriced_tokens=12)


def entry(provider_id: str, model: str, **fields: object) -> RequestLogEntry:
    """A request of the first minute of the log."""
    common: dict[str, object] = {
        "timestamp": T0 + 60_000,
        "chain_name": "c",
        "prompt_tokens": 1000,
        "completion_tokens": 1,
    }
    names: dict[str, object] = {"provider_id": provider_id, "model": model, "latency_ms": 1, "http_status": 200}
    return RequestLogEntry(**(common | names | {"attempts": 1} | fields))  # type: ignore[arg-type]  # of the right types


ENTRIES = [
    entry("anthropic", "claude", cached_tokens=600, cache_write_tokens=200, caller="a"),
    entry("anthropic", "claude", cached_tokens=400, caller="b"),
    entry("anthropic", "other", cached_tokens=50),
    entry("openai", "claude", cached_tokens=7),
    entry("openai", "without caches"),
    entry("\N{SNOWMAN}", "m", cached_tokens=3, cache_write_tokens=1),
]
NEWER = Price(provider_id="anthropic", model="claude", source="manual", since=T0 + 120_000, input=1)
WEAKER = Price(provider_id="anthropic", model="claude", source="litellm", since=T0 + 30_000, input=1)
TIER = Price(provider_id="anthropic", model="claude", source="manual", service_tier="batch", input=1)
LARGE = Price(provider_id="anthropic", model="claude", source="manual", above_tokens=200_000, input=1)
WINDOW = Window(start=T0, end=T0 + 90_000)


async def test_every_engine_says_the_same(postgres_url: str, tmp_path: Path) -> None:
    """By the price at the end of the window, of any tier and size, by the names of the table; for a filter as well."""
    logs = (service_settings(tmp_path), service_settings(tmp_path, db_url=postgres_url))
    await store_in_each(logs, ENTRIES)
    prices = [CLAUDE, NEWER, WEAKER, TIER, LARGE]
    await sqlite_prices.set_prices(logs[0].db_path, prices)
    await postgres_prices.set_prices(parse_url(postgres_url), prices)
    saved = 0.00255  # 1,000 read at 2.70 less than input, 200 written at 0.75 more
    whole = CacheSavings(cached_tokens=1060, cache_write_tokens=201, saved_usd=saved, unpriced_tokens=50 + 7 + 4)
    of_b = CacheSavings(cached_tokens=400, saved_usd=0.00108)
    async with running(logs[0]) as client:
        url = Settings(db_url=str(client.base_url).rstrip("/"), db_path=tmp_path / "own.db")
        for settings in (*logs, url):
            async with UsageAggregator.from_settings(settings) as usage:
                assert await usage.get_cache_savings(WINDOW) == whole
                assert await usage.get_cache_savings(WINDOW, UsageFilter(caller="b")) == of_b
                assert await usage.get_cache_savings(Window(start=T0 + 900_000, end=T0 + 1_800_000)) == CacheSavings()
                after = await usage.get_cache_savings(Window(start=T0, end=T0 + 130_000))
                assert after.saved_usd == 0
                found = await usage.get_prices(
                    [("anthropic", "claude"), ("x\0", "m"), ("openai", "claude")], at=T0 + 90_000
                )
                assert found == [CLAUDE, None, None]
        reply = (await client.get(f"/v1/cache-savings?from={T0}&until={T0 + 90_000}&caller=b")).json()
    savings = {"cachedTokens": 400, "cacheWriteTokens": 0, "savedUsd": 0.00108, "unpricedTokens": 0}
    assert reply == {"from": T0, "until": T0 + 90_000, "savings": savings}
