"""A log is copied to PostgreSQL once and whole, however often that is stopped, and is proved to be equal."""

from __future__ import annotations

import random
from contextlib import aclosing
from pathlib import Path

import pytest

from chainlog_async.admin.copy import CopyReport, copy_log
from chainlog_async.admin.copying import rows
from chainlog_async.admin.engines import tasks_of
from chainlog_async.admin.prune import PruneLimits, prune_database
from chainlog_async.common.progress import no_progress
from chainlog_async.errors import DatabaseError
from chainlog_async.storage.base import ReadStorage
from chainlog_async.storage.engines import open_storage, reads_of
from tests.storage.questions import compare_all, random_tag_query, random_usage_query, same
from tests.storage.random_log import batch_of, random_entries
from tests.support.operator import change
from tests.support.postgres import query
from tests.support.writing import settings_for

COUNT = 300


@pytest.fixture
async def source(tmp_path: Path) -> Path:
    """A file with some requests and a rejected one."""
    path = tmp_path / "observability.db"
    async with aclosing(await open_storage(settings_for(path))) as storage:
        await storage.start()
        batch = batch_of("w", 0, random_entries(COUNT, seed=11))
        await storage.commit(batch)
        await storage.reject(batch_of("w", batch.end, random_entries(1, seed=12)), ValueError("refused"))
    return path


async def test_a_copy_answers_as_the_file(source: Path, postgres_url: str) -> None:
    """Every question has the same answer, and what is not copied is said."""
    report = await copy_log(source, postgres_url)
    assert (report.requests, report.copied, report.differences) == (COUNT, COUNT, ())
    assert (report.completed, report.rejected) == (0, 1)
    async with aclosing(_copied(source, postgres_url)) as copy, aclosing(reads_of(settings_for(source))) as file:
        await compare_all(copy, file, random.Random(4), questions=5)


async def test_what_was_pruned_stays_in_totals_and_usage(source: Path, postgres_url: str) -> None:
    """Of pruned requests there are no rows, but all sums, percentiles and attempts."""
    await prune_database(source, PruneLimits(max_rows=100))
    report = await copy_log(source, postgres_url)
    assert (report.requests, report.copied, report.differences) == (100, 100, ())
    assert report.completed > 0
    rng = random.Random(5)
    async with aclosing(_copied(source, postgres_url)) as copy, aclosing(reads_of(settings_for(source))) as file:
        assert (await copy.get_summary_stats()).total_requests == COUNT
        assert same(await _sorted_metrics(copy), await _sorted_metrics(file))
        for _ in range(5):
            asked = random_usage_query(rng)
            assert same(await copy.get_usage(asked), await file.get_usage(asked))
            of_tags = random_tag_query(rng)
            assert same(await copy.get_usage(of_tags), await file.get_usage(of_tags))
            assert same(await copy.get_latency(asked), await file.get_latency(asked))
            assert same(await copy.get_provider_health(asked.window), await file.get_provider_health(asked.window))
    assert await query(postgres_url, "SELECT total_requests FROM chainlog.pruned_summary") == [(COUNT - 100,)]
    assert await _again(source, postgres_url) == (0, 0, ())


async def test_a_copy_passes_the_check(source: Path, postgres_url: str) -> None:
    """Also where rows were pruned, some of them before there were buckets."""
    await prune_database(source, PruneLimits(max_rows=100))
    change(
        source,
        "INSERT INTO pruned_before_buckets VALUES ('p1', 5, 50, 40, 10)",
        *(
            f"UPDATE {table} SET total_requests = total_requests + 5, total_tokens = total_tokens + 50, "
            "total_prompt_tokens = total_prompt_tokens + 40, total_completion_tokens = total_completion_tokens + 10 "
            f"WHERE {where}"
            for table, where in (
                ("usage_by_provider", "provider_id = 'p1'"),
                ("pruned_by_provider", "provider_id = 'p1'"),
                ("usage_by_chain", "chain_name = 'c0'"),
                ("pruned_by_chain", "chain_name = 'c0'"),
            )
        ),
        "UPDATE usage_summary SET total_requests = total_requests + 5",
        "UPDATE pruned_summary SET total_requests = total_requests + 5",
    )
    await copy_log(source, postgres_url)
    for log in (settings_for(source), settings_for(source, db_url=postgres_url)):
        report = await tasks_of(log).check(quick=False, on_progress=no_progress)
        assert report.differences == ()
        assert (report.rows, report.pruned_rows) == (100, COUNT - 95)


async def test_a_stopped_copy_goes_on(source: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it was stopped: no request comes twice, and none is missing."""
    monkeypatch.setattr(rows, "BATCH_ROWS", 50)
    for place in ("copying rows", "adding up totals", "comparing usage", "comparing rows"):

        def stop(what: str, done: int, _: int | None, place: str = place) -> None:
            if what == place and done >= (100 if "rows" in what else 0):
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            await copy_log(source, postgres_url, on_progress=stop)
    assert await _again(source, postgres_url) == (0, 0, ())


async def test_another_log_is_not_mixed_with_it(source: Path, postgres_url: str, tmp_path: Path) -> None:
    """A database with requests of a gateway or of another file is left as it is."""
    other = settings_for(tmp_path / "other.db", db_url=postgres_url)
    async with aclosing(await open_storage(other)) as storage:
        await storage.start()
        assert await storage.position("w") == 0
        await storage.commit(batch_of("w", 0, random_entries(1, seed=13)))
    with pytest.raises(DatabaseError, match="has requests that are not of this file; copy to an empty database"):
        await copy_log(source, postgres_url)
    assert await query(postgres_url, "SELECT count(*) FROM chainlog.request_logs") == [(1,)]


async def test_what_is_not_equal_is_found(source: Path, postgres_url: str) -> None:
    """One changed value in one row is named."""
    await copy_log(source, postgres_url)
    await query(postgres_url, "UPDATE chainlog.request_logs SET latency_ms = latency_ms + 1 WHERE id = 17")
    report = await copy_log(source, postgres_url)
    assert report.differences == ("request 17 is not what it is in the copy, where its id is 17",)


async def _again(source: Path, url: str) -> tuple[int, int, tuple[str, ...]]:
    report: CopyReport = await copy_log(source, url)
    return report.copied, report.completed, report.differences


def _copied(source: Path, url: str) -> ReadStorage:
    return reads_of(settings_for(source, db_url=url))


async def _sorted_metrics(reads: ReadStorage) -> list[object]:
    totals = await reads.get_metric_totals(1_000)
    usage = sorted(totals.usage, key=lambda one: (one.chain, one.provider, one.model))
    return [*usage, *sorted(totals.attempts, key=lambda one: (one.provider, one.model))]
