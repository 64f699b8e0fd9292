"""What the writer does between batches fails: entries are written, the operator is told, and the rest is done."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from time import monotonic

import pytest

from chainlog_async import ChainLog
from chainlog_async.common.clock import now_ms
from chainlog_async.storage.sqlite.maintenance import rollup_job as rollups
from chainlog_async.storage.sqlite.maintenance import rounds as maintenance
from chainlog_async.storage.sqlite.maintenance.rollup_job import RollupJob
from chainlog_async.storage.sqlite.open import open_database
from chainlog_async.storage.sqlite.storage import SqliteStorage
from tests.support import rolling_up
from tests.support.entries import entry
from tests.support.faults import until_health
from tests.support.operator import fill, migrate, rows_of
from tests.support.writing import execute, in_memory, query, settings_for, until

pytestmark = pytest.mark.usefixtures("short_pauses")

HOURS_ROLLED_UP = "SELECT COUNT(*) FROM rolled_up WHERE width = 3600000 AND taken_by IS NULL"


async def log_that_refuses(path: Path, statement: str) -> None:
    """50 old rows, few as they are worth rolling up, in a database that refuses something."""
    await migrate(path)
    await asyncio.to_thread(fill, path, 50)
    await asyncio.to_thread(rolling_up.roll_up_small_ones, path)
    await asyncio.to_thread(execute, path, statement)


async def test_rows_that_cannot_be_deleted_keep_nothing_else_from_being_done(tmp_path: Path) -> None:
    """Entries are written and rolled up while a trigger forbids pruning; once it goes, the oldest go."""
    path = tmp_path / "log.db"
    await log_that_refuses(
        path, "CREATE TRIGGER keep BEFORE DELETE ON request_logs BEGIN SELECT RAISE(ABORT, 'kept'); END"
    )
    async with ChainLog(settings_for(path, retention_rows=10)) as chainlog:
        await chainlog.write(entry(timestamp=now_ms()))
        reason = await until_health(chainlog, "degraded")
        assert "maintenance fails" in reason
        assert "kept (SQLITE_CONSTRAINT_TRIGGER)" in reason
        await until(lambda: query(path, HOURS_ROLLED_UP) == [(1,)])
        assert rows_of(path) == 51
        await asyncio.to_thread(execute, path, "DROP TRIGGER keep")
        await until(lambda: rows_of(path) == 10)
        await until_health(chainlog, "ok")


async def test_what_cannot_be_rolled_up_keeps_nothing_else_from_being_done(tmp_path: Path) -> None:
    """Entries are written and pruned as fast as ever while a trigger forbids rollups; once it goes, they are made."""
    path = tmp_path / "log.db"
    await log_that_refuses(
        path, "CREATE TRIGGER keep BEFORE INSERT ON rolled_up BEGIN SELECT RAISE(ABORT, 'refused'); END"
    )
    async with ChainLog(settings_for(path, retention_rows=10)) as chainlog:
        await chainlog.write(entry(timestamp=now_ms()))
        assert "refused (SQLITE_CONSTRAINT_TRIGGER)" in await until_health(chainlog, "degraded")
        await until(lambda: rows_of(path) == 10)
        await asyncio.to_thread(execute, path, "DROP TRIGGER keep")
        await until(lambda: query(path, HOURS_ROLLED_UP) == [(1,)])
        await until_health(chainlog, "ok")


@pytest.mark.parametrize(("is_behind", "pause_s"), [(False, 0.02), (True, 0.18)])
async def test_adding_up_leaves_time_for_batches_that_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_behind: bool, pause_s: float
) -> None:
    """It rests for as long as it took, and nine times as long where the writer cannot keep up."""
    monkeypatch.setattr(maintenance, "MAINTENANCE_INTERVAL_S", 3_600.0)
    settings = settings_for(tmp_path / "log.db")
    now = monotonic()
    monkeypatch.setattr(maintenance, "monotonic", lambda: now)
    storage = SqliteStorage(await open_database(settings), settings)
    await storage.start()

    async def advance(*_: object) -> bool:
        nonlocal now
        now += 0.02
        return True

    monkeypatch.setattr(RollupJob, "advance", advance)
    now += 3_600.0
    assert await storage.maintain(is_behind=is_behind) == pytest.approx(pause_s)
    await storage.aclose()


ENDLESS = "WITH RECURSIVE n (x) AS (VALUES (0) UNION ALL SELECT note() FROM n) SELECT x FROM n WHERE x"


async def test_adding_up_does_not_hold_up_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that would take for ever is ended with the log, and everything is written in time."""
    path = tmp_path / "log.db"
    await migrate(path)
    await asyncio.to_thread(fill, path, 50)
    monkeypatch.setattr(rollups, "ROLL_UP", ENDLESS)
    monkeypatch.setattr(rollups, "SEARCH_INTERVAL_MS", 0)
    noted = threading.Event()
    async with ChainLog(in_memory(path, max_batch_size=10, shutdown_timeout_ms=3_000)) as chainlog:
        # Until now, "no such function".
        await chainlog.request_logger.connection.create_function("note", 0, noted.set)
        await until(noted.is_set)
        for _ in range(50):
            assert chainlog.log_request(entry())
    assert chainlog.statistics().dropped == {}
    assert rows_of(path) == 100
