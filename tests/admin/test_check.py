"""Whether the file is sound and its totals are right: what is found, and that nobody is held up by the look."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from blockbuster import BlockBuster

from chainlog_async.admin.check import check_database
from chainlog_async.admin.rebuild import rebuild_totals
from chainlog_async.admin.verify.differences import Difference
from chainlog_async.errors import DatabaseError, DatabaseMissingError, NotADatabaseError, OlderDatabaseError
from tests.support.entries import insert_as_original, original_row
from tests.support.interrupting import HOWS, How, cancel_at_every_step
from tests.support.operator import change, clean, files_in, fill, migrate, number_of, overwrite_leaves, rows_of
from tests.support.schemas import make_original, summary_of, summary_of_rows, totals_of


async def test_an_empty_database_is_in_order(database: Path) -> None:
    """Nothing was ever logged, and nothing is wrong."""
    report = await clean(database)
    assert (report.rows, report.pruned_rows, report.damage, report.differences) == (0, 0, (), ())


async def test_what_was_pruned_counts_as_much_as_what_is_left(database: Path) -> None:
    """After a deletion the totals are those of the rows and of the deleted ones, and both are told."""
    fill(database, 100)
    change(database, "DELETE FROM request_logs WHERE id <= 40", "DELETE FROM request_logs WHERE provider_id LIKE '% 2'")
    report = await clean(database)
    assert (report.rows, report.pruned_rows) == (rows_of(database), 100 - rows_of(database))


FIRST = "2026-03-01 21:15 UTC, chain chain 1, provider provider 1"
TAMPERINGS = {
    "UPDATE usage_by_provider SET total_requests = 41 WHERE provider_id = 'provider 1'": [
        Difference("usage_by_provider", "provider 1", "total_requests", 41, 40)
    ],
    "UPDATE usage_by_chain SET total_tokens = 0, last_request_timestamp = 7 WHERE chain_name = 'chain 0'": [
        Difference("usage_by_chain", "chain 0", "total_tokens", 0, 3720),
        Difference("usage_by_chain", "chain 0", "last_request_timestamp", 7, 1_772_400_118_000),
    ],
    "UPDATE usage_by_chain SET total_prompt_tokens = 'many' WHERE chain_name = 'chain 1'": [
        Difference("usage_by_chain", "chain 1", "total_prompt_tokens", "many", 3600)
    ],
    "UPDATE usage_summary SET waterfall_requests = 0": [Difference("usage_summary", None, "waterfall_requests", 0, 80)],
    "UPDATE pruned_summary SET total_latency_ms = 5": [
        Difference("usage_summary", None, "total_latency_ms", 7140, 7145)
    ],
    "DELETE FROM usage_summary": [
        Difference("usage_summary", None, "total_requests", None, 120),
        Difference("usage_summary", None, "waterfall_requests", None, 80),
        Difference("usage_summary", None, "total_latency_ms", None, 7140),
    ],
    "INSERT INTO usage_by_provider VALUES ('nobody', 1, 2, 3, 4, 5, 6)": [
        Difference("usage_by_provider", "nobody", "total_requests", 1, None),
        Difference("usage_by_provider", "nobody", "total_tokens", 2, None),
        Difference("usage_by_provider", "nobody", "total_prompt_tokens", 3, None),
        Difference("usage_by_provider", "nobody", "total_completion_tokens", 4, None),
        Difference("usage_by_provider", "nobody", "last_request_timestamp", 5, None),
        Difference("usage_by_provider", "nobody", "total_cost_nano", 6, None),
    ],
    "UPDATE request_logs SET attempts = 1 WHERE id = 2": [
        Difference("usage_summary", None, "waterfall_requests", 80, 79),
        Difference("usage_buckets", f"{FIRST}, model model 1, up to 1 ms", "waterfalls", 1, 0),
    ],
}


@pytest.mark.parametrize("statement", TAMPERINGS)
async def test_a_wrong_total_is_found_with_its_figures(database: Path, statement: str) -> None:
    """Whatever is changed, in totals or rows, each number that is off is told as it is and as it should be."""
    fill(database, 120)
    change(database, statement)
    report = await check_database(database)
    assert not report.ok
    assert not report.damage
    assert list(report.differences) == TAMPERINGS[statement]


async def test_fractions_of_the_original_add_up(database: Path) -> None:
    """429chain may store a latency with a fraction; that the sum depends on the order is no difference."""
    insert_as_original(database, [original_row(latency_ms=0.1 + number / 7) for number in range(300)])
    change(database, "DELETE FROM request_logs WHERE id % 3 = 0")
    await clean(database)


async def test_it_is_one_moment_that_is_looked_at_and_nobody_waits(database: Path, guard: BlockBuster) -> None:
    """Rows that are written and deleted meanwhile, without waiting for anything, are not seen."""
    guard.deactivate()
    fill(database, 100)

    def write_in_between(what: str, *_: object) -> None:
        with closing(sqlite3.connect(database, timeout=0)) as connection, connection:
            connection.execute("DELETE FROM request_logs WHERE id = (SELECT MIN(id) FROM request_logs)")
        insert_as_original(database, [original_row(provider_id=what), original_row()])

    report = await check_database(database, on_progress=write_in_between)
    assert report.ok
    assert (report.rows, report.pruned_rows) == (100, 0)
    later = await clean(database)
    assert later.rows == rows_of(database) == 105
    assert later.pruned_rows == 5


async def test_a_row_that_an_index_has_not_is_found_by_the_full_check(tmp_path: Path) -> None:
    """With quick the indexes are not compared with the rows; without, they are."""
    path = await migrate(tmp_path / "o.db")
    with closing(sqlite3.connect(path)) as connection:
        (index,) = connection.execute("SELECT * FROM sqlite_master WHERE name = 'idx_logs_errors'").fetchall()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("DELETE FROM sqlite_master WHERE name = 'idx_logs_errors'")
    insert_as_original(path, [original_row(http_status=500)])
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("INSERT INTO sqlite_master VALUES (?, ?, ?, ?, ?)", index)
    quick = await check_database(path, quick=True)
    assert quick.ok
    assert quick.quick
    full = await check_database(path)
    assert not full.ok
    assert any("idx_logs_errors" in finding for finding in full.damage)


async def test_damaged_rows_are_told_even_where_they_cannot_be_added_up(tmp_path: Path) -> None:
    """Overwritten pages are reported as damage, with or without quick, and the totals as not comparable."""
    path = await migrate(tmp_path / "o.db")
    fill(path, 2_000)
    change(path, "PRAGMA wal_checkpoint(TRUNCATE)")
    overwrite_leaves(path, "request_logs")
    for quick in (False, True):
        report = await check_database(path, quick=quick)
        assert not report.ok
        assert report.rows is None
        assert report.damage[-1].startswith("the totals cannot be compared: ")
        assert len(report.damage) > 1


async def test_what_is_no_database_of_ours_is_named_and_nothing_is_made(tmp_path: Path) -> None:
    """A missing, an older and an unreadable file each have an error of their own, and no file appears."""
    text = tmp_path / "text.db"
    text.write_text("this is no database\n" * 100)
    original = make_original(tmp_path / "original.db", 2)
    before = files_in(tmp_path)
    cases: list[tuple[Path, type[DatabaseError], str]] = [
        (tmp_path / "missing.db", DatabaseMissingError, "does not exist"),
        (text, NotADatabaseError, "SQLITE_NOTADB"),
        (original, OlderDatabaseError, "chainlog migrate"),
    ]
    for path, error, words in cases:
        with pytest.raises(error, match=words):
            await check_database(path)
    assert files_in(tmp_path) == before


async def test_a_database_of_the_original_is_in_order_once_it_is_migrated(
    copy_of_original: Callable[[int], Path],
) -> None:
    """The totals that 429chain kept are those of its rows."""
    path = copy_of_original(2)
    await migrate(path)
    assert (await clean(path)).rows == number_of(path, "SELECT total_requests FROM usage_summary")


DELETED = "DELETE FROM request_logs WHERE id % 3 = 0 OR provider_id = (SELECT MIN(provider_id) FROM request_logs)"


@pytest.mark.parametrize("version", [1, 2])
async def test_what_the_original_had_deleted_counts_as_pruned(
    version: int, copy_of_original: Callable[[int], Path]
) -> None:
    """Totals that exceed the rows of a database of 429chain's are in order, stay as they are, and survive a rebuild."""
    path = copy_of_original(version)
    before = rows_of(path)
    change(path, DELETED)
    totals, rows = totals_of(path), rows_of(path)
    await migrate(path)
    report = await clean(path)
    assert (report.rows, report.pruned_rows) == (rows, before - rows)
    assert (await rebuild_totals(path)).mended == ()
    assert totals_of(path) == totals
    assert summary_of(path) == summary_of_rows(path)
    insert_as_original(path, [original_row()])
    change(path, "DELETE FROM request_logs WHERE id % 2 = 0")
    assert (await clean(path)).pruned_rows == before + 1 - rows_of(path)


