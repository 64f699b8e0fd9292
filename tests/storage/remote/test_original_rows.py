"""Rows of 429chain, whose numbers are doubles, are read over HTTP as from the file."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path

from chainlog_async import RequestFilter, UsageQuery, Window
from chainlog_async.settings import Settings
from chainlog_async.storage.engines import reads_of
from tests.support.entries import insert_as_original, original_row
from tests.support.schemas import make_original
from tests.support.service import BEGIN_MS, service_settings
from tests.support.serving import server_beside


async def test_fractions_of_the_original_are_no_nonsense(tmp_path: Path) -> None:
    """A latency with a fraction, in the row and in every sum."""
    path = make_original(tmp_path / "log.db", 2)
    row = original_row(model="m", latency_ms=12.5, timestamp=BEGIN_MS, http_status=200.0)
    insert_as_original(path, [row])
    window = Window(start=BEGIN_MS - 1, end=BEGIN_MS + 1_000)
    local = Settings(db_path=path)
    with server_beside(service_settings(tmp_path)) as url:
        async with aclosing(reads_of(local)) as here, aclosing(reads_of(Settings(db_url=url))) as there:
            for reads in (here, there):
                assert await reads.get_newest_id() == 1
            assert await there.get_requests_after(0, limit=1) == await here.get_requests_after(0, limit=1)
            page = await here.find_requests(RequestFilter(), limit=1, cursor=None)
            assert await there.find_requests(RequestFilter(), limit=1, cursor=None) == page
            assert await there.get_all_provider_usage() == await here.get_all_provider_usage()
            assert await there.get_summary_stats() == await here.get_summary_stats()
            assert await there.get_oldest_timestamp() == await here.get_oldest_timestamp()
            assert await there.get_usage(UsageQuery(window=window)) == await here.get_usage(UsageQuery(window=window))
            assert await there.get_metric_totals(9) == await here.get_metric_totals(9)
