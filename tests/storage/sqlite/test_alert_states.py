"""The contract of `tests/storage/alert_contract.py` on SQLite, and what holds for its file."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path

import pytest

from chainlog_async import initialize_database, migrate_schema
from chainlog_async.errors import DatabaseMissingError
from chainlog_async.storage.base import AlertStates
from chainlog_async.storage.engines import alert_states_of
from chainlog_async.storage.sqlite.connection import close_connection
from tests.storage.alert_contract import HOUR_MS, AlertContract, OpenStates, change
from tests.support.schemas import query
from tests.support.writing import execute, log_settings

FLAP = """
WITH RECURSIVE numbers (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < 2 * {times})
INSERT INTO alert_changes (lease, owner, at, event, alert, group_name, rule, value, targets)
SELECT 'rules', 'one', 1, IIF(number % 2, 'fired', 'cleared'), 'errors', 'g' || (number + 1) / 2, 'r', 'v', '["ops"]'
FROM numbers
"""


class TestSqlite(AlertContract):
    """See `AlertContract`."""

    writes_by = "_write"

    @pytest.fixture
    def open_states(self, database: Path) -> OpenStates:
        """One file."""
        self._path = database
        return lambda: alert_states_of(log_settings(database))

    async def flap(self, states: AlertStates, times: int) -> None:
        """By one statement."""
        execute(self._path, FLAP.format(times=times))


async def test_messages_go_with_their_episodes(database: Path) -> None:
    """Nothing is left of what is no longer in the history."""
    async with aclosing(alert_states_of(log_settings(database))) as states:
        await states.take_lease("rules", "one", for_ms=HOUR_MS)
        execute(database, FLAP.format(times=1_100))
        await states.change("rules", "one", change("fired"))
    ids = "SELECT COUNT(DISTINCT episode_id), MIN(episode_id) FROM alert_messages"
    assert query(database, ids) == query(database, "SELECT COUNT(*), MIN(id) FROM alert_episodes")


def set_aside(database: Path, folder: Path) -> None:
    """Moves the file away, with what belongs to it."""
    for name in ("", "-wal", "-shm"):
        if (file := database.with_name(database.name + name)).exists():
            file.rename(folder / f"before.db{name}")


async def test_a_file_that_was_replaced_is_followed(database: Path, tmp_path: Path) -> None:
    """What was firing in the one before does not fire in the new one."""
    async with aclosing(alert_states_of(log_settings(database))) as states:
        await states.take_lease("rules", "one", for_ms=HOUR_MS)
        await states.change("rules", "one", change("fired"))
        assert len(await states.open_episodes()) == 1
        set_aside(database, tmp_path)
        connection = await initialize_database(database)
        try:
            await migrate_schema(connection)
        finally:
            await close_connection(connection)
        assert await states.take_lease("rules", "other", for_ms=HOUR_MS)
        assert await states.open_episodes() == []


async def test_no_file_is_made(tmp_path: Path) -> None:
    """A log that was moved away is not there, and its alerts are not evaluated on an empty one."""
    path = tmp_path / "gone.db"
    async with aclosing(alert_states_of(log_settings(path))) as states:
        with pytest.raises(DatabaseMissingError):
            await states.take_lease("rules", "one", for_ms=HOUR_MS)
    assert not path.exists()
