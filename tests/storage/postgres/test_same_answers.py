"""The same entries in SQLite and in PostgreSQL: both give the same answers to the same questions."""

from __future__ import annotations

import asyncio
import random
import shutil
from contextlib import aclosing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chainlog_async.common.clock import DAY_MS
from chainlog_async.storage.engines import open_storage, reads_of
from tests.storage.contract import END, batch_of, compare_all, random_entries
from tests.support.postgres import TestServer, connected
from tests.support.rolling_up import roll_up
from tests.support.writing import settings_for

QUESTIONS = 20
EXAMPLES = 5

rounds = st.lists(
    st.tuples(
        st.integers(1, 120),
        st.sampled_from(["nothing", "a part is folded", "folded", "rolled up where it pays", "all rolled up"]),
        st.booleans(),
    ),
    min_size=1,
    max_size=3,
)
"""How many entries come, what becomes of them in PostgreSQL, and whether SQLite rolls up all that it has."""


@pytest.mark.timeout(300)  # each example makes two databases
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rounds=rounds, seed=st.integers(0, 2**32))
def test_both_engines_answer_the_same(
    rounds: list[tuple[int, str, bool]], seed: int, postgres_server: TestServer, empty_database: Path, tmp_path: Path
) -> None:
    """A hundred random questions in all, with zones, filters, groups, pages and percentiles, whatever is rolled up."""
    path = tmp_path / f"{seed}.db"
    shutil.copy(empty_database, path)
    url = postgres_server.new_database()
    asyncio.run(_fill_and_compare(path, url, rounds, random.Random(seed)))


async def _fill_and_compare(path: Path, url: str, rounds: list[tuple[int, str, bool]], rng: random.Random) -> None:
    position = 0
    logs = (settings_for(path), settings_for(path, db_url=url))
    for count, state, is_rolled_up in rounds:
        entries = random_entries(count, seed=rng.randrange(2**32))
        for first in range(0, count, 40):
            batch = batch_of("w", position, entries[first : first + 40])
            for one in logs:
                async with aclosing(await open_storage(one)) as storage:
                    await storage.start()
                    # Each engine has its writer say where the stream is before it commits.
                    assert await storage.position("w") == position
                    await storage.commit(batch)
            position = batch.end
        await _compact(url, state)
        if is_rolled_up:
            await roll_up(path, END + DAY_MS)
    async with aclosing(reads_of(logs[1])) as reads, aclosing(reads_of(logs[0])) as expected:
        await compare_all(reads, expected, rng, questions=QUESTIONS)


async def _compact(url: str, state: str) -> None:
    async with connected(url) as connection:
        if state == "a part is folded":
            await connection.fetchval("SELECT chainlog.fold(1)")
        elif state != "nothing":
            while await connection.fetchval("SELECT chainlog.fold(10)"):
                pass
        fewest = {"rolled up where it pays": (100, 3), "all rolled up": (0, 0)}.get(state)
        if fewest is not None:
            while await connection.fetchval("SELECT chainlog.roll_up(0, $1, $2, $3, 1000)", END + DAY_MS, *fewest):
                pass
