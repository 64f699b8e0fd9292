"""Entries that the database refused: seen, tried again, deleted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from chainlog_async import ChainLog
from chainlog_async.admin.rejected import delete_rejected, list_rejected, retry_rejected
from chainlog_async.entry.redaction import Redactor
from chainlog_async.errors import DatabaseError, DatabaseMissingError
from tests.support.entries import entry
from tests.support.interrupting import How, cancel_at_every_step
from tests.support.operator import HARDEST, change, clean, die_at_statements, files_in, migrate, number_of
from tests.support.schemas import query
from tests.support.writing import locked, models, refuse_rows, settings_for

COUNT = "SELECT COUNT(*) FROM rejected_entries"
ALLOW = "DROP TRIGGER refuse"


async def refused(path: Path, count: int) -> Path:
    """A database with one row and so many entries that it refused, and still refuses."""
    await migrate(path)
    await refuse_rows(path)
    async with ChainLog(settings_for(path)) as chainlog:
        await chainlog.write(entry(model="good"))
        for number in range(1, count + 1):
            chainlog.log_request(entry(model=f"refused {number}", latency_ms=10.5, error_message="429: slow down"))
        await chainlog.flush()
    return path


@pytest.fixture
async def path(tmp_path: Path) -> AsyncIterator[Path]:
    """A database with one row and five refused entries; whatever a test does, its totals are right afterwards."""
    path = await refused(tmp_path / "o.db", 5)
    yield path
    await clean(path)


async def test_they_are_listed_newest_first(path: Path) -> None:
    """Each with its id, the database's words and the whole entry as JSON."""
    entries = await list_rejected(path, 2)
    assert [one.id for one in entries] == [5, 4]
    assert entries[0].error == "no such row here (SQLITE_CONSTRAINT_TRIGGER)"
    assert msgspec.json.decode(entries[0].entry) == msgspec.structs.asdict(
        entry(model="refused 5", latency_ms=10.5, error_message="429: slow down")
    )
    assert len(await list_rejected(path)) == 5
    assert await list_rejected(path, 0) == []


async def test_whatever_somebody_put_there_is_shown_as_json(path: Path) -> None:
    """An entry that is no JSON becomes a JSON string, so that the list can always be read by a machine."""
    change(path, "UPDATE rejected_entries SET entry = '{\"truncated' WHERE id = 5")
    (one,) = await list_rejected(path, 1)
    assert msgspec.json.decode(msgspec.json.encode(one))["entry"] == '{"truncated'


async def test_once_the_cause_is_gone_they_are_written(path: Path) -> None:
    """They come into the log as they would have at first, oldest first, with their totals, and are gone from here."""
    change(path, ALLOW)
    told: list[tuple[str, int, int | None]] = []
    report = await retry_rejected(path, on_progress=lambda *now: told.append(now))
    assert report.written == (1, 2, 3, 4, 5)
    assert report.failed == ()
    assert told == [("retrying", number, 5) for number in range(5)]
    assert models(path) == ["good", *(f"refused {number}" for number in range(1, 6))]
    row = "latency_ms, prompt_tokens, total_tokens, error_message, http_status"
    assert query(path, f"SELECT {row} FROM request_logs WHERE id > 1 LIMIT 1") == [
        (11, 100, 120, "429: slow down", 200)
    ]
    assert number_of(path, COUNT) == 0
    assert query(path, "SELECT * FROM writer_positions") == []


async def test_those_that_are_refused_again_stay(path: Path) -> None:
    """They are reported with the reason of now and are as they were; the others are written."""
    change(path, "UPDATE rejected_entries SET entry = replace(entry, 'refused 2', 'fine 2') WHERE id = 2")
    change(path, "UPDATE rejected_entries SET entry = '\"no entry\"' WHERE id = 3")
    before = query(path, "SELECT * FROM rejected_entries WHERE id <> 2")
    report = await retry_rejected(path)
    assert report.written == (2,)
    assert [(one.id, one.error) for one in report.failed] == [
        (1, "no such row here (SQLITE_CONSTRAINT_TRIGGER)"),
        (3, "an entry is a JSON object, not a string"),
        (4, "no such row here (SQLITE_CONSTRAINT_TRIGGER)"),
        (5, "no such row here (SQLITE_CONSTRAINT_TRIGGER)"),
    ]
    assert query(path, "SELECT * FROM rejected_entries") == before
    assert models(path) == ["good", "fine 2"]


