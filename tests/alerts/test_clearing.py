"""An alert clears only when it is over: one whose rule is met now and then is told once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from chainlog_async.alerts import report_alerts, watcher
from chainlog_async.common.clock import now_ms
from chainlog_async.settings.alert_rule import parse_rule
from tests.alerts.test_watcher import forget_requests, log, settings_of, watching

MINUTE_MS = 60_000


async def test_an_alert_clears_once_its_rule_was_not_met_for_a_whole_window(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each time that it is met begins the window anew, and so does a restart, which does not know the last time."""
    path = tmp_path / "o.db"
    settings = settings_of(path, "", alert_targets=[])
    begin = now_ms()
    await log(path, 500)

    async def lasts(one: watcher.AlertWatcher, minutes: float) -> bool:
        monkeypatch.setattr(watcher, "now_ms", lambda: begin + round(minutes * MINUTE_MS))
        await one.evaluate()
        (episode,) = (await report_alerts(settings)).history
        return episode.cleared_at is None

    async with watching(settings) as one:
        assert await lasts(one, 0)
        await asyncio.to_thread(forget_requests, path)
        assert await lasts(one, 5)
        await log(path, 500)
        assert await lasts(one, 6)
        await asyncio.to_thread(forget_requests, path)
        assert await lasts(one, 15.9)
    async with watching(settings) as one:
        assert await lasts(one, 16)
        assert await lasts(one, 25.9)
        assert not await lasts(one, 26)


@pytest.mark.parametrize(
    ("rule", "hold_ms"),
    [("cost > 1 USD for 1h", 60 * MINUTE_MS), ("nothing logged for 1h", 0), ("budget team > 80 %", 0)],
)
def test_what_cannot_come_and_go_clears_at_once(rule: str, hold_ms: int) -> None:
    """A log that was silent has to be so for the whole duration again, and a budget is spent only once."""
    assert parse_rule(rule).hold_ms == hold_ms
