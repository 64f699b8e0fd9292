"""Where a batch begins and ends is the writer's business: the stream is stored once and in order."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from itertools import accumulate
from pathlib import Path

import anyio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chainlog_async.entry.batch import Batch
from chainlog_async.entry.line import encode_line
from chainlog_async.settings import Settings
from chainlog_async.storage.base import BatchStorage
from chainlog_async.storage.engines import open_storage, reads_of
from tests.support.entries import entry
from tests.support.postgres import run
from tests.support.writing import settings_for

EMPTY = "TRUNCATE chainlog.request_logs, chainlog.batches, chainlog.streams"
LINES = [encode_line(entry(model=f"m{number}")) + b"\n" for number in range(100)]
STARTS = [0, *accumulate(map(len, LINES))]

batches = st.lists(
    st.tuples(st.integers(0, 12), st.integers(0, 12), st.sampled_from(["committed", "killed", "cancelled"])),
    min_size=1,
    max_size=8,
)
"""How many lines a batch has that are stored already, how many new ones, and how it ends."""


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=batches)
def test_a_stream_is_stored_once_and_in_order_wherever_its_batches_end(
    steps: list[tuple[int, int, str]], postgres_url: str, tmp_path: Path
) -> None:
    """Whatever is sent again, with whatever borders, after a lost answer, a kill, or a cancellation in the middle."""
    asyncio.run(_send(settings_for(tmp_path / "o.db", db_url=postgres_url), postgres_url, steps))


async def _send(log: Settings, url: str, steps: list[tuple[int, int, str]]) -> None:
    await run(url, EMPTY)
    storage = await _started(log)
    stored = 0
    for back, count, ending in steps:
        first = max(stored - back, 0)
        if first == stored + count:
            continue
        batch = Batch("w", STARTS[first], b"".join(LINES[first : stored + count]), stored + count - first)
        with anyio.move_on_after(0.002 if ending == "cancelled" else None):
            await storage.commit(batch)
        if ending != "committed":
            await storage.aclose()
            storage = await _started(log)
        position = await storage.position("w")
        assert position == batch.end or (ending == "cancelled" and position == STARTS[stored])
        stored = STARTS.index(position)
    await storage.aclose()
    async with aclosing(reads_of(log)) as reads:
        models = [row.model for row in await reads.get_requests_after(0, limit=500)]
        assert (await reads.get_summary_stats()).total_requests == stored
    assert models == [f"m{number}" for number in range(stored)]


async def _started(log: Settings) -> BatchStorage:
    storage = await open_storage(log)
    await storage.start()
    return storage
