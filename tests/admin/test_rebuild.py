"""Totals made anew: right afterwards, with the pruned part, and all or nothing whatever happens meanwhile."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from chainlog_async.admin.check import check_database
from chainlog_async.admin.rebuild import rebuild_totals
from chainlog_async.errors import DatabaseError, DatabaseMissingError
from tests.support.interrupting import HOWS, How, cancel_at_every_step
from tests.support.operator import change, clean, content_of, die_at_statements, files_in, fill, migrate, rows_of
from tests.support.schemas import summary_of, totals_of
from tests.support.writing import locked

SPOIL = (
    "UPDATE usage_by_provider SET total_tokens = 0, total_requests = 1",
    "DELETE FROM usage_by_chain WHERE chain_name = 'chain 1'",
    "INSERT OR REPLACE INTO usage_by_chain VALUES ('nobody', 1, 2, 3, 4, 5, 6)",
    "UPDATE usage_summary SET total_requests = 9, total_latency_ms = -1",
)
PRUNE = "DELETE FROM request_logs WHERE id <= 70 OR provider_id = 'provider 2'"


@pytest.mark.parametrize("prunings", [(), (PRUNE,), ("DELETE FROM request_logs",)])
async def test_wrong_totals_are_right_afterwards(database: Path, prunings: tuple[str, ...]) -> None:
    """They are what they were before they were spoiled, also when some rows, or all, were pruned."""
    fill(database, 150)
    change(database, *prunings)
    totals, summary = totals_of(database), summary_of(database)
    change(database, *SPOIL)
    found = await check_database(database)
    report = await rebuild_totals(database)
    assert report.mended == found.differences
    assert len(report.mended) > 10
    assert (totals_of(database), summary_of(database)) == (totals, summary)
    assert (await clean(database)).pruned_rows == 150 - rows_of(database)


async def test_a_provider_that_was_pruned_away_keeps_its_last_use(database: Path) -> None:
    """Where no row is left, the time of the last request comes from what was pruned."""
    fill(database, 30)
    change(database, "DELETE FROM request_logs WHERE provider_id = 'provider 1'")
    totals = totals_of(database)
    change(database, "UPDATE usage_by_provider SET last_request_timestamp = 0")
    await rebuild_totals(database)
    assert totals_of(database) == totals


async def test_right_totals_are_left_alone(database: Path) -> None:
    """When nothing is wrong, nothing is mended and not a byte is written."""
    fill(database, 50)
    change(database, "PRAGMA wal_checkpoint(TRUNCATE)")
    before = content_of(database)
    assert (await rebuild_totals(database)).mended == ()
    assert content_of(database) == before


async def test_the_triggers_go_on_from_the_new_totals(database: Path) -> None:
    """Requests that come after it are added to what it made."""
    fill(database, 20)
    change(database, *SPOIL)
    await rebuild_totals(database)
    fill(database, 20, first=20)
    await clean(database)


async def test_what_does_not_come_out_right_is_not_committed(database: Path) -> None:
    """Where something spoils the new totals as well, an error says what, and everything is as it was."""
    fill(database, 20)
    meddle = "UPDATE usage_by_chain SET total_tokens = 13 WHERE chain_name = NEW.chain_name"
    change(database, *SPOIL, f"CREATE TRIGGER meddle AFTER INSERT ON usage_by_chain BEGIN {meddle}; END")
    before = totals_of(database)
    with pytest.raises(DatabaseError, match=r"usage_by_chain would still be wrong .*triggers"):
        await rebuild_totals(database)
    assert totals_of(database) == before


async def test_a_lock_of_another_process_is_named(database: Path) -> None:
    """It does not wait for ever, and says who is in the way."""
    async with locked(database):
        with pytest.raises(DatabaseError, match=r"is locked by another process: .*\(SQLITE_BUSY\)"):
            await rebuild_totals(database, busy_timeout_ms=50)


async def test_nothing_is_made_where_nothing_is(tmp_path: Path) -> None:
    """A wrong path is an error, not a new database."""
    with pytest.raises(DatabaseMissingError):
        await rebuild_totals(tmp_path / "folder" / "o.db")
    assert not files_in(tmp_path)


@pytest.mark.parametrize("how", HOWS)
async def test_cancelled_anywhere_it_has_done_all_or_nothing(how: How, database: Path) -> None:
    """Wherever it is cancelled, the totals are all wrong as before or all right, and others can write at once."""
    fill(database, 10)
    spoil = ("UPDATE usage_by_chain SET total_tokens = 0", "UPDATE usage_summary SET total_requests = 9")
    right = totals_of(database), summary_of(database)
    change(database, *spoil)
    wrong = totals_of(database), summary_of(database)
    async for outcome in cancel_at_every_step(lambda _: rebuild_totals(database), how):
        now = totals_of(database), summary_of(database)
        assert now == right if outcome.value is not None else now in (right, wrong)
        if now == right:
            change(database, *spoil)
        else:
            change(database, "BEGIN IMMEDIATE", "COMMIT")


async def test_killed_anywhere_it_has_done_all_or_nothing(tmp_path: Path) -> None:
    """After a kill at whichever statement the totals are as before or right, and a second try makes them right."""
    template = await migrate(tmp_path / "template.db")
    fill(template, 30)
    change(template, PRUNE)
    right = totals_of(template), summary_of(template)
    change(template, *SPOIL, "PRAGMA wal_checkpoint(TRUNCATE)")
    wrong = totals_of(template), summary_of(template)
    paths = await asyncio.to_thread(die_at_statements, "rebuild", template, tmp_path / "dead", deaths=12)
    assert len(paths) == 12
    for path in paths:
        assert (totals_of(path), summary_of(path)) in (right, wrong)
        await rebuild_totals(path)
        await clean(path)
