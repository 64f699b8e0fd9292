"""What happens between batches on PostgreSQL: totals, partitions, retention, and the order of the live tail."""

from __future__ import annotations

import operator
import random
from collections import Counter
from contextlib import aclosing
from pathlib import Path
from typing import Any

import anyio
import asyncpg
import pytest

from chainlog_async.common.clock import DAY_MS, now_ms
from chainlog_async.storage.engines import open_storage
from chainlog_async.storage.postgres.maintenance import days_beyond
from tests.storage.random_log import batch_of, random_entries
from tests.support.entries import entry
from tests.support.postgres import connected, query, run
from tests.support.writing import settings_for

SUMMARY = "SELECT total_requests, waterfall_requests, total_latency_ms FROM chainlog.summary_totals"
PRUNED = "SELECT total_requests, waterfall_requests, total_latency_ms FROM chainlog.pruned_summary"
TODAY = now_ms() // DAY_MS * DAY_MS


async def store(url: str, folder: Path, ages: list[int], writer_id: str = "w") -> None:
    """A request of each age, in days."""
    async with aclosing(await open_storage(settings_for(folder / "o.db", db_url=url))) as storage:
        await storage.start()
        entries = [entry(timestamp=TODAY - age * DAY_MS + number) for number, age in enumerate(ages)]
        await storage.commit(batch_of(writer_id, 0, entries))


async def maintain(url: str, folder: Path, **settings: object) -> None:
    """One round."""
    async with aclosing(await open_storage(settings_for(folder / "o.db", db_url=url, **settings))) as storage:
        await storage.start()
        await storage.maintain(is_behind=False)


