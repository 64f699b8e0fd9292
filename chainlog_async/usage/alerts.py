"""Alerts as values: episodes, what changes them, and what is sent of it."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

AlertEvent: TypeAlias = Literal["fired", "cleared"]


class AlertDelivery(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One message of an episode to one target."""

    event: AlertEvent
    target: str
    """The name of the target."""
    tries: int
    """How often it was sent, or tried to be."""
    delivered_at: int | None
    """When the target took it, in ms since the epoch, UTC."""
    error: str | None
    """Why the last try failed."""
    is_due: bool
    """Whether it is still to be sent, or sent again."""


class AlertEpisode(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One time that a rule was met, by the whole log or by one group, from the first moment to the last."""

    id: int
    alert: str
    """The name of the alert."""
    group: str
    """The provider, model and so on by which the rule groups; "" if it does not."""
    when: str
    """The rule as it was."""
    value: str
    """What was measured when it fired, for people."""
    fired_at: int
    """In ms since the epoch, UTC."""
    cleared_at: int | None = None
    """When the rule was no longer met; None while it is."""
    deliveries: tuple[AlertDelivery, ...] = ()


class AlertChange(msgspec.Struct, frozen=True, kw_only=True):
    """What an evaluation found: an alert fires or clears."""

    event: AlertEvent
    alert: str
    group: str
    when: str
    value: str
    at: int
    """In ms since the epoch, UTC."""
    targets: tuple[str, ...]
    """The names of those to be told."""


class AlertMessage(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be sent to one target now."""

    id: int
    event: AlertEvent
    target: str
    tries: int
    """How often it was tried, with this time."""
    episode: AlertEpisode


class AlertStatus(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One alert of the settings."""

    name: str
    when: str
    """The rule."""
    targets: tuple[str, ...]
    """The names of those who are told."""
    firing: tuple[AlertEpisode, ...]
    """The episodes that last."""


class AlertReport(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Every alert of the settings, and what happened."""

    alerts: tuple[AlertStatus, ...]
    history: tuple[AlertEpisode, ...]
    """The newest episodes, newest first, also of alerts that are no longer in the settings."""
