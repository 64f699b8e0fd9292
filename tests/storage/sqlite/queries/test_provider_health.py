"""Provider health: every try, whatever of them is rolled up."""

from __future__ import annotations

from pathlib import Path

import pytest

from chainlog_async import ProviderHealth, UsageAggregator, Window
from chainlog_async.common.clock import DAY_MS, HOUR_MS
from chainlog_async.storage.sqlite.maintenance.rollup_job import ROLLUP_GRACE_MS
from tests.support.buckets import T0, insert_details, kept_buckets
from tests.support.rolling_up import roll_up
from tests.support.schemas import query

DAYS = 4
WHOLE = Window(start=T0, end=T0 + DAYS * DAY_MS)
WITHIN = Window(start=T0 + 5 * HOUR_MS, end=T0 + 3 * DAY_MS - 7 * HOUR_MS)


async def health(path: Path, window: Window) -> list[ProviderHealth]:
    """What the aggregator says."""
    async with UsageAggregator(path) as usage:
        return await usage.get_provider_health(window)


def tries(path: Path, window: Window) -> dict[tuple[str, str], list[float]]:
    """The expected health, from the quarters of an hour: tries, successes, refusals, failures of each model."""
    sums: dict[tuple[str, str], list[float]] = {}
    for (start, provider, model), numbers in kept_buckets(path)["attempts"].items():
        if window.start <= int(str(start)) < window.end:
            so_far = sums.get((str(provider), str(model)), [0] * 4)
            sums[str(provider), str(model)] = [a + b for a, b in zip(so_far, numbers, strict=True)]
    return sums


@pytest.mark.parametrize("window", [WHOLE, WITHIN], ids=["whole days", "parts of days"])
async def test_every_try_counts_once_whatever_is_rolled_up(window: Window, database: Path) -> None:
    """With no day rolled up, with two of them and with all, the tries, and the last errors, are the same."""
    insert_details(database, 600, days=DAYS)
    expected = tries(database, window)
    from_buckets = await health(database, window)
    for days in (0, 2, DAYS):
        if days:
            await roll_up(database, T0 + days * DAY_MS + ROLLUP_GRACE_MS)
        assert query(database, "SELECT COUNT(*) FROM rolled_up WHERE width = 86400000") == [(days,)]
        found = await health(database, window)
        assert {
            (one.provider_id, one.model): [one.attempts, one.successes, one.rate_limited, one.failures] for one in found
        } == expected
        assert found == from_buckets
        assert any(one.last_error_at for one in found)


async def test_a_late_try_counts_at_once(database: Path) -> None:
    """A day that gets a late row is read from its buckets until it is rolled up anew."""
    insert_details(database, 200, days=DAYS)
    await roll_up(database, T0 + DAYS * DAY_MS + ROLLUP_GRACE_MS)
    insert_details(database, 1, seed=1, days=1)
    assert sum(one.attempts for one in await health(database, WHOLE)) == sum(
        numbers[0] for numbers in tries(database, WHOLE).values()
    )
