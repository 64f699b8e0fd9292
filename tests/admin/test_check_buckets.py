"""Buckets and what is rolled up of them: found wrong by the check, mended by a rebuild, kept where rows were pruned."""

from __future__ import annotations

import asyncio
import shutil
import tracemalloc
from pathlib import Path

import pytest

from chainlog_async.admin.check import check_database
from chainlog_async.admin.rebuild import rebuild_totals
from chainlog_async.admin.verify.differences import MAX_LISTED_DIFFERENCES, Difference
from chainlog_async.errors import DatabaseError
from chainlog_async.storage.sqlite.maintenance.rollup_job import ROLLUP_GRACE_MS
from tests.support import rolling_up
from tests.support.buckets import T0, counted_buckets, insert_details, kept_buckets
from tests.support.operator import change, clean, content_of, number_of, rows_of
from tests.support.schemas import query

DAY_MS = 86_400_000
OLDEST = f"DELETE FROM request_logs WHERE timestamp < {T0 + DAY_MS // 2}"
"""Prunes a quarter of two days."""

YOUNG = f"start > {T0 + DAY_MS}"


async def roll_up(path: Path) -> None:
    """All there is, as if it were three days later."""
    await rolling_up.roll_up(path, T0 + 3 * DAY_MS + ROLLUP_GRACE_MS)