async def partitions(url: str) -> list[int]:
    """The days that have a partition, as ages."""
    names = await query(
        url,
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname ~ '^request_logs_[0-9]' "
        "AND relnamespace = 'chainlog'::regnamespace AND relispartition ORDER BY 1",
    )
    days = await query(
        url,
        "SELECT (extract(epoch FROM to_timestamp(right(name, 8), 'YYYYMMDD')) * 1000)::bigint "
        "FROM unnest($1::text[]) AS name",
        [name for (name,) in names],
    )
    return [(TODAY - day) // DAY_MS for (day,) in days]


async def test_a_week_of_partitions_is_made_ahead(postgres_url: str, tmp_path: Path) -> None:
    """What is logged of today and the days to come is in partitions of their own, and nothing in the rest."""
    await maintain(postgres_url, tmp_path)
    assert await partitions(postgres_url) == [0, -1, -2, -3, -4, -5, -6, -7]
    await store(postgres_url, tmp_path, [0, 0, -1])
    assert await query(postgres_url, "SELECT count(*) FROM chainlog.request_logs_rest") == [(0,)]


async def test_rows_of_a_day_move_into_its_partition(postgres_url: str, tmp_path: Path) -> None:
    """Whatever was logged before there was one."""
    await store(postgres_url, tmp_path, [0, 3, 3])
    before = await query(postgres_url, "SELECT * FROM chainlog.request_logs ORDER BY id")
    await run(postgres_url, f"SELECT chainlog.make_partitions({TODAY - 3 * DAY_MS}, {TODAY + 1})")
    assert await partitions(postgres_url) == [3, 2, 1, 0]
    assert await query(postgres_url, "SELECT count(*) FROM chainlog.request_logs_rest") == [(0,)]
    assert await query(postgres_url, "SELECT * FROM chainlog.request_logs ORDER BY id") == before


@pytest.mark.parametrize("partitioned", [True, False])
@pytest.mark.parametrize(
    ("limit", "kept"),
    [({"retention_days": 5}, [0, 1, 4]), ({"retention_rows": 2}, [0, 1]), ({"retention_rows": 100}, [0, 1, 4, 9, 9])],
)
async def test_old_days_are_dropped_and_totals_stay(
    postgres_url: str, tmp_path: Path, limit: dict[str, object], kept: list[int], partitioned: bool
) -> None:
    """By age or by number, in partitions or not; what was dropped is kept apart for a check of the totals."""
    if partitioned:
        await run(postgres_url, f"SELECT chainlog.make_partitions({TODAY - 9 * DAY_MS}, {TODAY + 1})")
    await store(postgres_url, tmp_path, [0, 1, 4, 9, 9])
    totals = await query(postgres_url, SUMMARY)
    await maintain(postgres_url, tmp_path, **limit)
    rows = await query(postgres_url, "SELECT timestamp / 86400000 * 86400000 FROM chainlog.request_logs ORDER BY id")
    assert [(TODAY - day) // DAY_MS for (day,) in rows] == kept
    assert await query(postgres_url, SUMMARY) == totals
    ((pruned, *_),) = await query(postgres_url, PRUNED)
    assert pruned == 5 - len(kept)
    assert await query(postgres_url, "SELECT sum(rows) FROM chainlog.log_days") == [(len(kept),)]


@pytest.mark.parametrize(
    ("days", "most", "oldest"),
    [
        ([(1, 5), (2, 5)], 5, 2),
        ([(1, 5), (2, 5)], 6, 1),
        ([(1, 5)], 9, 0),
        ([], 1, 0),
        ([(1, 1), (2, 1), (3, 9)], 2, 3),
    ],
)
def test_as_many_rows_as_asked_for_are_kept(days: list[tuple[int, int]], most: int, oldest: int) -> None:
    """And at most a day's more."""
    assert days_beyond(days, most) == oldest


HISTOGRAMS = 4
"""The last columns of `usage_parts`."""


async def everything(url: str) -> dict[str, object]:
    """All that is derived from the rows, whether it is folded or not."""
    usage: dict[tuple[object, ...], list[Any]] = {}
    for row in await query(url, "SELECT * FROM chainlog.usage_parts"):
        sums, bins = row[5:-HISTOGRAMS], [Counter({v & 511: v >> 9 for v in values}) for values in row[-HISTOGRAMS:]]
        known = usage.setdefault(row[:5], [(0,) * len(sums), [Counter[int]()] * HISTOGRAMS])
        known[0] = tuple(map(operator.add, known[0], sums))
        known[1] = list(map(operator.add, known[1], bins))
    attempts = (
        "SELECT start, provider_id, model, sum(tries), sum(successes), sum(rate_limited), sum(failures), "
        "max(last_error_at) FROM chainlog.attempt_parts GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
    )
    return {
        "usage": usage,
        "attempts": await query(url, attempts),
        "providers": await query(url, "SELECT * FROM chainlog.provider_totals ORDER BY 1"),
        "chains": await query(url, "SELECT * FROM chainlog.chain_totals ORDER BY 1"),
        "summary": await query(url, SUMMARY),
    }


async def test_what_readers_see_does_not_depend_on_what_is_folded(postgres_url: str, tmp_path: Path) -> None:
    """At every moment: nothing folded, some, all, and more that came since."""
    entries = random_entries(300, seed=5)
    async with aclosing(await open_storage(settings_for(tmp_path / "o.db", db_url=postgres_url))) as storage:
        await storage.start()
        start = 0
        for first in range(0, 300, 20):
            batch = batch_of("w", start, entries[first : first + 20])
            await storage.commit(batch)
            start = batch.end
    expected = await everything(postgres_url)
    for _ in range(4):
        assert await query(postgres_url, "SELECT chainlog.fold(5)") in ([(100,)], [(0,)])
        assert await everything(postgres_url) == expected


async def test_only_one_process_folds_and_nobody_waits_for_it(postgres_url: str, tmp_path: Path) -> None:
    """Whoever comes second is told at once; batches are committed meanwhile."""
    await store(postgres_url, tmp_path, [0])
    async with connected(postgres_url) as connection:
        folding = connection.transaction()
        await folding.start()
        assert await connection.fetchval("SELECT chainlog.fold(10)") == 1
        assert await query(postgres_url, "SELECT chainlog.fold(10)") == [(None,)]
        with anyio.fail_after(10):
            await store(postgres_url, tmp_path, [0], writer_id="v")
        ((seen, *_),) = await query(postgres_url, SUMMARY)
        assert seen == 2
        await folding.commit()
    ((seen, *_),) = await query(postgres_url, SUMMARY)
    assert seen == 2


async def test_who_follows_the_log_skips_nothing(postgres_url: str) -> None:
    """Batches commit in any order, and some never; an id is shown only when all before it have ended."""
    line = f'[{TODAY},"c","p","m",0,0,0,1,200,1]'
    rng = random.Random(6)
    followed: list[int] = []

    async def follow() -> None:
        async with connected(postgres_url) as connection:
            settled = await connection.fetchval("SELECT chainlog.settled_id()")
            after = followed[-1] if followed else 0
            followed.extend(
                row[0]
                for row in await connection.fetch(
                    "SELECT id FROM chainlog.request_logs WHERE id > $1 AND id <= $2 ORDER BY id", after, settled
                )
            )

    running = []
    async with connected(postgres_url) as watching:
        for number in range(12):
            connection = await _open(postgres_url)
            transaction = connection.transaction()
            await transaction.start()
            lines = f"[{','.join([line] * rng.randrange(1, 4))}]"
            await connection.fetchval("SELECT chainlog.write_batch($1, 0, 10, $2)", f"w{number}", lines)
            running.append((connection, transaction))
            if len(running) > 4:
                await _end(*running.pop(rng.randrange(len(running))), commit=rng.random() < 0.8)
            await follow()
        while running:
            await _end(*running.pop(rng.randrange(len(running))), commit=True)
            await follow()
        stored = [row[0] for row in await watching.fetch("SELECT id FROM chainlog.request_logs ORDER BY id")]
    assert followed == stored
    assert len(stored) > 10


async def _open(url: str) -> asyncpg.Connection:
    return await asyncpg.connect(url)


async def _end(connection: asyncpg.Connection, transaction: asyncpg.transaction.Transaction, *, commit: bool) -> None:
    await (transaction.commit() if commit else transaction.rollback())
    await connection.close()
