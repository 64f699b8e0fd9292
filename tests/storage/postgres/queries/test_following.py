"""Who follows the log passes nothing: batches are committed in any order, and are seen in that of their ids."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing
from pathlib import Path

import asyncpg
import pytest

from chainlog_async.storage.base import ReadStorage
from chainlog_async.storage.engines import reads_of
from tests.storage.random_log import batch_of
from tests.support.entries import entry
from tests.support.postgres import connected
from tests.support.writing import settings_for


@pytest.fixture
async def reads(postgres_url: str, tmp_path: Path) -> AsyncIterator[ReadStorage]:
    """The reads of an empty log."""
    async with aclosing(reads_of(settings_for(tmp_path / "o.db", db_url=postgres_url))) as storage:
        yield storage


async def write(connection: asyncpg.Connection, writer_id: str, *models: str) -> None:
    """A batch of a writer, in whatever transaction the connection is in."""
    batch = batch_of(writer_id, 0, [entry(model=model) for model in models])
    lines = "[" + batch.lines.decode().strip().replace("\n", ",") + "]"
    sql = "SELECT chainlog.write_batch($1, 0, $2, $3::text::jsonb)"
    await connection.fetchval(sql, writer_id, batch.end, lines)


async def test_a_batch_under_way_holds_later_ones_back(reads: ReadStorage, postgres_url: str) -> None:
    """What was committed before an earlier batch has ended is not shown to followers until that one has."""
    async with AsyncExitStack() as stack:
        slow, fast = [await stack.enter_async_context(connected(postgres_url)) for _ in range(2)]
        await write(fast, "first", "a")
        assert [row.model for row in await reads.get_requests_after(0, limit=10)] == ["a"]
        transaction = slow.transaction()
        await transaction.start()
        await write(slow, "slow", "b", "c")
        await write(fast, "fast", "d")
        assert [row.model for row in await reads.get_requests_after(0, limit=10)] == ["a"]
        assert await reads.get_newest_id() == 1
        # Other questions see what is committed.
        assert (await reads.get_summary_stats()).total_requests == 2
        await transaction.commit()
        rows = await reads.get_requests_after(1, limit=10)
        assert [row.model for row in rows] == ["b", "c", "d"]
        assert [row.id for row in rows] == sorted(row.id for row in rows)
        assert await reads.get_newest_id() == rows[-1].id


async def test_a_batch_that_comes_to_nothing_holds_nobody_back(reads: ReadStorage, postgres_url: str) -> None:
    """After a rollback followers go on behind the ids that it took."""
    async with AsyncExitStack() as stack:
        slow, fast = [await stack.enter_async_context(connected(postgres_url)) for _ in range(2)]
        transaction = slow.transaction()
        await transaction.start()
        await write(slow, "slow", "b")
        await write(fast, "fast", "d")
        await transaction.rollback()
        assert [row.model for row in await reads.get_requests_after(0, limit=10)] == ["d"]
