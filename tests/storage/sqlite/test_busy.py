"""A database that another process has locked: BUSY, and what is mistaken for damage elsewhere."""

from __future__ import annotations

import asyncio
from pathlib import Path
from time import monotonic

import pytest

from chainlog_async import ChainLog
from chainlog_async.errors import DatabaseError, NotADatabaseError
from tests.support.faults import another_process_holds, beside, until_health
from tests.support.writing import check_law, check_totals, log_all, names, settings_for, stored, until

pytestmark = pytest.mark.usefixtures("short_pauses")


async def test_a_lock_for_seconds_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another process holds the lock entries wait in order, reads go on, and health says what is the matter."""
    monkeypatch.setattr("chainlog_async.writer.committer.MAX_RETRY_PAUSE_S", 0.5)
    db_path = tmp_path / "log.db"
    async with ChainLog(settings_for(db_path, max_batch_size=40, busy_timeout_ms=50)) as chainlog:
        log_all(chainlog, names(0, 10))
        await chainlog.flush()
        async with another_process_holds(db_path):
            began = monotonic()
            for start in range(10, 2_010, 100):
                log_all(chainlog, names(start, start + 100))
                summary = await asyncio.wait_for(chainlog.usage.get_summary_stats(), 1)
                assert summary.total_requests == 10
                await asyncio.sleep(0.1)
            reason = await until_health(chainlog, "degraded")
            assert "SQLITE_BUSY" in reason
            statistics = chainlog.statistics()
            check_law(statistics)
            assert (statistics.written, statistics.pending) == (10, 2_000)
            # It backs off: with pauses of 5 ms it would have tried hundreds of times.
            assert 3 <= statistics.retries < 25 * (monotonic() - began)
        await chainlog.flush()
        assert await stored(db_path) == names(0, 2_010)
        assert (await until_health(chainlog, "ok")) == ""
    await asyncio.to_thread(check_totals, db_path)


async def test_a_locked_database_is_never_quarantined(database: Path) -> None:
    """Neither while it runs nor at its start does the log take a lock for damage."""
    settings = settings_for(database, on_corrupt="quarantine", busy_timeout_ms=50)
    async with ChainLog(settings) as chainlog, another_process_holds(database):
        log_all(chainlog, names(0, 3))
        await until(lambda: chainlog.statistics().retries >= 3)
    # In this mode nobody else can even read.
    async with another_process_holds(database, "PRAGMA locking_mode = EXCLUSIVE"):
        with pytest.raises(DatabaseError, match="SQLITE_BUSY") as caught:
            async with ChainLog(settings):
                pass
        assert not isinstance(caught.value, NotADatabaseError)
    assert beside(database, "corrupt") == []
    assert await stored(database) == names(0, 3)
