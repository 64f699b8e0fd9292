"""Retention: what a running log deletes by itself, and that it does so a little at a time."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from chainlog_async import ChainLog
from chainlog_async.common.clock import DAY_MS, now_ms
from chainlog_async.storage.sqlite.connection import close_connection, initialize_database
from chainlog_async.storage.sqlite.maintenance.purge import MIN_PURGE_ROWS, PURGE_TRANSACTION_S, OldestRowsPurge
from chainlog_async.storage.sqlite.maintenance.retention import VACUUM_ABOVE_PAGES, Retention
from chainlog_async.storage.sqlite.maintenance.size_estimate import BYTES_PER_ROW, MIN_LOG_SHARE
from tests.support.entries import entry
from tests.support.operator import change, clean, fill, migrate, number_of, rows_of
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
            assert await slices.delete_oldest(connection, 10**6) == expected
        clock, pace = iter(range(10**6)), PURGE_TRANSACTION_S / 4
        for expected in (MIN_PURGE_ROWS, 2 * MIN_PURGE_ROWS, 4 * MIN_PURGE_ROWS):
            assert await slices.delete_oldest(connection, 10**6) == expected
    finally:
        await close_connection(connection)


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
