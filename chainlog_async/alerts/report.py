"""The state of the alerts in the settings."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from chainlog_async.storage.engines import alert_states_of
from chainlog_async.usage.alerts import AlertReport, AlertStatus

if TYPE_CHECKING:
    from chainlog_async.settings import Settings


async def report_alerts(settings: Settings, *, limit: int = 20) -> AlertReport:
    """The alerts of the settings, the episodes that last, and the newest `limit` episodes.

    Raises `DatabaseError`, and `SettingsError` when the engine of the log keeps no alerts.
    """
    async with aclosing(alert_states_of(settings)) as states:
        # In this order, what the history has as lasting does last.
        history = await states.episodes(limit)
        lasting = await states.open_episodes()
    everybody = tuple(target.name for target in settings.alert_targets)
    return AlertReport(
        alerts=tuple(
            AlertStatus(
                name=alert.title,
                when=alert.when,
                targets=alert.to or everybody,
                firing=tuple(episode for episode in lasting if episode.alert == alert.title),
            )
            for alert in settings.alerts
        ),
        history=tuple(history),
    )
