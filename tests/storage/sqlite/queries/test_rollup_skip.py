"""What is rolled up lets a search pass over time in which nothing can match, and never over a match."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from chainlog_async import RequestFilter
from chainlog_async.storage.sqlite.queries.requests import find_requests
from chainlog_async.storage.sqlite.reader_pool import ReaderPool
from tests.support.entries import insert_as_original, original_row
from tests.support.usage_rows import DAY_MS, END, START, copy_of, log_without_rolling_up, random_entries, roll_up

FILTERS = [
    RequestFilter(provider="p2"),
    RequestFilter(chain="c1", caller="team-1"),
    RequestFilter(model="m0", status="429"),
    RequestFilter(caller=""),
    RequestFilter(status="5xx", provider="p0"),
    RequestFilter(status="2xx", chain="c0"),
    RequestFilter(min_latency_ms=2_000, model="m1"),
    RequestFilter(min_latency_ms=0.5),
    RequestFilter(provider="nobody"),
]


async def all_pages(path: Path, where: RequestFilter) -> list[int]:
    """The ids of every request that the pages give, a small budget each."""
    async with ReaderPool(path) as readers:
        ids: list[int] = []
        cursor: str | None = None
        while True:
            page = await find_requests(readers, where, limit=20, cursor=cursor, scan_budget=60)
            ids += [request.id for request in page.requests]
            cursor = page.next_cursor
            if cursor is None:
                return ids


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three thousand requests of five days."""
    path = tmp_path_factory.mktemp("skipping") / "log.db"
    asyncio.run(log_without_rolling_up(path, random_entries(3_000)))
    return path


@pytest.fixture(scope="module")
def states(path: Path) -> dict[str, Path]:
    """Copies of it with half or all of it rolled up, and with a late row that is behind all of that, or alone."""
    half = copy_of(path, path.with_name("half.db"))
    asyncio.run(roll_up(half, START + 2 * DAY_MS))
    whole = copy_of(half, path.with_name("whole.db"))
    asyncio.run(roll_up(whole))
    overtaken = copy_of(whole, path.with_name("overtaken.db"))
    late = copy_of(path, path.with_name("late.db"))
    for one in (overtaken, late):
        insert_as_original(one, [original_row(timestamp=START + 5, model="m0", chain_name="c1", http_status=429)])
    return {"half": half, "whole": whole, "overtaken": overtaken, "late": late}


@pytest.mark.parametrize("where", FILTERS)
async def test_pages_are_the_same_whatever_is_rolled_up(
    where: RequestFilter, path: Path, states: dict[str, Path]
) -> None:
    """Nothing, half of it, all, or all with a late row in it."""
    expected = await all_pages(path, where)
    assert len(expected) == len(set(expected))
    assert await all_pages(states["half"], where) == expected
    assert await all_pages(states["whole"], where) == expected
    assert await all_pages(states["overtaken"], where) == await all_pages(states["late"], where)


async def test_a_rare_name_is_found_behind_a_long_log(tmp_path: Path, states: dict[str, Path]) -> None:
    """One page reaches the only request of a provider, far behind all others, and knows that it is the last."""
    rolled = copy_of(states["whole"], tmp_path / "rare.db")
    insert_as_original(rolled, [original_row(timestamp=START - 5, provider_id="rare")])
    await roll_up(rolled)
    async with ReaderPool(rolled) as readers:
        page = await find_requests(readers, RequestFilter(provider="rare"), limit=20, scan_budget=500)
        assert [request.timestamp for request in page.requests] == [START - 5]
        assert page.next_cursor is None
        nothing = await find_requests(readers, RequestFilter(provider="nobody"), limit=20, scan_budget=100)
        assert (nothing.requests, nothing.next_cursor) == ([], None)
    with closing(sqlite3.connect(rolled)) as connection:
        ((newest,),) = connection.execute("SELECT MAX(timestamp) FROM request_logs")
    assert END > newest > START + DAY_MS
