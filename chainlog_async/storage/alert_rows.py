"""Rows of alerts, which are the same in every engine, as values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from chainlog_async.common.clock import DAY_MS
from chainlog_async.usage.alerts import AlertDelivery, AlertEpisode, AlertEvent, AlertMessage

MESSAGES_AT_ONCE: Final = 20
"""Most messages that one claim takes."""

KEEP_DROPPED_MS: Final = 40 * DAY_MS
"""How long it is kept when entries were dropped, in ms; longer than any rule looks back."""

Row = Sequence[object]


def episodes_of(rows: Iterable[Row], messages: Iterable[Row] = ()) -> list[AlertEpisode]:
    """Returns the episodes in the same order, each with its deliveries.

    Rows are (id, alert, group, rule, value, fired_at, cleared_at); those of messages are (episode_id, event, target,
    tries, delivered_at, error, is_due).
    """
    deliveries: dict[object, list[AlertDelivery]] = {}
    for episode_id, *fields in messages:
        deliveries.setdefault(episode_id, []).append(_delivery(fields))
    return [_episode(row, deliveries.get(row[0], ())) for row in rows]


def messages_of(claimed: Iterable[Row], episodes: Iterable[Row]) -> list[AlertMessage]:
    """Returns the messages whose episodes are there, in order.

    Rows are (id, event, target, tries, episode_id), and those of episodes as in `episodes_of`.
    """
    known = {row[0]: _episode(row, ()) for row in episodes}
    found = [
        AlertMessage(
            id=int(str(number)),
            event=_event(event),
            target=str(target),
            tries=int(str(tries)),
            episode=known[episode_id],
        )
        for number, event, target, tries, episode_id in claimed
        if episode_id in known
    ]
    return sorted(found, key=lambda message: message.id)


def _episode(row: Row, deliveries: Iterable[AlertDelivery]) -> AlertEpisode:
    number, alert, group, rule, value, fired_at, cleared_at = row
    return AlertEpisode(
        id=int(str(number)),
        alert=str(alert),
        group=str(group),
        when=str(rule),
        value=str(value),
        fired_at=int(str(fired_at)),
        cleared_at=None if cleared_at is None else int(str(cleared_at)),
        deliveries=tuple(deliveries),
    )


def _delivery(fields: Row) -> AlertDelivery:
    event, target, tries, delivered_at, error, is_due = fields
    return AlertDelivery(
        event=_event(event),
        target=str(target),
        tries=int(str(tries)),
        delivered_at=None if delivered_at is None else int(str(delivered_at)),
        error=None if error is None else str(error),
        is_due=bool(is_due),
    )


def _event(event: object) -> AlertEvent:
    return "fired" if event == "fired" else "cleared"
