"""The contract of `tests/storage/contract.py` on PostgreSQL."""

from __future__ import annotations

from pathlib import Path

import pytest

from chainlog_async.common.clock import DAY_MS
from chainlog_async.storage.base import BatchStorage, ReadStorage
from chainlog_async.storage.engines import open_storage, reads_of
from tests.storage.contract import Engine, StorageContract
from tests.storage.random_log import END
from tests.support.postgres import query, run
from tests.support.two_engines import fold, roll_up
from tests.support.writing import settings_for

REFUSE = """
CREATE OR REPLACE FUNCTION chainlog.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.model = '{}' THEN
    RAISE EXCEPTION 'refused' USING ERRCODE = 'check_violation', CONSTRAINT = 'refuse';
  END IF;
  RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER refuse BEFORE INSERT ON chainlog.request_logs FOR EACH ROW EXECUTE FUNCTION chainlog.refuse()
"""


class PostgresEngine(Engine):
    """One database of the tests' server."""

    def __init__(self, url: str, folder: Path) -> None:
        self._url = url
        self._settings = settings_for(folder / "o.db", db_url=url)

    async def open(self) -> BatchStorage:
        """By the settings."""
        return await open_storage(self._settings)

    def reads(self) -> ReadStorage:
        """By the settings."""
        return reads_of(self._settings)

    async def refuse_rows(self, model: str) -> None:
        """By a trigger."""
        await run(self._url, REFUSE.format(model))

    async def rejected(self) -> int:
        """By the table."""
        ((count,),) = await query(self._url, "SELECT count(*) FROM chainlog.rejected_entries")
        return int(count)

    async def compact(self, *, thoroughly: bool) -> None:
        """Adds batches to the totals and rolls up what pays, or all of it."""
        await fold(self._url)
        await roll_up(self._url, END + DAY_MS, small_ones=thoroughly)
        ((days,),) = await query(self._url, "SELECT count(*) FROM chainlog.rolled_up WHERE width = $1", DAY_MS)
        assert days > 0


class TestPostgres(StorageContract):
    """See `StorageContract`."""

    # The hypothesis test beside this file asks more of them.
    questions = 30

    @pytest.fixture
    def engine(self, postgres_url: str, tmp_path: Path) -> PostgresEngine:
        """A new database."""
        return PostgresEngine(postgres_url, tmp_path)
