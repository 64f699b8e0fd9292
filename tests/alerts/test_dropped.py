"""Entries that are dropped, as a rule of alerts."""

from __future__ import annotations

from pathlib import Path

from chainlog_async import ChainLog
from chainlog_async.alerts import AlertWatcher, report_alerts
from tests.alerts.test_watcher import settings_of, watching
from tests.support.entries import entry
from tests.support.writing import query, settings_for, until


async def test_dropped_entries_of_every_process_count(tmp_path: Path) -> None:
    """Each notes its own, and whoever evaluates sees them together."""
    path = tmp_path / "o.db"
    settings = settings_of(path, "", {"when": "dropped > 1 for 5m"}, alert_targets=[])
    async with ChainLog(settings_for(path)) as one, ChainLog(settings_for(path)) as other:
        watchers = [AlertWatcher(settings, chainlog.usage, chainlog.statistics) for chainlog in (one, other)]
        for chainlog in (one, other):
            assert not chainlog.log_request(entry(latency_ms=float("nan")))
        for each in (*watchers, *watchers):
            await each.evaluate()
        for each in watchers:
            await each.aclose()
    ((episode),) = (await report_alerts(settings)).history
    assert episode.value == "2"


async def test_what_is_dropped_after_the_last_look_counts(tmp_path: Path) -> None:
    """A process notes it as it ends, for whoever evaluates next."""
    path = tmp_path / "o.db"
    settings = settings_of(path, "", {"when": "dropped > 1 for 5m"}, alert_targets=[], alert_interval_ms=60_000)
    async with ChainLog(settings) as chainlog:
        await until(lambda: query(path, "SELECT owner FROM alert_leases") != [])
        for _ in range(2):
            assert not chainlog.log_request(entry(latency_ms=float("nan")))
    async with watching(settings) as later:
        await later.evaluate()
    assert [episode.value for episode in (await report_alerts(settings)).history] == ["2"]
