"""What the writer does in the background, at once."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from chainlog_async.storage.sqlite.connection import close_connection, initialize_database
from chainlog_async.storage.sqlite.maintenance.rollup_job import RollupJob


async def roll_up(
    path: Path, now: int, *, taker: RollupJob | None = None, steps: int = 10**9, small_ones: bool = True
) -> None:
    """As if it were `now`, in as many steps at the most; with `small_ones` however few buckets there are to add up."""
    if small_ones:
        roll_up_small_ones(path)
    rollups = taker or RollupJob()
    connection = await initialize_database(path)
    try:
        while steps and await rollups.advance(connection, now):
            steps -= 1
    finally:
        await close_connection(connection)


@contextmanager
def without_rollups() -> Iterator[None]:
    """For as long as the block lasts, no writer of this process rolls anything up."""

    async def nothing(*_: object) -> bool:
        return False

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RollupJob, "advance", nothing)
        yield


def roll_up_small_ones(path: Path) -> None:
    """From now on, adds up what is not worth it as well: the tests' logs are all small."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE rollup_progress SET fewest_buckets = 0, fewest_for_a_line = 0")
