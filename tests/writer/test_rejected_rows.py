"""Rows that the database refuses: found by halving the batch, put aside whole, and nobody else's trouble."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import anyio
import pytest

from chainlog_async import ChainLog
from chainlog_async.entry.batch import Batch
from chainlog_async.entry.json_input import entry_from_json
from chainlog_async.storage.sqlite.storage import SqliteStorage
from tests.support.entries import entry
from tests.support.faults import leave_dead_journal
from tests.support.writing import (
    REFUSE,
    check_law,
    check_totals,
    execute,
    log_all,
    names,
    query,
    refuse_rows,
    settings_for,
    stored,
    until,
)

pytestmark = pytest.mark.usefixtures("short_pauses")

RAISES = ["ABORT, 'not this one'", "ROLLBACK, 'not this one'", "FAIL, 'not this one'"]

CONSTRAINTS = {
    "SQLITE_CONSTRAINT_UNIQUE": "CREATE UNIQUE INDEX one_of_each ON request_logs (model) WHERE model LIKE 'refused%'",
    "SQLITE_CONSTRAINT_TRIGGER": REFUSE.format("ABORT, 'no'"),
    "SQLITE_CONSTRAINT_NOTNULL": (
        "CREATE TRIGGER refuse BEFORE INSERT ON request_logs WHEN NEW.model LIKE 'refused%' "
        "BEGIN INSERT INTO usage_by_chain (chain_name, total_requests) VALUES ('x', NULL); END"
    ),
    "SQLITE_MISMATCH": (
        "CREATE TRIGGER refuse BEFORE INSERT ON request_logs WHEN NEW.model LIKE 'refused%' "
        "BEGIN INSERT INTO usage_summary VALUES ('no number', 0, 0, 0); END"
    ),
}


async def rejected(db_path: Path) -> list[tuple[str, str]]:
    """Error and entry of every rejected row, in order."""
    rows = await asyncio.to_thread(query, db_path, "SELECT error, entry FROM rejected_entries ORDER BY id")
    return [(str(error), str(text)) for error, text in rows]


@pytest.mark.parametrize("action", RAISES, ids=["ABORT", "ROLLBACK", "FAIL"])
async def test_a_trigger_that_raises_costs_its_row_alone(tmp_path: Path, action: str) -> None:
    """However it raises, every good row is committed once and in order, and the totals are those of the rows.

    FAIL is the wicked one: SQLite keeps, and commits, what the statement had done before it.
    """
    db_path = tmp_path / "log.db"
    models = names(0, 100)
    for position in (0, 1, 37, 99):
        models[position] = f"refused{position}"
    async with ChainLog(settings_for(db_path, max_batch_size=50)) as chainlog:
        await asyncio.to_thread(execute, db_path, REFUSE.format(action))
        for model in models:
            chainlog.log_request(entry(model=model))
        await chainlog.flush()
        good = [model for model in models if not model.startswith("refused")]
        assert await stored(db_path) == good
        statistics = chainlog.statistics()
        check_law(statistics)
        assert (statistics.written, statistics.dropped) == (96, {"rejected": 4})
    assert [json.loads(text)["model"] for _, text in await rejected(db_path)] == [f"refused{n}" for n in (0, 1, 37, 99)]
    await asyncio.to_thread(check_totals, db_path)


@pytest.mark.parametrize("sqlite_error_name", CONSTRAINTS)
async def test_a_rejected_row_is_kept_whole(tmp_path: Path, sqlite_error_name: str) -> None:
    """`rejected_entries` has SQLite's name for the error, and the entry as JSON that can be read back as it was."""
    db_path = tmp_path / "log.db"
    bad = entry(
        model="refused",
        error_message='with "quotes", \n a new line and 😀',
        latency_ms=1.5,
        total_tokens=None,
        attempts=3,
    )
    async with ChainLog(settings_for(db_path)) as chainlog:
        await chainlog.write(entry(model="refused first"))
        await asyncio.to_thread(execute, db_path, CONSTRAINTS[sqlite_error_name])
        if sqlite_error_name == "SQLITE_CONSTRAINT_UNIQUE":
            await chainlog.write(bad)
        chainlog.log_request(entry(model="before"))
        chainlog.log_request(bad)
        chainlog.log_request(entry(model="after"))
        await chainlog.flush()
        assert (await stored(db_path))[-2:] == ["before", "after"]
    ((error, text),) = await rejected(db_path)
    assert sqlite_error_name in error
    assert entry_from_json(text) == bad
    await asyncio.to_thread(check_totals, db_path)


async def test_a_dead_writers_bad_rows_are_put_aside_as_well(tmp_path: Path) -> None:
    """A replay halves its batches like any other, and the journal is gone afterwards."""
    db_path = tmp_path / "log.db"
    async with ChainLog(settings_for(db_path)):
        pass
    await asyncio.to_thread(execute, db_path, REFUSE.format("ABORT, 'no'"))
    leave_dead_journal(db_path, [*names(0, 10), "refused", *names(10, 20)])
    async with ChainLog(settings_for(db_path)) as chainlog:
        await chainlog.write(entry(model="new"))
        assert chainlog.statistics().replayed == 20
    assert await stored(db_path) == [*names(0, 20), "new"]
    assert len(await rejected(db_path)) == 1


async def test_a_bad_row_that_cannot_be_put_aside_is_kept(tmp_path: Path) -> None:
    """Without a place for rejected rows it waits at the head, with all behind it, until there is one again."""
    db_path = tmp_path / "log.db"
    async with ChainLog(settings_for(db_path)) as chainlog:
        await asyncio.to_thread(execute, db_path, REFUSE.format("ABORT, 'no'"))
        await asyncio.to_thread(
            execute,
            db_path,
            "CREATE TRIGGER no_room BEFORE INSERT ON rejected_entries BEGIN SELECT RAISE(ABORT, 'no room'); END",
        )
        for model in ["m0", "refused", "m1"]:
            chainlog.log_request(entry(model=model))
        await until(lambda: chainlog.statistics().retries >= 3)
        check_law(chainlog.statistics())
        assert chainlog.statistics().pending == 2
        assert await stored(db_path) == ["m0"]
        await asyncio.to_thread(execute, db_path, "DROP TRIGGER no_room")
        await chainlog.flush()
        assert await stored(db_path) == ["m0", "m1"]
        assert chainlog.statistics().dropped == {"rejected": 1}


async def test_a_row_put_aside_in_the_last_moment_is_counted_as_rejected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where shutdown cuts the writer off between putting a row aside and booking it, the books have it right."""
    db_path = tmp_path / "log.db"
    is_put_aside = asyncio.Event()
    async with ChainLog(settings_for(db_path, shutdown_timeout_ms=0)) as chainlog:
        await refuse_rows(db_path)
        reject = SqliteStorage.reject

        async def reject_and_hang(storage: SqliteStorage, row: Batch, error: Exception) -> None:
            await reject(storage, row, error)
            is_put_aside.set()
            await anyio.sleep_forever()

        monkeypatch.setattr(SqliteStorage, "reject", reject_and_hang)
        log_all(chainlog, ["m0", "m1", "refused"])
        await is_put_aside.wait()
    statistics = chainlog.statistics()
    assert (statistics.written, statistics.pending, statistics.dropped) == (2, 0, {"rejected": 1})
    assert await stored(db_path) == ["m0", "m1"]
