"""Retention: what a running log deletes by itself, and that it does so a little at a time."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chainlog_async import ChainLog
from chainlog_async.common.clock import DAY_MS, now_ms
from chainlog_async.storage.sqlite.connection import close_connection, initialize_database
from chainlog_async.storage.sqlite.maintenance.purge import MIN_PURGE_ROWS, PURGE_TRANSACTION_S, OldestRowsPurge
from chainlog_async.storage.sqlite.maintenance.retention import VACUUM_ABOVE_PAGES, Retention
from chainlog_async.storage.sqlite.maintenance.rows_ahead import BY_AGE, MAX_CLOCK_SKEW_MS
from chainlog_async.storage.sqlite.maintenance.size_estimate import BYTES_PER_ROW, MIN_LOG_SHARE
from tests.support.effort import tries
from tests.support.entries import entry, insert_as_original, original_row
from tests.support.operator import T0, change, clean, fill, migrate, number_of, rows_of
from tests.support.writing import models, settings_for, until

PAGES = "SELECT page_count FROM pragma_page_count"
FREE = "SELECT freelist_count FROM pragma_freelist_count"


def used_bytes(path: Path) -> int:
    """Size of the database without its free pages."""
    return 4_096 * (number_of(path, PAGES) - number_of(path, FREE))


async def log_many(chainlog: ChainLog, count: int, **values: object) -> None:
    """Logs entries a second apart, the last of them now."""
    now = now_ms()
    for number in range(count):
        chainlog.log_request(entry(model=f"model {number}", timestamp=now - 1_000 * (count - 1 - number), **values))
    await chainlog.flush()


async def test_a_running_log_keeps_no_more_rows_than_it_may(tmp_path: Path) -> None:
    """With retention_rows the oldest go by themselves; usage goes on counting them."""
    path = tmp_path / "o.db"
    async with ChainLog(settings_for(path, retention_rows=100)) as chainlog:
        await log_many(chainlog, 2_500)
        await until(lambda: rows_of(path) == 100)
        (usage,) = await chainlog.usage.get_all_provider_usage()
        assert usage.total_requests == 2_500
    assert models(path) == [f"model {number}" for number in range(2_400, 2_500)]
    await clean(path)


async def test_a_running_log_keeps_nothing_longer_than_it_may(tmp_path: Path) -> None:
    """With retention_days what is older goes by itself."""
    path = tmp_path / "o.db"
    async with ChainLog(settings_for(path, retention_days=2)) as chainlog:
        for age in (0, 1, 3, 400):
            chainlog.log_request(entry(model=f"{age} days", timestamp=now_ms() - age * DAY_MS))
        await until(lambda: rows_of(path) == 2)
    assert models(path) == ["0 days", "1 days"]
    await clean(path)


async def test_a_running_log_gives_space_back(tmp_path: Path) -> None:
    """With retention_bytes the oldest go, and the file becomes smaller but for what new rows will need."""
    path = await migrate(tmp_path / "o.db")
    fill(path, 20_000, padding=1_000, models=3)
    before = number_of(path, PAGES)
    async with ChainLog(settings_for(path, retention_bytes=3_000_000)) as chainlog:
        await until(lambda: used_bytes(path) <= 3_000_000)
        await until(lambda: number_of(path, PAGES) <= 3_000_000 // 4096 + VACUUM_ABOVE_PAGES)
        assert chainlog.health().status == "ok"
    assert before > 5_000
    assert rows_of(path) > 1_000
    await clean(path)


async def test_the_log_is_not_deleted_for_what_cannot_be(tmp_path: Path) -> None:
    """Where buckets alone are more than retention_bytes, the log keeps its share, and health says what to do."""
    path = await migrate(tmp_path / "o.db")
    fill(path, 6_000)
    change(path, "DELETE FROM request_logs")
    too_small = used_bytes(path)
    fill(path, 6_000, first=6_000, models=3)
    async with ChainLog(settings_for(path, retention_bytes=too_small)) as chainlog:
        await until(lambda: any("retention_bytes" in note for note in chainlog.health().notes))
        assert chainlog.health().status == "ok"
        kept = rows_of(path)
        assert kept * 60 < too_small / MIN_LOG_SHARE < kept * 120
        change(path, "DELETE FROM usage_buckets", "DELETE FROM duration_rollups", "DELETE FROM usage_rollups")
        await until(lambda: not any("retention_bytes" in note for note in chainlog.health().notes))


async def test_a_log_that_cannot_become_small_enough_rests(tmp_path: Path) -> None:
    """When there is nothing left to delete, retention does not try for ever."""
    path = await migrate(tmp_path / "o.db")
    fill(path, 600)
    connection = await initialize_database(path)
    retention = Retention(settings_for(path, retention_bytes=1, retention_rows=1, retention_days=1))
    try:
        for _ in range(20):
            more = await retention.purge_some(connection, now_ms())
        assert not more
    finally:
        await close_connection(connection)
    assert rows_of(path) == 0


async def test_pages_go_back_many_at_a_time(tmp_path: Path) -> None:
    """A thousand pages that are free too many are back after a few rounds, not a thousand."""
    path = await migrate(tmp_path / "o.db")
    fill(path, 9_000, padding=1_000)
    change(path, "DELETE FROM request_logs")
    connection = await initialize_database(path)
    retention = Retention(settings_for(path))
    try:
        rounds = 1
        while await retention.purge_some(connection, now_ms()):
            rounds += 1
    finally:
        await close_connection(connection)
    assert number_of(path, FREE) == VACUUM_ABOVE_PAGES
    assert rounds < 20


async def test_totals_that_are_too_high_cost_no_rows(tmp_path: Path) -> None:
    """When somebody changed the totals, retention_rows does not take rows that may stay."""
    path = await migrate(tmp_path / "o.db")
    fill(path, 50)
    change(path, "UPDATE usage_summary SET total_requests = 1000000")
    connection = await initialize_database(path)
    try:
        await Retention(settings_for(path, retention_rows=40)).purge_some(connection, now_ms())
        await Retention(settings_for(path, retention_rows=40)).purge_some(connection, now_ms())
        change(path, "DELETE FROM usage_summary")
        await Retention(settings_for(path, retention_rows=40)).purge_some(connection, now_ms())
    finally:
        await close_connection(connection)
    assert rows_of(path) == 40


async def test_slices_get_smaller_when_the_disk_is_slow(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deletion that holds the lock for too long makes the next one smaller, down to a least size, and up again."""
    fill(database, 3_000)
    clock = iter(range(10**6))
    pace = 1.0
    monkeypatch.setattr("chainlog_async.storage.sqlite.maintenance.purge.monotonic", lambda: next(clock) * pace)
    connection = await initialize_database(database)
    slices = OldestRowsPurge()
    try:
        for expected in (500, MIN_PURGE_ROWS, MIN_PURGE_ROWS):
            assert await slices.delete_oldest(connection, 10**6, now_ms()) == expected
        clock, pace = iter(range(10**6)), PURGE_TRANSACTION_S / 4
        for expected in (MIN_PURGE_ROWS, 2 * MIN_PURGE_ROWS, 4 * MIN_PURGE_ROWS):
            assert await slices.delete_oldest(connection, 10**6, now_ms()) == expected
    finally:
        await close_connection(connection)


