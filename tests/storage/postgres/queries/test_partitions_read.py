"""What a question costs does not grow with the number of partitions, and so of days that are kept."""

from __future__ import annotations

import re
from contextlib import aclosing
from pathlib import Path

import pytest

from chainlog_async import UsageQuery, Window
from chainlog_async.common.clock import DAY_MS
from chainlog_async.storage.base import ReadStorage
from chainlog_async.storage.engines import reads_of
from chainlog_async.storage.postgres.reader_pool import Parameters, Row, Snapshot, _numbered
from tests.storage.random_log import END, START
from tests.support.entries import entry
from tests.support.postgres import run
from tests.support.two_engines import fold, store_in_postgres
from tests.support.writing import settings_for

DAYS = 20
WINDOW = Window(start=START, end=END, step="1d")


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The days whose partitions are in the plan of any query, as in 20260328."""
    days: set[str] = set()
    fetch = Snapshot.fetch

    async def explained(snapshot: Snapshot, sql: str, parameters: Parameters | None = None) -> list[Row]:
        text, names = _numbered(sql)
        given = parameters or {}
        plan = await snapshot._connection.fetch(f"EXPLAIN {text}", *(given[name] for name in names))
        days.update(re.findall(r"\brequest_logs_(\d+)", "\n".join(line for (line,) in plan)))
        return await fetch(snapshot, sql, parameters)

    monkeypatch.setattr(Snapshot, "fetch", explained)
    return days


async def ask(reads: ReadStorage) -> None:
    """Every question that adds up rows."""
    query = UsageQuery(window=WINDOW, by="model")
    await reads.get_all_provider_usage()
    await reads.get_all_chain_usage()
    await reads.get_summary_stats()
    await reads.get_names()
    await reads.get_usage(query)
    await reads.get_latency(query)
    await reads.get_provider_health(WINDOW)
    await reads.get_metric_totals(10)


async def test_only_days_with_rows_that_are_not_in_the_totals_are_planned(
    postgres_url: str, tmp_path: Path, planned: set[str]
) -> None:
    """One of twenty partitions, and none once everything is folded."""
    await run(postgres_url, f"SELECT chainlog.make_partitions({START - DAYS * DAY_MS}, {START + DAYS * DAY_MS})")
    settings = settings_for(tmp_path / "o.db", db_url=postgres_url)
    await store_in_postgres(settings, [entry(timestamp=START + number) for number in range(10)])
    async with aclosing(reads_of(settings)) as reads:
        await ask(reads)
        assert planned == {"20260328"}
        planned.clear()
        await fold(postgres_url)
        await ask(reads)
        assert planned == set()


async def test_who_follows_a_quiet_log_looks_into_no_partition(
    postgres_url: str, tmp_path: Path, planned: set[str]
) -> None:
    """Rows are asked for when there are new ones."""
    await run(postgres_url, f"SELECT chainlog.make_partitions({START}, {START + DAYS * DAY_MS})")
    settings = settings_for(tmp_path / "o.db", db_url=postgres_url)
    await store_in_postgres(settings, [entry(timestamp=START + number) for number in range(10)])
    async with aclosing(reads_of(settings)) as reads:
        newest = await reads.get_newest_id()
        assert await reads.get_requests_after(newest, limit=10) == []
        assert (newest, planned) == (10, set())
        assert [row.id for row in await reads.get_requests_after(newest - 2, limit=10)] == [9, 10]
        assert planned
