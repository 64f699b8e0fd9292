"""The contract of `tests/storage/contract.py` on SQLite."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from chainlog_async.common.clock import DAY_MS
from chainlog_async.storage.base import BatchStorage, ReadStorage
from chainlog_async.storage.engines import open_reads, open_storage
from tests.storage.contract import Engine, StorageContract
from tests.storage.random_log import END
from tests.support.rolling_up import roll_up
from tests.support.schemas import query
from tests.support.writing import execute, settings_for

REFUSE = """
CREATE TRIGGER IF NOT EXISTS refuse BEFORE INSERT ON request_logs WHEN NEW.model = '{}'
BEGIN SELECT RAISE(ABORT, 'refused'); END
"""


class SqliteEngine(Engine):
    """One file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def open(self) -> BatchStorage:
        """By the settings."""
        return await open_storage(settings_for(self._path))

    def reads(self) -> ReadStorage:
        """Read-only connections."""
        return open_reads(self._path)

    async def refuse_rows(self, model: str) -> None:
        """By a trigger."""
        await (await self.open()).aclose()
        await asyncio.to_thread(execute, self._path, REFUSE.format(model))

    async def rejected(self) -> int:
        """By the table."""
        ((count,),) = query(self._path, "SELECT COUNT(*) FROM rejected_entries")
        return int(str(count))

    async def compact(self, *, thoroughly: bool) -> None:
        """Rolls up what pays, or all of it."""
        await roll_up(self._path, END + DAY_MS, small_ones=thoroughly)
        assert query(self._path, f"SELECT COUNT(*) > 0 FROM rolled_up WHERE width = {DAY_MS}") == [(1,)]


class TestSqlite(StorageContract):
    """See `StorageContract`."""

    @pytest.fixture
    def engine(self, tmp_path: Path) -> SqliteEngine:
        """A new file."""
        return SqliteEngine(tmp_path / "o.db")
