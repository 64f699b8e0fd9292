"""A database of any version keeps its rows and totals through an upgrade, gets its buckets, and is written on."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from chainlog_async import UsageAggregator
from chainlog_async.admin.rebuild import rebuild_totals
from chainlog_async.storage.sqlite.identity import ORIGINAL_VERSION
from chainlog_async.storage.sqlite.migration_steps import latest_version, migrations
from chainlog_async.usage.query import UsageQuery
from chainlog_async.usage.time_window import Window
from tests.support import rolling_up
from tests.support.buckets import T0, counted_buckets, insert_details, kept_buckets
from tests.support.entries import OriginalRow, insert_as_original, original_row
from tests.support.operator import change, clean, migrate
from tests.support.schemas import (
    apply,
    make_version,
    query,
    summary_of,
    summary_of_rows,
    totals_of,
    totals_of_rows,
    version_of,
)

ROWS = "SELECT * FROM request_logs ORDER BY id"
OURS = range(ORIGINAL_VERSION + 1, latest_version())
BUCKETS_SINCE = 7
DAY_MS = 86_400_000


def random_rows(count: int, *, seed: int = 1, days: int = 5) -> list[OriginalRow]:
    """Requests of several days, not in the order of their time, as 429chain binds them."""
    rng = random.Random(seed)
    return [
        original_row(
            timestamp=T0 + rng.randrange(days * DAY_MS),
            chain_name=rng.choice(["default", "große-kette-日本"]),
            provider_id=rng.choice(["groq", "cerebras"]),
            model=rng.choice(["small", "large"]),
            prompt_tokens=rng.randrange(3_000),
            completion_tokens=rng.randrange(900),
            latency_ms=rng.choice([0, rng.randrange(9_000), 10**7]),
            http_status=rng.choice([200, 200, 429, 499, 503]),
            attempts=rng.randrange(4),
            error_message=rng.choice([None, "refused"]),
        )
        for _ in range(count)
    ]


def older(path: Path, version: int, rows: list[OriginalRow]) -> Path:
    """A database of an earlier version of ours with these rows, which its own triggers counted."""
    make_version(path, version)
    change(path, "PRAGMA journal_mode = WAL")
    insert_as_original(path, rows)
    return path


async def check_upgraded(path: Path) -> None:
    """Everything that is kept equals an independent count, also after 429chain and others have written on."""
    assert kept_buckets(path) == counted_buckets(path)
    await clean(path)
    insert_as_original(path, random_rows(150, seed=2))
    insert_details(path, 150)
    assert kept_buckets(path) == counted_buckets(path)
    await clean(path)
    assert (await rebuild_totals(path)).mended == ()


@pytest.mark.parametrize("version", OURS)
async def test_an_older_database_of_ours_is_upgraded(
    version: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows and totals stay to the last field, and buckets are made of all rows, be it in several slices."""
    monkeypatch.setattr("chainlog_async.storage.sqlite.schema.SLICE_ROWS", 70)
    path = older(tmp_path / "older.db", version, random_rows(400))
    rows, totals, summary = query(path, ROWS), totals_of(path), summary_of(path)
    await migrate(path)
    assert version_of(path) == latest_version()
    assert [row[: len(rows[0])] for row in query(path, ROWS)] == rows
    assert totals_of(path) == totals == totals_of_rows(path)
    assert summary_of(path) == summary == summary_of_rows(path)
    await check_upgraded(path)
    assert totals_of(path) == totals_of_rows(path)


@pytest.mark.parametrize("version", range(1, latest_version()))
async def test_what_was_deleted_before_the_upgrade_is_in_no_bucket(version: int, tmp_path: Path) -> None:
    """It stays in the totals, the check knows of it, and buckets from before it are compared all the same."""
    path = tmp_path / "older.db"
    if version > ORIGINAL_VERSION:
        older(path, version, random_rows(200))
    else:
        # The column that version 2 adds, for that is how the rows are inserted; a kill of 429chain leaves it like this.
        apply(path, migrations()[:version])
        apply(path, migrations()[version:ORIGINAL_VERSION], number=False)
        insert_as_original(path, random_rows(200))
    totals = totals_of(path)
    change(path, "DELETE FROM request_logs WHERE id % 2")
    await migrate(path)
    assert totals_of(path) == totals
    assert (await clean(path)).pruned_rows == 100
    if version < BUCKETS_SINCE:
        await check_upgraded(path)
        change(path, "UPDATE usage_buckets SET requests = 0 WHERE start = (SELECT MIN(start) FROM usage_buckets)")
        assert (await rebuild_totals(path)).left == ()
        await clean(path)
    change(path, f"DELETE FROM request_logs WHERE timestamp < {T0 + DAY_MS}")
    await clean(path)


