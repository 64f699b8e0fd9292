"""The contract of `tests/storage/alert_contract.py` on PostgreSQL."""

from __future__ import annotations

from pathlib import Path

import pytest

from chainlog_async.storage.base import AlertStates
from chainlog_async.storage.engines import alert_states_of
from tests.storage.alert_contract import AlertContract, OpenStates
from tests.support.postgres import query, run
from tests.support.writing import settings_for

FLAP = """
DO $$ BEGIN
  FOR number IN 1..{times} LOOP
    PERFORM chainlog.change_alert('rules', 'one', 1, 'fired', 'errors', 'g' || number, 'r', 'v', ARRAY['ops']);
    PERFORM chainlog.change_alert('rules', 'one', 1, 'cleared', 'errors', 'g' || number, 'r', 'v', ARRAY['ops']);
  END LOOP;
END $$
"""


class TestPostgres(AlertContract):
    """See `AlertContract`."""

    writes_by = "_call"

    @pytest.fixture
    def open_states(self, postgres_url: str, tmp_path: Path) -> OpenStates:
        """One database."""
        self._url = postgres_url
        return lambda: alert_states_of(settings_for(tmp_path / "o.db", db_url=postgres_url))

    async def flap(self, states: AlertStates, times: int) -> None:
        """By one statement."""
        await run(self._url, FLAP.format(times=times))
        episodes = "SELECT count(*) - 1 FROM chainlog.alert_episodes"
        ids = f"SELECT count(DISTINCT episode_id), ({episodes}) FROM chainlog.alert_messages"
        ((with_messages, cleared),) = await query(self._url, ids)
        assert with_messages - cleared in (0, 1)
