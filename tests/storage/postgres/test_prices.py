"""A request without a cost gets one from the table of prices, the same in PostgreSQL as in SQLite."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path

from chainlog_async import Attempt
from chainlog_async.prices.model import Price
from chainlog_async.storage.engines import open_storage, reads_of
from tests.storage.random_log import batch_of
from tests.support.entries import entry
from tests.support.writing import settings_for

PRICES = [
    Price(provider_id="p", model="m", source="manual", input=2_500_001, output=10_000_000, cache_read=1_250_000),
    Price(provider_id="p", model="m", source="manual", input=5_000_000, output=20_000_000, above_tokens=1_000),
    Price(provider_id="p", model="m", source="manual", input=1, output=1, service_tier="flex"),
    Price(provider_id="p", model="embed", source="manual", input=20_000),
]
NAMES = {("p", "m"): ("p", "m"), ("proxy", "alias"): ("p", "m")}
FAILED = Attempt(provider_id="p", model="m", http_status=500, cost_usd=0.25)
ENTRIES = [
    entry(provider_id="p", model="m", prompt_tokens=100, completion_tokens=7),
    entry(provider_id="p", model="m", prompt_tokens=100, completion_tokens=7, cached_tokens=60, cache_write_tokens=20),
    entry(provider_id="p", model="m", prompt_tokens=2_000, completion_tokens=7),
    entry(provider_id="p", model="m", prompt_tokens=2_000, completion_tokens=7, service_tier="flex"),
    entry(provider_id="p", model="m", prompt_tokens=100, completion_tokens=7, cost_usd=0.5),
    entry(provider_id="p", model="m", prompt_tokens=100, cost_usd=0.5, cost_source="provider"),
    entry(provider_id="p", model="m", prompt_tokens=100, completion_tokens=7, attempts=2, attempt_trail=[FAILED]),
    entry(provider_id="proxy", model="alias", prompt_tokens=100, completion_tokens=7, prompt_audio_tokens=9),
    entry(provider_id="p", model="embed", prompt_tokens=100),
    entry(provider_id="p", model="embed", prompt_tokens=100, completion_tokens=1),
    entry(provider_id="p", model="unknown", prompt_tokens=100),
    entry(provider_id="p", model="m", attempts=0, prompt_tokens=100),
    entry(provider_id="p", model="m"),
]


async def test_costs_are_those_of_sqlite(postgres_url: str, tmp_path: Path) -> None:
    """By tier, by length of the prompt, by class of tokens, with failed attempts, and under another name."""
    answers = []
    for settings in (settings_for(tmp_path / "o.db"), settings_for(tmp_path / "p.db", db_url=postgres_url)):
        async with aclosing(await open_storage(settings)) as storage:
            await storage.start()
            for _ in range(2):
                await storage.add_prices(PRICES, NAMES)
            await storage.commit(batch_of("w", 0, ENTRIES))
        async with aclosing(reads_of(settings)) as reads:
            answers.append((await reads.get_requests_after(0, limit=100), await reads.get_all_provider_usage()))
    assert answers[0] == answers[1]
    rows = answers[0][0]
    assert sum(row.cost_source == "table" for row in rows) >= 6
    assert [row.cost_source for row in rows].count(None) >= 3
