"""Rolling up in the background: in small portions, whatever is in the way, and right in the end."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path

import aiosqlite
import pytest

from chainlog_async.common.clock import DAY_MS
from chainlog_async.storage.sqlite.connection import close_connection, initialize_database
from chainlog_async.storage.sqlite.maintenance.rollup_job import (
    CLAIM_TIMEOUT_MS,
    ROLLUP_GRACE_MS,
    SEARCH_ALL_INTERVAL_MS,
    SEARCH_INTERVAL_MS,
    RollupJob,
)
from chainlog_async.usage.dimensions import WIDTHS
from tests.support.entries import insert_as_original, original_row
from tests.support.interrupting import How, cancel_at_every_step
from tests.support.operator import HARDEST, T0, change, clean, migrate, number_of
from tests.support.rolling_up import roll_up, roll_up_small_ones
from tests.support.writing import Locked, query

DAYS_ROLLED_UP = "SELECT COUNT(*) FROM rolled_up WHERE width = 86400000 AND taken_by IS NULL"
FIRST_DAY = T0 // DAY_MS * DAY_MS


async def one_row_each(path: Path, days: list[int]) -> int:
    """A database with a row on each of these days, counted from the first, and when all of them are over."""
    await migrate(path)
    insert_as_original(path, [original_row(timestamp=FIRST_DAY + day * DAY_MS) for day in days])
    roll_up_small_ones(path)
    return FIRST_DAY + (days[-1] + 1) * DAY_MS + ROLLUP_GRACE_MS


async def test_what_is_months_apart_is_rolled_up_and_so_are_rows_that_come_late(tmp_path: Path) -> None:
    """A look goes through all the windows that hold anything; the one after ten minutes finds what was logged since."""
    path = tmp_path / "log.db"
    now = await one_row_each(path, [0, 29, 30, 31, 400])
    taker = RollupJob()
    await roll_up(path, now, taker=taker)
    assert number_of(path, DAYS_ROLLED_UP) == 5
    insert_as_original(path, [original_row(timestamp=FIRST_DAY + day * DAY_MS + 7) for day in (30, 400)])
    await roll_up(path, now + SEARCH_INTERVAL_MS, taker=taker)
    assert number_of(path, DAYS_ROLLED_UP) == 4
    await roll_up(path, now + SEARCH_ALL_INTERVAL_MS, taker=taker)
    assert number_of(path, DAYS_ROLLED_UP) == 5
    await clean(path)


async def test_a_look_at_years_is_taken_a_month_at_a_time(tmp_path: Path) -> None:
    """No portion of a look costs more in a log of two years than in one of two months."""
    assert await _costliest_portion(tmp_path / "years.db", days=730) < 1.2 * await _costliest_portion(
        tmp_path / "months.db", days=61
    )


async def _costliest_portion(path: Path, *, days: int) -> int:
    """How many instructions SQLite takes for the largest portion of a look that finds nothing to do."""
    await migrate(path)
    quarters = f"""
      WITH RECURSIVE quarters (start) AS (
        VALUES ({FIRST_DAY}) UNION ALL SELECT start + 900000 FROM quarters LIMIT {96 * days}
      )
    """
    columns = (
        "start, chain_name, provider_id, model, caller, upper_ms, requests, errors, rate_limited, waterfalls, "
        "prompt_tokens, completion_tokens, cached_tokens, total_tokens, latency_ms, ttft_ms, ttft_requests"
    )
    bucket = "'c', 'p', 'm', '', 1, 1, 0, 0, 0, 1, 1, 0, 2, 1, 0, 0"
    change(path, f"INSERT INTO usage_buckets ({columns}) {quarters} SELECT start, {bucket} FROM quarters")
    for width in WIDTHS:
        spans = f"SELECT DISTINCT {width}, start / {width} * {width}, 4095, NULL, NULL FROM quarters"
        change(path, f"INSERT INTO rolled_up {quarters} {spans}")
    taken = costliest = 0

    def count() -> int:
        nonlocal taken
        taken += 1
        return 0

    connection = await initialize_database(path)
    try:
        await connection.set_progress_handler(count, 1)
        rollups = RollupJob(advance_s=0)
        portions = 1
        while await rollups.advance(connection, FIRST_DAY + days * DAY_MS + ROLLUP_GRACE_MS):
            portions += 1
            costliest, taken = max(costliest, taken), 0
    finally:
        await close_connection(connection)
    assert portions == -(-days // 30)
    return costliest


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("after_ms", [7, 300 * 60_000], ids=["where rows were", "where none was"])
async def test_a_row_that_comes_before_its_span_is_taken_is_not_left_out(
    width: int, after_ms: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process stores it just after a span was found to be due: no sum without it is taken for right."""
    path = tmp_path / "log.db"
    now = await one_row_each(path, [0])
    execute_fetchall = aiosqlite.Connection.execute_fetchall
    late = [original_row(timestamp=FIRST_DAY + after_ms)]

    async def meddled(
        connection: aiosqlite.Connection, sql: str, parameters: Mapping[str, object] | None = None
    ) -> Iterable[sqlite3.Row]:
        if late and sql.lstrip().startswith("INSERT OR REPLACE INTO rolled_up"):
            assert parameters is not None
            if parameters["width"] == width:
                await asyncio.to_thread(insert_as_original, path, [late.pop()])
        return await execute_fetchall(connection, sql, parameters)

    monkeypatch.setattr(aiosqlite.Connection, "execute_fetchall", meddled)
    taker = RollupJob()
    await roll_up(path, now, taker=taker)
    assert not late
    await clean(path)
    await roll_up(path, now + SEARCH_ALL_INTERVAL_MS, taker=taker)
    assert number_of(path, DAYS_ROLLED_UP) == 1
    await clean(path)