async def test_totals_below_the_rows_of_the_original_are_wrong(tmp_path: Path) -> None:
    """Only what totals have beyond the rows was deleted: a number that is too low is told, beside deletions or not."""
    path = make_original(tmp_path / "o.db", 2)
    fill(path, 90)
    change(
        path,
        "DELETE FROM request_logs WHERE provider_id = 'provider 1' AND id % 2",
        "UPDATE usage_by_provider SET total_tokens = 1 WHERE provider_id = 'provider 1'",
        "UPDATE usage_by_provider SET total_requests = 7 WHERE provider_id = 'provider 2'",
    )
    await migrate(path)
    report = await check_database(path)
    assert [(difference.name, difference.column, difference.kept) for difference in report.differences] == [
        ("provider 1", "total_tokens", 1),
        ("provider 2", "total_requests", 7),
    ]
    assert report.pruned_rows == 15
    assert number_of(path, "SELECT MIN(total_tokens) FROM pruned_by_provider") == 0


async def test_progress_is_told_up_to_the_last_table(database: Path) -> None:
    """Each step is told before it begins, with how many there are."""
    told: list[tuple[str, int, int | None]] = []
    await check_database(database, on_progress=lambda *told_now: told.append(told_now))
    assert [(done, total) for _, done, total in told] == [(0, 4), (1, 4), (2, 4), (3, 4)]
    assert told[-1][0] == "summing usage_summary"
    told.clear()
    fill(database, 2)
    fill(database, 2, first=3 * 86_400)
    await check_database(database, on_progress=lambda *told_now: told.append(told_now))
    assert told[4:] == [("comparing buckets, days", 0, 4), ("comparing buckets, days", 3, 4)]


@pytest.mark.parametrize("how", HOWS)
async def test_it_can_be_cancelled_anywhere(how: How, database: Path) -> None:
    """Wherever it is cancelled, no thread and no lock is left; what it says otherwise is right."""
    fill(database, 50)
    async for outcome in cancel_at_every_step(lambda _: check_database(database), how):
        if outcome.value is not None:
            assert outcome.value.ok
        change(database, "BEGIN EXCLUSIVE", "COMMIT")
