"""Growth: the oldest rows go, a little at a time, totals stay, and the space goes back to the file system."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Callable
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from time import monotonic

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chainlog_async.admin.check import check_database
from chainlog_async.admin.prune import PruneLimits, PruneReport, plan_pruning, prune_database
from chainlog_async.admin.rebuild import rebuild_totals
from chainlog_async.common.clock import now_ms
from chainlog_async.errors import DatabaseError, DatabaseMissingError
from chainlog_async.storage.sqlite.maintenance.purge import MAX_PURGE_ROWS
from chainlog_async.storage.sqlite.maintenance.size_estimate import MIN_LOG_SHARE
from tests.support.effort import tries
from tests.support.entries import insert_as_original, original_row
from tests.support.interrupting import How, cancel_at_every_step
from tests.support.operator import (
    HARDEST,
    T0,
    beside,
    change,
    clean,
    content_of,
    die_at_statements,
    files_in,
    fill,
    migrate,
    number_of,
    rows_of,
)
from tests.support.schemas import query, summary_of, totals_of
from tests.support.writing import locked, until

PAGES = "SELECT page_count FROM pragma_page_count"
FREE = "SELECT freelist_count FROM pragma_freelist_count"
DAY_MS = 86_400_000


def models_of(path: Path) -> list[object]:
    """The models of the rows that are left, in the order of storing."""
    return [model for (model,) in query(path, "SELECT model FROM request_logs ORDER BY id")]


# -- by hand -------------------------------------------------------------------------------------------------------


async def test_the_oldest_go_and_the_totals_stay(database: Path) -> None:
    """What is left are the youngest rows; usage says the same as before, and the check knows what went."""
    fill(database, 1_000)
    totals, summary = totals_of(database), summary_of(database)
    report = await prune_database(database, PruneLimits(max_rows=300))
    assert (report.deleted, report.rows) == (700, 300)
    assert models_of(database) == [f"model {number}" for number in range(700, 1_000)]
    assert (totals_of(database), summary_of(database)) == (totals, summary)
    checked = await clean(database)
    assert (checked.rows, checked.pruned_rows) == (300, 700)


async def test_age_is_counted_from_now(database: Path) -> None:
    """Only what is older goes, by the time of the request, not by the order of storing."""
    now = now_ms()
    ages = {"young": 0, "old": 31, "older": 400, "on the edge": 29.99, "of the future": -5}
    insert_as_original(
        database, [original_row(model=name, timestamp=int(now - age * DAY_MS)) for name, age in ages.items()]
    )
    await prune_database(database, PruneLimits(max_age_ms=30 * DAY_MS))
    assert models_of(database) == ["young", "on the edge", "of the future"]


async def test_the_file_gets_as_small_as_was_asked(database: Path) -> None:
    """By size, rows go until the rest fits, and the file itself is that small afterwards."""
    fill(database, 4_000, padding=500)
    report = await prune_database(database, PruneLimits(max_bytes=1_000_000))
    assert 800_000 < report.bytes_after <= 1_000_000
    assert report.bytes_before > 2_000_000
    assert report.bytes_after == number_of(database, PAGES) * 4096
    assert report.free_bytes == 0
    change(database, "PRAGMA wal_checkpoint(TRUNCATE)")
    assert len(content_of(database)) == report.bytes_after
    assert models_of(database)[-1] == "model 3999"


async def test_all_limits_hold_together(database: Path) -> None:
    """The strictest of several decides."""
    fill(database, 100)
    age = now_ms() - (T0 + 40_000)
    assert (await prune_database(database, PruneLimits(max_age_ms=age, max_rows=90, max_bytes=10**9))).deleted in (
        40,
        41,
    )
    assert (await prune_database(database, PruneLimits(max_age_ms=age, max_rows=5, max_bytes=10**9))).rows == 5


async def test_a_dry_run_says_the_same_and_changes_nothing(database: Path) -> None:
    """By age and by rows the plan is what is then deleted, by size about that; until then nothing is written."""
    fill(database, 3_000, padding=500, models=3)
    for limits in (
        PruneLimits(max_age_ms=now_ms() - (T0 + 500_000)),
        PruneLimits(max_bytes=1_000_000),
        PruneLimits(max_rows=700),
    ):
        change(database, "PRAGMA wal_checkpoint(TRUNCATE)")
        before = content_of(database)
        plan = await plan_pruning(database, limits)
        assert plan.dry_run
        assert content_of(database) == before
        assert plan.deleted + plan.rows == rows_of(database)
        done = await prune_database(database, limits)
        assert done.deleted == pytest.approx(plan.deleted, rel=0.2 if limits.max_bytes else 0, abs=1)


async def test_a_plan_tells_from_when_the_rows_are_and_how_much_they_take(database: Path) -> None:
    """By age, by number and by size: the first and the last that go, and a size that is about right."""
    fill(database, 1_000, padding=500)
    now = T0 + 40 * DAY_MS
    for limits, last in ((PruneLimits(max_age_ms=now - T0 - 400_000), 399), (PruneLimits(max_rows=300), 699)):
        for work in (plan_pruning, prune_database):
            path = database.with_name(f"{last} {work.__name__}.db")
            shutil.copy(database, path)
            report = await work(path, limits, now=now)
            assert (report.deleted, report.oldest, report.newest) == (last + 1, T0, T0 + 1_000 * last)
            assert report.deleted_bytes == pytest.approx(700 * (last + 1), rel=0.2)
    none = await plan_pruning(database, PruneLimits(max_rows=1_000), now=now)
    assert (none.deleted, none.oldest, none.newest, none.deleted_bytes) == (0, None, None, 0)


async def test_a_plan_knows_rows_of_a_clock_that_was_ahead(database: Path) -> None:
    """What is planned is what goes, also where rows are from the future."""
    times = [T0 + number + (400 * DAY_MS if number % 3 == 0 else 0) for number in range(90)]
    insert_as_original(database, [original_row(model=str(at), timestamp=time) for at, time in enumerate(times)])
    now = T0 + DAY_MS
    plan = await plan_pruning(database, PruneLimits(max_rows=30), now=now)
    assert (plan.deleted, plan.oldest, plan.newest) == (60, T0 + 1, T0 + 57 + 400 * DAY_MS)
    assert (await prune_database(database, PruneLimits(max_rows=30), now=now)).deleted == 60
    assert models_of(database) == [str(number) for number in range(60, 90)]
    await clean(database)


async def test_a_dry_run_is_honest_where_most_is_not_the_log(database: Path) -> None:
    """Beside many buckets, which stay, it knows how many rows make up the bytes that have to go, and what is left."""
    fill(database, 6_000)
    used = number_of(database, PAGES) * 4096
    limits = PruneLimits(max_bytes=used - 400_000)
    plan = await plan_pruning(database, limits)
    done = await prune_database(database, limits)
    assert done.deleted == pytest.approx(plan.deleted, rel=0.2)
    assert (plan.too_large, done.too_large) == (None, None)
    limits = PruneLimits(max_bytes=used // 2)
    plan = await plan_pruning(database, limits)
    done = await prune_database(database, limits)
    assert done.deleted == pytest.approx(plan.deleted, rel=0.2)
    assert done.rows * 60 < limits.max_bytes / MIN_LOG_SHARE < done.rows * 120
    for report in (plan, done):
        assert report.too_large is not None
        assert "fewer distinct callers and models" in report.too_large
    assert (await prune_database(database, limits)).deleted == 0


async def test_it_goes_in_slices(database: Path) -> None:
    """No deletion takes more rows than a slice may have, and each is told."""
    fill(database, 12_000)
    told: list[int] = []

    def tell(what: str, done: int, total: int | None) -> None:
        if what == "deleting rows":
            told.append(done)
            assert total == 11_000

    await prune_database(database, PruneLimits(max_rows=1_000), on_progress=tell)
    sizes = [after - before for before, after in zip([0, *told], told, strict=False)]
    assert sum(sizes) == 11_000
    assert sizes[0] == 500
    assert max(sizes) <= MAX_PURGE_ROWS
    assert len(sizes) > 2
    assert all(after <= 2 * before + 1 for before, after in pairwise(sizes))


async def test_others_get_to_write_in_between(tmp_path: Path) -> None:
    """While many rows go, another process that writes rows of its own never waits for long, and loses none."""
    path = await migrate(tmp_path / "o.db")
    fill(path, 20_000, padding=200)
    waits: list[float] = []
    done = threading.Event()

    def write() -> None:
        with closing(sqlite3.connect(path, timeout=20, isolation_level=None)) as connection:
            while not done.is_set():
                began = monotonic()
                connection.execute("INSERT INTO rejected_entries (rejected_at, error, entry) VALUES (1, 'x', '1')")
                waits.append(monotonic() - began)
                done.wait(0.005)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.to_thread.run_sync, write)
        await until(lambda: len(waits) > 3)
        writes_before = len(waits)
        await prune_database(path, PruneLimits(max_rows=100))
        writes = len(waits) - writes_before
        done.set()
    assert writes > 10
    assert max(waits) < 2
    assert number_of(path, "SELECT COUNT(*) FROM rejected_entries") == len(waits)


async def test_a_file_of_the_original_keeps_its_pages_for_new_rows(copy_of_original: Callable[[int], Path]) -> None:
    """Without auto_vacuum the file stays as large as it is, and the report says so."""
    path = await migrate(copy_of_original(2))
    fill(path, 1_000, padding=500)
    report = await prune_database(path, PruneLimits(max_rows=10))
    assert not report.can_shrink
    assert report.bytes_after == report.bytes_before
    assert report.free_bytes > report.bytes_after / 2
    await clean(path)


async def test_a_limit_that_no_deletion_can_meet_ends(database: Path) -> None:
    """When even an empty log is larger than what was asked, everything goes and it ends."""
    fill(database, 700)
    report = await prune_database(database, PruneLimits(max_bytes=1))
    assert (report.deleted, report.rows) == (700, 0)
    assert (await prune_database(database, PruneLimits(max_bytes=1, max_rows=1, max_age_ms=1))).deleted == 0


async def test_a_lock_of_another_process_is_named(database: Path) -> None:
    """It gives up after the busy timeout and says why; nothing was deleted."""
    fill(database, 10)
    async with locked(database):
        with pytest.raises(DatabaseError, match=r"is locked by another process: .*\(SQLITE_BUSY\)"):
            await prune_database(database, PruneLimits(max_rows=1), busy_timeout_ms=50)
    assert rows_of(database) == 10


async def test_nothing_is_made_where_nothing_is(tmp_path: Path) -> None:
    """A wrong path is an error, not a new database."""
    for work in (prune_database, plan_pruning):
        with pytest.raises(DatabaseMissingError):
            await work(tmp_path / "o.db", PruneLimits(max_rows=1))
    assert not files_in(tmp_path)
    assert not beside(tmp_path / "o.db")


@pytest.mark.parametrize("how", HARDEST)
async def test_cancelled_anywhere_the_totals_are_right(how: How, database: Path) -> None:
    """Wherever it is cancelled, what went is counted as pruned, and others can write at once."""

    async def work(_: int) -> PruneReport:
        fill(database, 20)
        return await prune_database(database, PruneLimits(max_rows=3))

    async for outcome in cancel_at_every_step(work, how):
        change(database, "BEGIN IMMEDIATE", "COMMIT")
        if outcome.value is not None:
            assert rows_of(database) == 3
    await clean(database)


async def test_killed_anywhere_the_totals_are_right(tmp_path: Path) -> None:
    """After a kill at whichever statement, even in the middle of a deletion, everything adds up."""
    template = await migrate(tmp_path / "template.db")
    fill(template, 1_300)
    totals = totals_of(template)
    change(template, "PRAGMA wal_checkpoint(TRUNCATE)")
    paths = await asyncio.to_thread(die_at_statements, "prune", template, tmp_path / "dead", deaths=12)
    for path in paths:
        await clean(path)
        assert totals_of(path) == totals
    assert {rows_of(path) for path in paths} > {1_300}, "no kill landed between two deletions"


# -- by whichever way ----------------------------------------------------------------------------------------------

rows = st.builds(
    original_row,
    timestamp=st.integers(T0, T0 + 50),
    provider_id=st.sampled_from(["groq", "openai", "ß"]),
    chain_name=st.sampled_from(["default", "a longer name"]),
    prompt_tokens=st.integers(0, 10**12),
    completion_tokens=st.integers(0, 10),
    latency_ms=st.floats(0, 10**6, allow_nan=False),
    attempts=st.integers(1, 3),
)
limits = st.builds(
    PruneLimits,
    max_age_ms=st.just(0) | st.integers(-50, 0).map(lambda age: now_ms() - T0 + age),
    max_rows=st.integers(0, 12),
    max_bytes=st.sampled_from([0, 0, 0, 1, 10**9]),
)
actions = st.lists(st.lists(rows, min_size=1, max_size=15) | limits | st.just("rebuild"), max_size=8)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database to copy."""
    path: Path = anyio.run(migrate, tmp_path_factory.mktemp("template") / "template.db")
    change(path, "PRAGMA wal_checkpoint(TRUNCATE)")
    return path


@settings(max_examples=tries(12), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions)
def test_whatever_comes_and_goes_adds_up(template: Path, actions: list[object]) -> None:
    """After any insertions, prunings and rebuildings the check finds nothing, and totals are of every row ever."""
    with tempfile.TemporaryDirectory() as folder:
        path, everything = Path(folder) / "o.db", Path(folder) / "everything.db"
        shutil.copyfile(template, path)
        shutil.copyfile(template, everything)
        for action in actions:
            if isinstance(action, list):
                insert_as_original(path, action)
                insert_as_original(everything, action)
            elif isinstance(action, PruneLimits):
                report = anyio.run(prune_database, path, action)
                assert report.rows == rows_of(path)
                assert not action.max_rows or report.rows <= action.max_rows
            else:
                mended = anyio.run(rebuild_totals, path).mended
                assert mended == ()
        assert anyio.run(check_database, path).ok
        assert [table[:6] for table in totals_of(path).items()] == [
            table[:6] for table in totals_of(everything).items()
        ]
        ((count, waterfalls, latency),) = summary_of(path)
        assert summary_of(everything) == [(count, waterfalls, pytest.approx(latency))]