@pytest.fixture(scope="module")
def details(empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `detailed` is a copy of."""
    path = Path(shutil.copy(empty_database, tmp_path_factory.mktemp("details")))
    insert_details(path, 60)
    return path


@pytest.fixture(scope="module")
def rolled_up_details(details: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `rolled_up` is a copy of."""
    path = Path(shutil.copy(details, tmp_path_factory.mktemp("rolled")))
    asyncio.run(roll_up(path))
    return path


@pytest.fixture
def detailed(database: Path, details: Path) -> Path:
    """A database with 60 requests of two days."""
    return Path(shutil.copy(details, database))


@pytest.fixture
def rolled_up(database: Path, rolled_up_details: Path) -> Path:
    """The detailed database with all of it rolled up."""
    return Path(shutil.copy(rolled_up_details, database))


async def test_what_the_triggers_keep_is_what_an_independent_count_gives(detailed: Path) -> None:
    """And the check agrees: with trails and without, with fractions, and with rows that were pruned."""
    assert kept_buckets(detailed) == counted_buckets(detailed)
    await roll_up(detailed)
    await clean(detailed)
    change(detailed, OLDEST)
    await clean(detailed)
    change(detailed, "DELETE FROM request_logs WHERE id % 3 = 0")
    await clean(detailed)


SPOIL = {
    f"UPDATE usage_buckets SET requests = requests + 1 WHERE {YOUNG}",
    f"UPDATE usage_buckets SET cost_nano = cost_nano + 1 WHERE {YOUNG}",
    f"UPDATE usage_buckets SET model = 'else' WHERE model = 'm0' AND {YOUNG}",
    f"DELETE FROM usage_buckets WHERE {YOUNG}",
    f"UPDATE ttft_buckets SET upper_ms = upper_ms + 1 WHERE {YOUNG}",
    f"UPDATE attempt_buckets SET failures = 'many' WHERE {YOUNG}",
    f"UPDATE attempt_buckets SET last_error_at = 5 WHERE {YOUNG} AND last_error IS NOT NULL",
    f"INSERT INTO attempt_buckets VALUES ({T0 + 40 * DAY_MS}, 'nobody', 'm', 1, 1, 0, 0, NULL, NULL, NULL)",
}


@pytest.mark.parametrize("statement", sorted(SPOIL))
@pytest.mark.parametrize("pruning", [None, OLDEST])
async def test_wrong_buckets_are_found_and_mended(statement: str, pruning: str | None, rolled_up: Path) -> None:
    """Whatever is changed, it is found; a rebuild makes it what it was, and leaves older buckets as they are."""
    if pruning:
        change(rolled_up, pruning)
    before = kept_buckets(rolled_up)
    change(rolled_up, statement)
    found = await check_database(rolled_up)
    assert found.wrong_numbers >= len(found.differences) > 0
    assert {one.table for one in found.differences} <= {statement.split()[1], statement.split()[2], "rollups"}
    report = await rebuild_totals(rolled_up)
    assert report.left == ()
    assert report.mended_numbers > 0
    assert kept_buckets(rolled_up) == {
        name: {key: pytest.approx(sums) for key, sums in table.items()} for name, table in before.items()
    }
    await roll_up(rolled_up)
    await clean(rolled_up)
    assert (await rebuild_totals(rolled_up)).mended == ()


async def test_a_wrong_bucket_is_named_so_that_people_can_read_it(database: Path) -> None:
    """By time in UTC, chain, provider, model, caller and latency, with what it is and what it should be."""
    insert_details(database, 1)
    names = "chain_name = 'c', provider_id = 'p', model = 'm', caller = 'team'"
    change(database, f"UPDATE usage_buckets SET {names}, upper_ms = 1")
    report = await check_database(database)
    named = {one.name for one in report.differences}
    assert any(name and name.endswith("UTC, chain c, provider p, model m, caller team, up to 1 ms") for name in named)
    requests = [(one.kept, one.counted) for one in report.differences if one.column == "requests"]
    assert sorted(requests, key=str) == [(1, None), (None, 1)]


async def test_only_so_many_are_listed_and_all_are_counted(detailed: Path) -> None:
    """A report is no longer than people read, however much is wrong; it says how much that is."""
    lines = number_of(detailed, "SELECT COUNT(*) FROM usage_buckets")
    change(detailed, "UPDATE usage_buckets SET requests = requests + 1, errors = errors + 1")
    report = await check_database(detailed)
    assert len(report.differences) == MAX_LISTED_DIFFERENCES
    assert report.wrong_numbers == 2 * lines
    mended = await rebuild_totals(detailed)
    assert (mended.mended, mended.mended_numbers) == (report.differences, report.wrong_numbers)


async def test_what_is_wrong_in_old_buckets_is_told_and_kept(detailed: Path) -> None:
    """Where rows were pruned the buckets are compared as a whole; what is wrong there cannot be counted any more."""
    change(detailed, OLDEST)
    before = number_of(detailed, "SELECT SUM(requests) FROM usage_buckets WHERE provider_id = 'p1'")
    change(
        detailed,
        f"UPDATE usage_buckets SET requests = requests + 1 WHERE provider_id = 'p1' AND start < {T0 + DAY_MS // 4}",
    )
    surplus = number_of(detailed, "SELECT SUM(requests) FROM usage_buckets WHERE provider_id = 'p1'") - before
    report = await check_database(detailed)
    (difference,) = report.differences
    assert isinstance(difference.kept, int)
    assert difference == Difference(
        "usage_buckets",
        "before 2026-03-01 12:00 UTC, provider p1",
        "requests",
        difference.kept,
        difference.kept - surplus,
    )
    content = content_of(detailed)
    rebuilt = await rebuild_totals(detailed)
    assert (rebuilt.left, rebuilt.mended) == ((difference,), ())
    assert content_of(detailed) == content


async def test_what_was_pruned_before_there_were_buckets_is_in_none(detailed: Path) -> None:
    """It is recorded when the buckets are made, so their sums can be checked all the same."""
    change(
        detailed,
        "INSERT INTO pruned_before_buckets VALUES ('p0', 9, 8, 7, 6)",
        "UPDATE pruned_by_provider SET total_requests = 9",
        "INSERT INTO pruned_by_provider VALUES ('p0', 9, 8, 7, 6, 9000000000000, 0)",
        "UPDATE usage_by_provider SET total_requests = total_requests + 9, total_tokens = total_tokens + 8, "
        "total_prompt_tokens = total_prompt_tokens + 7, total_completion_tokens = total_completion_tokens + 6, "
        "last_request_timestamp = 9000000000000 WHERE provider_id = 'p0'",
    )
    await clean(detailed)
    change(detailed, f"UPDATE usage_buckets SET requests = 0 WHERE {YOUNG}")
    assert not (await check_database(detailed)).ok
    await rebuild_totals(detailed)
    await clean(detailed)


ROLLUPS = [
    ("usage_rollups SET requests = requests + 1 WHERE width = 3600000 AND dimension = 'all'", "by all"),
    ("usage_rollups SET total_tokens = 0 WHERE width = 900000 AND dimension = 'caller'", "by caller"),
    ("usage_rollups SET cost_nano = cost_nano + 1 WHERE width = 14400000 AND dimension = 'each'", "by each"),
    ("duration_rollups SET latencies = '[512]' WHERE width = 86400000 AND dimension = 'model'", "by model"),
    ("duration_rollups SET ttfts = '[]' WHERE width = 900000 AND dimension = 'provider'", "by provider"),
    ("attempt_rollups SET tries = tries + 1", "attempts of the day"),
    ("attempt_rollups SET last_error_at = 5 WHERE last_error_at IS NOT NULL", "attempts of the day"),
]


@pytest.mark.parametrize(("wrong", "name"), ROLLUPS)
async def test_a_rollup_that_is_not_its_buckets_is_found_and_made_anew(wrong: str, name: str, rolled_up: Path) -> None:
    """Of any width and dimension; a rebuild forgets it, and the writer adds it up again."""
    rolled = query(rolled_up, "SELECT width, start FROM rolled_up")
    change(rolled_up, f"UPDATE {wrong}")
    report = await check_database(rolled_up)
    assert {one.table for one in report.differences} == {"rollups"}
    assert all(one.name and one.name.endswith(f", {name}") for one in report.differences)
    rebuilt = await rebuild_totals(rolled_up)
    assert rebuilt.forgotten_rollups > 0
    assert rebuilt.mended == ()
    await clean(rolled_up)
    await roll_up(rolled_up)
    assert query(rolled_up, "SELECT width, start FROM rolled_up") == rolled
    await clean(rolled_up)


async def test_a_rollup_in_the_making_is_no_difference(rolled_up: Path) -> None:
    """What somebody is at counts for nothing yet."""
    change(rolled_up, "UPDATE rolled_up SET taken_by = 'x'", "UPDATE usage_rollups SET requests = 0")
    await clean(rolled_up)


async def test_buckets_that_do_not_come_out_right_are_not_committed(detailed: Path) -> None:
    """Where a trigger spoils the new buckets as well, an error says so, and everything is as it was."""
    change(
        detailed,
        "UPDATE ttft_buckets SET requests = 9",
        "CREATE TRIGGER meddle AFTER INSERT ON ttft_buckets BEGIN UPDATE ttft_buckets SET requests = 13; END",
    )
    before = kept_buckets(detailed)
    with pytest.raises(DatabaseError, match=r"ttft_buckets would still be wrong .*triggers"):
        await rebuild_totals(detailed)
    assert kept_buckets(detailed) == before


async def test_the_last_error_is_counted_anew(detailed: Path) -> None:
    """With the text and the status of the try that failed last, be it in a trail or not."""
    texts = "SELECT start, provider_id, model, last_error_status, last_error_at FROM attempt_buckets"
    before = query(detailed, texts)
    change(detailed, "UPDATE attempt_buckets SET tries = 0, last_error_status = 1, last_error = 'x'")
    await rebuild_totals(detailed)
    assert query(detailed, texts) == before


async def test_memory_does_not_grow_with_what_is_wrong(database: Path) -> None:
    """With ten times as many wrong buckets, Python holds about as many of them."""
    peaks = []
    for count in (300, 3_000):
        insert_details(database, count, seed=count, days=1)
        change(database, "UPDATE usage_buckets SET requests = requests + 1")
        tracemalloc.start()
        report = await check_database(database, quick=True)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert report.wrong_numbers >= count / 2
    assert rows_of(database) == 3_300
    assert peaks[1] < 2 * peaks[0]
