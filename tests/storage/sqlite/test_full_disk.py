"""A disk that is full, for the database alone or for everything, and that has room again later."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import aiosqlite
import pytest

from chainlog_async import ChainLog, RequestLogEntry
from chainlog_async.storage.sqlite import connection as database
from chainlog_async.storage.sqlite import open as storage_open
from tests.support.entries import entry
from tests.support.faults import fill, log_and_store, tmpfs, until_health
from tests.support.writing import check_law, check_totals, log_all, names, settings_for, stored, until, warnings_of

pytestmark = pytest.mark.usefixtures("short_pauses", "journal_write")


class PageLimit:
    """`PRAGMA max_page_count` on the writer's connection, and on each that it opens in its place."""

    def __init__(self) -> None:
        self.limited = False
        self.connections: list[aiosqlite.Connection] = []

    async def initialize(self, *arguments: object, **named: object) -> aiosqlite.Connection:
        """Stands in for `initialize_database`."""
        connection = await database.initialize_database(*arguments, **named)  # type: ignore[arg-type]  # handed on
        self.connections.append(connection)
        await self.set(self.limited)
        return connection

    async def set(self, limited: bool) -> None:
        """From now on the database may not grow, or may."""
        self.limited = limited
        # SQLite takes no less than what there is.
        limit = 1 if limited else 2**30
        await self.connections[-1].execute_fetchall(f"PRAGMA max_page_count = {limit}")


@pytest.mark.parametrize("journal", [False, True], ids=["memory", "journal"])
async def test_a_full_database_keeps_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, journal: bool) -> None:
    """SQLITE_FULL: the batch is kept, health is degraded and names it, and everything is written once there is room."""
    limit = PageLimit()
    monkeypatch.setattr(storage_open, "initialize_database", limit.initialize)
    db_path = tmp_path / "log.db"
    async with ChainLog(settings_for(db_path, max_batch_size=100, journal=journal)) as chainlog:
        await log_and_store(chainlog, 0, 5)
        await limit.set(True)
        log_all(chainlog, names(5, 3_000))
        await until(lambda: "SQLITE_FULL" in str(chainlog.statistics().last_error))
        retries = chainlog.statistics().retries
        # What fits into pages that are there already is written; the rest is tried again and again.
        await until(lambda: chainlog.statistics().retries >= retries + 3)
        reason = await until_health(chainlog, "degraded")
        assert "SQLITE_FULL" in reason
        statistics = chainlog.statistics()
        check_law(statistics)
        assert statistics.pending > 2_000
        assert (await chainlog.usage.get_summary_stats()).total_requests == statistics.written
        await limit.set(False)
        await chainlog.flush()
        assert await until_health(chainlog, "ok") == ""
        assert await stored(db_path) == names(0, 3_000)
        assert chainlog.statistics().dropped == {}
    await asyncio.to_thread(check_totals, db_path)


async def test_a_full_disk_is_survived(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With no room for database, log or journal, entries wait in memory; when there is room, all goes on by itself."""
    caplog.set_level(logging.INFO, logger="chainlog_async")
    with tmpfs(tmp_path / "disk", size="3m") as disk:
        db_path = disk / "log.db"
        async with ChainLog(settings_for(db_path, journal_max_bytes=64 * 1024)) as chainlog:
            await log_and_store(chainlog, 0, 100)
            ballast = await asyncio.to_thread(fill, disk)
            for start in range(100, 6_100, 100):
                assert all(log_all(chainlog, names(start, start + 100)))
                await asyncio.sleep(0)
            await until(lambda: chainlog.statistics().journal == "failing")
            await until(lambda: "No space left on device" in "".join(chainlog.health().reasons))
            assert chainlog.health().status == "degraded"
            await until(lambda: chainlog.statistics().retries >= 2)
            assert "SQLITE_FULL" in str(chainlog.statistics().last_error)
            check_law(chainlog.statistics())
            assert chainlog.statistics().pending > 3_000
            await asyncio.to_thread(ballast.unlink)
            await chainlog.flush()
            await until(lambda: chainlog.log_request(_one_more(chainlog)) and chainlog.statistics().journal == "on")
            await until(lambda: "the journal can be written again" in warnings_of(caplog))
            await chainlog.flush()
            assert await until_health(chainlog, "ok") == ""
            assert (await stored(db_path))[:6_100] == names(0, 6_100)
            assert chainlog.statistics().dropped == {}
        await asyncio.to_thread(check_totals, db_path)
    lines = [line for line in warnings_of(caplog) if "journal cannot be written" in line]
    assert len(lines) == 1


def _one_more(chainlog: ChainLog) -> RequestLogEntry:
    return entry(model=f"more{chainlog.statistics().submitted}")