async def test_a_lock_of_another_process_is_waited_for(tmp_path: Path) -> None:
    """Wherever it meets the lock, it goes on there once that is free, and does not leave the span for later."""
    path = tmp_path / "log.db"
    now = await one_row_each(path, [0])
    connection = await initialize_database(path, busy_timeout_ms=0)
    try:
        rollups = RollupJob(advance_s=0)
        more = True
        while more:
            lock = await asyncio.to_thread(Locked, path)
            try:
                more = await rollups.advance(connection, now)
            except sqlite3.OperationalError as error:
                assert error.sqlite_errorname == "SQLITE_BUSY"  # noqa: PT017  # a look that finds nothing raises none
            finally:
                await asyncio.to_thread(lock.release)
            more = more and await rollups.advance(connection, now)
    finally:
        await close_connection(connection)
    assert number_of(path, DAYS_ROLLED_UP) == 1
    await clean(path)


async def test_what_cannot_be_rolled_up_is_not_in_the_way_of_the_rest(tmp_path: Path) -> None:
    """A span that the database refuses waits for the next look; the days around it are rolled up."""
    path = tmp_path / "log.db"
    now = await one_row_each(path, [0, 1, 2])
    refused = f"NEW.start >= {FIRST_DAY + DAY_MS} AND NEW.start < {FIRST_DAY + 2 * DAY_MS}"
    change(
        path, f"CREATE TRIGGER no BEFORE INSERT ON usage_rollups WHEN {refused} BEGIN SELECT RAISE(ABORT, 'no'); END"
    )
    taker = RollupJob()
    with pytest.raises(sqlite3.IntegrityError, match="no"):
        await roll_up(path, now, taker=taker)
    await roll_up(path, now, taker=taker)
    assert query(path, "SELECT start FROM rolled_up WHERE width = 86400000") == [
        (FIRST_DAY,),
        (FIRST_DAY + 2 * DAY_MS,),
    ]
    change(path, "DROP TRIGGER no")
    await roll_up(path, now + SEARCH_ALL_INTERVAL_MS, taker=taker)
    assert number_of(path, DAYS_ROLLED_UP) == 3
    await clean(path)


@pytest.mark.parametrize("how", HARDEST)
async def test_cancelled_anywhere_what_is_named_is_right(how: How, tmp_path: Path) -> None:
    """At whichever await it is cancelled, no wrong sum is taken for right, and another goes on after a minute."""
    template = tmp_path / "template.db"
    now = await one_row_each(template, [0])

    async def work(step: int) -> None:
        shutil.copy(template, tmp_path / f"{step}.db")
        await roll_up(tmp_path / f"{step}.db", now)

    async for outcome in cancel_at_every_step(work, how):
        path = tmp_path / f"{outcome.step}.db"
        await clean(path)
        insert_as_original(path, [original_row(timestamp=FIRST_DAY + 1)])
        await roll_up(path, now + CLAIM_TIMEOUT_MS + 1)
        assert number_of(path, DAYS_ROLLED_UP) == 1
        await clean(path)
