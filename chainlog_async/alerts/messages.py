"""What is sent to targets: a sentence, and the JSON of a webhook."""

from __future__ import annotations

import re

import msgspec

from chainlog_async.settings.alert_rule import AlertRule
from chainlog_async.usage.alerts import AlertEpisode, AlertEvent, AlertMessage


class WebhookBody(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a webhook is posted, and a command reads."""

    id: str
    """The same whenever this message is sent again, such as ``17-fired``."""
    event: AlertEvent
    alert: str
    """The name of the alert."""
    group: str
    """The provider, model and so on that it is about; "" if the rule does not group."""
    when: str
    """The rule."""
    value: str
    """What was measured when it fired."""
    fired_at: int
    """In ms since the epoch, UTC."""
    cleared_at: int | None
    text: str
    """All of this as a sentence."""


def value_text(rule: AlertRule, value: float) -> str:
    """What was measured, with its unit."""
    match rule.unit:
        case "%":
            return f"{value:.1%}"
        case "USD":
            return f"${value:,.2f}"
        case "ms":
            return duration_text(value)
        case "":
            return f"{value:,.0f}"


def duration_text(ms: float) -> str:
    """A duration in ms as ``850 ms``, ``19.2 s`` or ``75 min``."""
    if ms < 10_000:
        return f"{ms:,.0f} ms"
    return f"{ms / 1_000:,.1f} s" if ms < 600_000 else f"{ms / 60_000:,.0f} min"


def body_of(message: AlertMessage) -> WebhookBody:
    """The message as a webhook gets it."""
    episode = message.episode
    return WebhookBody(
        id=f"{episode.id}-{message.event}",
        event=message.event,
        alert=episode.alert,
        group=episode.group,
        when=episode.when,
        value=episode.value,
        fired_at=episode.fired_at,
        cleared_at=episode.cleared_at if message.event == "cleared" else None,
        text=sentence(message.event, episode),
    )


def sentence(event: AlertEvent, episode: AlertEpisode) -> str:
    """The message for people."""
    about = f"{episode.alert} ({episode.group})" if episode.group else episode.alert
    rule = "" if episode.when == episode.alert else f"; the rule is: {episode.when}"
    if event == "fired":
        return f"Alert: {about} at {episode.value}{rule}"
    return f"Over: {about}, which was at {episode.value}{rule}"


def slack_text(text: str) -> str:
    """The text with what Slack would take for markup escaped: docs.slack.dev, "Escaping text"."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"[\r\n]+", " ", escaped)
