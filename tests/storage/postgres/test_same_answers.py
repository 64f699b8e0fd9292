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
from chainlog_async.storage.engines import reads_of
from tests.storage.questions import compare_all
from tests.storage.random_log import END, random_entries
from tests.support import rolling_up, two_engines
from tests.support.postgres import SharedServer
from tests.support.two_engines import store_in_each
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
    rounds: list[tuple[int, str, bool]], seed: int, postgres_server: SharedServer, empty_database: Path, tmp_path: Path
) -> None:
    """A hundred random questions in all, with zones, filters, groups, pages and percentiles, whatever is rolled up."""
    path = tmp_path / f"{seed}.db"
    shutil.copy(empty_database, path)
    url = postgres_server.new_database()
    asyncio.run(_fill_and_compare(path, url, rounds, random.Random(seed)))


async def _fill_and_compare(path: Path, url: str, rounds: list[tuple[int, str, bool]], rng: random.Random) -> None:
    logs = (settings_for(path), settings_for(path, db_url=url))
    position = 0
    for count, state, is_rolled_up in rounds:
        position = await store_in_each(logs, random_entries(count, seed=rng.randrange(2**32)), position)
        if state == "a part is folded":
            await two_engines.fold(url, batches=1)
        elif state != "nothing":
            await two_engines.fold(url)
        if "rolled up" in state:
            await two_engines.roll_up(url, END + DAY_MS, small_ones=state == "all rolled up")
        if is_rolled_up:
            await rolling_up.roll_up(path, END + DAY_MS)
    async with aclosing(reads_of(logs[1])) as reads, aclosing(reads_of(logs[0])) as expected:
        await compare_all(reads, expected, rng, questions=QUESTIONS)