# -- a clock that was ahead ------------------------------------------------------------------------------------------

YEARS_MS = 5 * 365 * DAY_MS


async def test_rows_from_the_future_do_not_push_out_new_ones(tmp_path: Path) -> None:
    """A log full of rows of a clock that was five years ahead keeps the rows that are logged from now on instead."""
    path = tmp_path / "o.db"
    async with ChainLog(settings_for(path, retention_rows=100)) as chainlog:
        for number in range(100):
            chainlog.log_request(entry(model=f"ahead {number}", timestamp=now_ms() + YEARS_MS + number))
        await chainlog.flush()
        await log_many(chainlog, 60)
        await until(lambda: rows_of(path) == 100)
        assert models(path)[39:41] == ["ahead 99", "model 0"]
        for number in range(200):
            chainlog.log_request(entry(model=f"new {number}", timestamp=now_ms() + number))
        await chainlog.flush()
        await until(lambda: rows_of(path) == 100)
    assert models(path) == [f"new {number}" for number in range(100, 200)]
    await clean(path)


async def delete_oldest(path: Path, rows: int, *, now: int, at_once: int = 500) -> None:
    """Deletes so many of the oldest rows, at most `at_once` in one deletion."""
    connection = await initialize_database(path)
    purge = OldestRowsPurge()
    try:
        while rows:
            rows -= (deleted := await purge.delete_oldest(connection, min(rows, at_once), now))
            assert deleted
    finally:
        await close_connection(connection)


def store(path: Path, timestamps: list[int]) -> None:
    """Stores rows in this order; the model of each is its place in the order, counted from 0."""
    insert_as_original(
        path, [original_row(model=str(place), timestamp=timestamp) for place, timestamp in enumerate(timestamps)]
    )


