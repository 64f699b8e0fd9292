"""Alerts: rules, and whom to tell when one is met."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from chainlog_async.common.spelling import did_you_mean

from .alert_rule import AlertRule, parse_rule
from .budgets import BudgetSettings, Name

TargetKind = Literal["webhook", "slack", "command"]


def _rule(text: str) -> str:
    parse_rule(text)
    return text


def _url(url: SecretStr) -> SecretStr:
    """Refuses what no request can be sent to, without showing it: the address of a webhook often is its password."""
    text = url.get_secret_value()
    try:
        parts = urlsplit(text)
        is_sound = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_sound = False
    if not is_sound or not all("!" <= character <= "~" for character in text):
        raise ValueError("must be an address such as https://HOST/PATH")
    return url


def _headers(headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
    texts = [*headers, *(value.get_secret_value() for value in headers.values())]
    if not all(headers) or not all(" " <= character <= "~" for text in texts for character in text):
        raise ValueError("must be names and values of visible ASCII characters and spaces")
    return headers


Url = Annotated[SecretStr, AfterValidator(_url)]
Headers = Annotated[dict[str, SecretStr], AfterValidator(_headers)]
Rule = Annotated[str, AfterValidator(_rule)]


class AlertTarget(BaseModel):
    """Whom to tell of an alert: exactly one of `webhook`, `slack` and `command`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    name: Name
    """What alerts name it by in `to`."""
    webhook: Url | None = None
    """A URL that JSON is posted to."""
    slack: Url | None = None
    """The URL of an incoming webhook of Slack, or of a program that takes the same, such as Mattermost."""
    command: Annotated[tuple[SecretStr, ...], Field(strict=False, min_length=1)] | None = None
    """A program and its arguments, which is run without a shell and reads the JSON from its standard input."""
    headers: Headers = {}
    """Headers for a webhook, such as Authorization."""

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if sum(one is not None for one in (self.webhook, self.slack, self.command)) != 1:
            raise ValueError("must have exactly one of webhook, slack and command")
        if self.headers and self.command is not None:
            raise ValueError("must not have headers with a command")
        return self

    @property
    def kind(self) -> TargetKind:
        """Which of the three it is."""
        return "webhook" if self.webhook is not None else "slack" if self.slack is not None else "command"


class AlertSettings(BaseModel):
    """One rule, and whom to tell when it is met and when it no longer is."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    when: Rule
    """The rule, such as ``error_rate by provider > 20 % for 10m``; see `alert_rule`."""
    name: Name | None = None
    """What it is called in messages; by default the rule itself."""
    to: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Names of targets; by default all of them."""
    min_requests: Annotated[int, Field(ge=1, le=1_000_000_000)] = 10
    """Rates and percentiles of fewer requests (attempts, for refusals) say nothing."""

    @property
    def title(self) -> str:
        """Its name, or the rule."""
        return self.name or self.when

    @property
    def rule(self) -> AlertRule:
        """The rule as it is evaluated."""
        return parse_rule(self.when)


def _targets_with_names(targets: tuple[AlertTarget, ...]) -> tuple[AlertTarget, ...]:
    _refuse_twice(target.name for target in targets)
    return targets


AlertTargets = Annotated[tuple[AlertTarget, ...], AfterValidator(_targets_with_names)]


def check_alerts(
    alerts: Iterable[AlertSettings], targets: Iterable[AlertTarget], budgets: Iterable[BudgetSettings]
) -> None:
    """Raises `ValueError` for two alerts of one name, and for a target or a budget that there is not."""
    alerts, target_names = tuple(alerts), [target.name for target in targets]
    budget_names = [budget.name for budget in budgets]
    _refuse_twice(alert.title for alert in alerts)
    for number, alert in enumerate(alerts):
        for name in alert.to:
            _refuse_unknown(f"[{number}].to", "target", name, target_names, "alert_targets")
        if (budget := alert.rule.budget) is not None:
            _refuse_unknown(f"[{number}].when", "budget", budget, budget_names, "budgets")


def _refuse_twice(names: Iterable[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(f"must each have a name of its own: {twice[0]!r} is there twice")


def _refuse_unknown(place: str, kind: str, name: str, known: list[str], setting: str) -> None:
    if name not in known:
        near = did_you_mean(name, known)
        remedy = f"did you mean {near!r}?" if near else f"{setting} has {', '.join(known) or 'none'}"
        raise ValueError(f"must name {kind}s that there are: {name!r} in {place} is none; {remedy}")