async def test_a_trigger_that_ends_the_transaction_takes_nothing_with_it(path: Path) -> None:
    """With RAISE(ROLLBACK) the entry stays as well, and the next is tried."""
    change(
        path,
        ALLOW,
        "CREATE TRIGGER refuse BEFORE INSERT ON request_logs WHEN NEW.model = 'refused 1' "
        "BEGIN SELECT RAISE(ROLLBACK, 'away with it'); END",
    )
    report = await retry_rejected(path)
    assert report.written == (2, 3, 4, 5)
    assert [(one.id, one.error) for one in report.failed] == [(1, "away with it (SQLITE_CONSTRAINT_TRIGGER)")]


async def test_only_the_ones_asked_for_are_tried(path: Path) -> None:
    """In the order of asking; one that is not there is told."""
    change(path, ALLOW)
    report = await retry_rejected(path, [4, 77, 2])
    assert report.written == (4, 2)
    assert [one.id for one in report.failed] == [77]
    assert [one.id for one in await list_rejected(path)] == [5, 3, 1]


async def test_secrets_that_are_known_by_now_are_redacted(path: Path) -> None:
    """A pattern that was added since the entry was refused holds for what is written."""
    change(path, ALLOW)
    await retry_rejected(path, [1], redact=Redactor(["slow down"]))
    assert query(path, "SELECT error_message FROM request_logs WHERE id = 2") == [("429: [redacted]",)]


async def test_they_can_be_deleted(path: Path) -> None:
    """For good and in one transaction; ids that are not there are told."""
    report = await delete_rejected(path, [1, 3, 99])
    assert (report.deleted, report.missing) == ((1, 3), (99,))
    assert [one.id for one in await list_rejected(path)] == [5, 4, 2]


async def test_a_lock_of_another_process_is_named(path: Path) -> None:
    """Nothing is written or deleted then."""
    change(path, ALLOW)
    async with locked(path):
        for work in (retry_rejected(path, [1], busy_timeout_ms=50), delete_rejected(path, [1], busy_timeout_ms=50)):
            with pytest.raises(DatabaseError, match="is locked by another process"):
                await work
    assert number_of(path, COUNT) == 5


async def test_nothing_is_made_where_nothing_is(tmp_path: Path) -> None:
    """A wrong path is an error, not a new database."""
    nowhere = tmp_path / "nowhere.db"
    for work in (list_rejected(nowhere), retry_rejected(nowhere), delete_rejected(nowhere, [1])):
        with pytest.raises(DatabaseMissingError):
            await work
    assert not files_in(tmp_path)


@pytest.mark.parametrize("how", HARDEST)
async def test_cancelled_anywhere_each_is_in_one_place(how: How, path: Path) -> None:
    """Wherever a retry is cancelled, every entry is either in the log or here, never both or neither."""
    change(path, ALLOW)
    again = "INSERT INTO rejected_entries (rejected_at, error, entry) SELECT 1, error, entry FROM keep"
    change(path, "CREATE TABLE keep AS SELECT error, entry FROM rejected_entries LIMIT 1")
    tried = 5
    async for _ in cancel_at_every_step(lambda _: retry_rejected(path), how):
        assert number_of(path, COUNT) + len(models(path)) - 1 == tried
        change(path, again)
        tried += 1


async def test_killed_anywhere_each_is_in_one_place(tmp_path: Path) -> None:
    """Wherever a retry is killed, every entry is either in the log or here, never both or neither."""
    template = await refused(tmp_path / "template.db", 4)
    change(template, ALLOW, "PRAGMA wal_checkpoint(TRUNCATE)")
    paths = await asyncio.to_thread(die_at_statements, "retry", template, tmp_path / "dead", deaths=10)
    for path in paths:
        assert number_of(path, COUNT) + len(models(path)) == 5
        await clean(path)
    assert {number_of(path, COUNT) for path in paths} > {1, 4}