@pytest.mark.parametrize("version", [1, 2])
async def test_a_database_of_the_original_gets_its_buckets(
    version: int, copy_of_original: Callable[[int], Path]
) -> None:
    """429chain's own file answers for usage over time as for its totals, and counts what 429chain goes on writing."""
    path = copy_of_original(version)
    rows = query(path, ROWS)
    await migrate(path)
    assert [row[: len(rows[0])] for row in query(path, ROWS)] == rows
    assert totals_of(path) == totals_of_rows(path)
    ((first, last, count),) = query(path, "SELECT MIN(timestamp), MAX(timestamp), COUNT(*) FROM request_logs")
    async with UsageAggregator(path) as usage:
        (point,) = await usage.get_usage(UsageQuery(window=Window(start=int(str(first)), end=int(str(last)) + 1)))
        assert point.requests == count
        (health, *_) = await usage.get_provider_health(Window(start=int(str(first)), end=int(str(last)) + 1))
        assert health.attempts > 0
    await check_upgraded(path)


@pytest.mark.parametrize("pruned", [False, True])
async def test_costs_become_exact_sums_of_the_rows(
    pruned: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the nano-dollar, in totals as in buckets; what deleted rows cost stays, each rounded no further than that."""
    monkeypatch.setattr("chainlog_async.storage.sqlite.schema.SLICE_ROWS", 70)
    path = older(tmp_path / "older.db", 10, [])
    rng = random.Random(4)
    costs = [rng.choice([None, 0, 0.1, 1e-9, rng.random(), 5_000]) for _ in range(400)]
    columns = "timestamp, chain_name, provider_id, model, latency_ms, http_status, attempts, cost_usd"
    values = ", ".join(
        f"({T0 + number * 60_000}, 'c', 'p{number % 2}', 'm', 5, 200, 1, {'NULL' if cost is None else repr(cost)})"
        for number, cost in enumerate(costs)
    )
    change(path, f"INSERT INTO request_logs ({columns}) VALUES {values}")
    if pruned:
        change(path, f"DELETE FROM request_logs WHERE timestamp < {T0 + 60 * 60_000} OR id % 7 = 0")
    await migrate(path)
    nano = [sum(math.floor((cost or 0) * 1e9 + 0.5) for cost in costs[first::2]) for first in (0, 1)]
    totals = query(path, "SELECT total_cost_nano FROM usage_by_provider ORDER BY provider_id")
    buckets = query(path, "SELECT SUM(cost_nano) FROM usage_buckets GROUP BY provider_id ORDER BY provider_id")
    assert totals == buckets == [(pytest.approx(cost, abs=200 * pruned, rel=0),) for cost in nano]
    assert query(path, "SELECT SUM(cost_usd) FROM usage_buckets") == [(pytest.approx(sum(nano) / 1e9),)]
    await clean(path)
    change(path, "DELETE FROM request_logs WHERE id % 5 = 0")
    await clean(path)
    assert (await rebuild_totals(path)).mended == ()


async def test_an_empty_older_database_has_empty_buckets(tmp_path: Path) -> None:
    """Nothing is made of nothing."""
    path = await migrate(older(tmp_path / "older.db", 5, []))
    assert kept_buckets(path) == counted_buckets(path) == {"usage": {}, "ttft": {}, "attempts": {}}
    await check_upgraded(path)


async def test_what_was_rolled_up_goes_with_the_upgrade(tmp_path: Path) -> None:
    """Version 8 had spans of six hours, and version 9 histograms of all requests; the writer rolls up again."""
    path = older(tmp_path / "older.db", 8, random_rows(100, days=1))
    rolling_up.roll_up_small_ones(path)
    for width in (900_000, 21_600_000):
        change(
            path,
            f"INSERT INTO to_roll_up SELECT MIN(start), {width}, 0, 'all' FROM usage_buckets",
            f"INSERT INTO rolled_up SELECT {width}, MIN(start), 1, NULL, NULL FROM usage_buckets",
        )
    await migrate(path)
    for table in ("rolled_up", "usage_rollups", "duration_rollups"):
        assert query(path, f"SELECT DISTINCT width FROM {table}") == []
    await rolling_up.roll_up(path, T0 + 2 * DAY_MS)
    await clean(path)