@pytest.mark.parametrize("at_once", [1, 3, 500])
async def test_a_clock_that_is_always_ahead_gets_its_fair_share(database: Path, at_once: int) -> None:
    """Where one of two gateways is ahead, its rows go along with those that arrived at the same time."""
    store(database, [T0 + number + (YEARS_MS if number % 2 else 0) for number in range(200)])
    await delete_oldest(database, 150, now=T0 + DAY_MS, at_once=at_once)
    assert models(database) == [str(number) for number in range(150, 200)]


@pytest.mark.parametrize("at_once", [1, 7, 500])
async def test_an_imported_log_goes_by_its_own_time(database: Path, at_once: int) -> None:
    """Whether it came before or after, it is older than the rows of today and those of a clock that is ahead."""
    today = [T0 + number for number in range(20)]
    today[10:15] = [T0 + YEARS_MS] * 5
    before, after = [T0 - 300 * DAY_MS] * 30, [T0 - 200 * DAY_MS] * 30
    store(database, [*before, *today, *after])
    await delete_oldest(database, 45, now=T0 + DAY_MS, at_once=at_once)
    assert models(database) == [str(number) for number in [*range(30, 50), *range(65, 80)]]
    await delete_oldest(database, 15 + 12, now=T0 + DAY_MS, at_once=at_once)
    assert models(database) == [str(number) for number in range(42, 50)]


async def test_a_row_is_from_the_future_only_as_long_as_it_is(database: Path) -> None:
    """Once its time has come, or where the clock of the reader was behind, a row is as old as its timestamp."""
    store(database, [T0 + 5_000, T0, T0 + 1_000])
    await delete_oldest(database, 1, now=T0)
    assert models(database) == ["0", "2"], "clocks differ by seconds"
    change(database, "DELETE FROM request_logs")
    store(database, [T0 + YEARS_MS, T0, T0 + 1_000])
    await delete_oldest(database, 1, now=T0 + YEARS_MS)
    assert models(database) == ["0", "2"]


async def test_many_rows_are_searched_for_those_of_the_future(database: Path) -> None:
    """Behind thousands of others they are found before everything older is gone, a little at a time."""
    store(database, [*(T0 + number for number in range(3_000)), *([T0 + YEARS_MS] * 50), T0 + 4_000, T0 + 4_001])
    await delete_oldest(database, 3_025, now=T0 + DAY_MS, at_once=200)
    assert models(database) == [str(number) for number in range(3_025, 3_052)]


@given(st.lists(st.integers(0, 30), min_size=1, max_size=30), st.integers(1, 30))
@settings(max_examples=tries(25), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_one_deletion_takes_the_oldest_by_the_rule(times: list[int], rows: int) -> None:
    """A row's age is its timestamp, or if that is in the future the age of the row before it; first come, first go."""
    now = T0 + 20 - MAX_CLOCK_SKEW_MS
    ages: list[int] = []
    for time in times:
        ages.append(time if time <= 20 else ages[-1] if ages else -1)
    expected = sorted(range(len(times)), key=lambda place: (ages[place], place))[rows:]
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE request_logs (id INTEGER PRIMARY KEY, timestamp INTEGER)")
        connection.executemany(
            "INSERT INTO request_logs VALUES (?, ?)", [(at, T0 + time) for at, time in enumerate(times)]
        )
        search = {"latest": now + MAX_CLOCK_SKEW_MS, "searched_to": 0, "searched": -1, "rows": rows}
        connection.execute(f"DELETE FROM request_logs WHERE id IN ({BY_AGE})", search)
        left = [place for (place,) in connection.execute("SELECT id FROM request_logs ORDER BY id")]
    assert left == sorted(expected)


@pytest.mark.parametrize("details", [{}, {"padding": 700}, {"models": 2}])
async def test_the_size_of_a_row_is_known_from_a_sample(details: dict[str, int], tmp_path: Path) -> None:
    """With what it takes in the indexes, it is at most an eighth away from what the pages of the log say."""
    path = await migrate(tmp_path / "o.db")
    fill(path, 5_000, **details)
    with closing(sqlite3.connect(path)) as connection:
        ((estimate,),) = connection.execute(BYTES_PER_ROW).fetchall()
    before = used_bytes(path)
    change(path, "DELETE FROM request_logs")
    assert estimate == pytest.approx((before - used_bytes(path)) / 5_000, rel=1 / 8)
