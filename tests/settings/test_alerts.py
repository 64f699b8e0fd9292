"""Alerts and their targets in the settings: what is refused, and that secrets of targets are never shown."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from chainlog_async.settings import AlertSettings, Settings, alert_rule
from tests.support.settings_files import SECRET, refusal, write_yaml


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.upper().startswith("CHAINLOG"):
            monkeypatch.delenv(name)


OPS = {"name": "ops", "webhook": "https://hooks.example.org/x"}
TEAM = {"name": "team-a", "limit_usd": 5}


def test_the_file_has_rules_and_targets(tmp_path: Path) -> None:
    """A rule is called what it says unless it has a name, and is told to every target unless it names some."""
    path = write_yaml(
        tmp_path,
        """
settings:
  budgets: [{name: team-a, limit_usd: 5}]
  alert_targets:
    - {name: ops, webhook: "https://hooks.example.org/x", headers: {Authorization: Bearer abc}}
    - {name: page, command: [./page, --now]}
  alerts:
    - when: error_rate by provider > 20 % for 10m
    - {when: "budget team-a > 80 %", name: money, to: [page], min_requests: 1}
""",
    )
    settings = Settings.load(path)
    assert [(alert.title, alert.to, alert.min_requests) for alert in settings.alerts] == [
        ("error_rate by provider > 20 % for 10m", (), 10),
        ("money", ("page",), 1),
    ]
    assert [(target.name, target.kind) for target in settings.alert_targets] == [
        ("ops", "webhook"),
        ("page", "command"),
    ]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (
            {"alerts": [{"when": "eror_rate > 20 % for 10m"}]},
            (
                "argument alerts[0].when is 'eror_rate > 20 % for 10m', but must have a metric, and 'eror_rate' is "
                "none; did you mean error_rate?"
            ),
        ),
        (
            {"alerts": [{"wen": "x"}]},
            "argument alerts[0].when is missing\nargument alerts[0].wen is not a setting; did",
        ),
        (
            {"alert_targets": [OPS], "alerts": [{"when": "dropped > 0 for 5m", "to": ["opps"]}]},
            "argument alerts must name targets that there are: 'opps' in [0].to is none; did you mean 'ops'?",
        ),
        (
            {"alerts": [{"when": "dropped > 0 for 5m", "to": ["ops"]}]},
            "argument alerts must name targets that there are: 'ops' in [0].to is none; alert_targets has none",
        ),
        (
            {"budgets": [TEAM], "alerts": [{"when": "budget team-b > 80 %"}]},
            "argument alerts must name budgets that there are: 'team-b' in [0].when is none; did you mean 'team-a'?",
        ),
        (
            {"alerts": [{"when": "dropped > 0 for 5m"}] * 2},
            "argument alerts must each have a name of its own: 'dropped > 0 for 5m' is there twice",
        ),
        (
            {"alert_targets": [OPS, OPS]},
            "argument alert_targets (its value is not shown) must each have a name of its own: 'ops' is there twice",
        ),
        (
            {"alert_targets": [{**OPS, "slack": "https://a/b"}]},
            "argument alert_targets[0] (its value is not shown) must have exactly one of webhook, slack and command",
        ),
        ({"alert_targets": [{"name": "ops"}]}, "argument alert_targets[0] (its value is not shown) must have exactly"),
        (
            {"alert_targets": [{"name": "ops", "webhok": "https://a/b"}]},
            "argument alert_targets[0].webhok is not a setting; did you mean webhook?",
        ),
    ],
)
def test_a_mistake_is_told_with_its_place_and_remedy(values: dict[str, object], expected: str) -> None:
    """Which alert or target, what is wrong with it, and what may be meant."""
    assert refusal(**values).startswith(expected)


@pytest.mark.parametrize(
    "targets",
    [
        SECRET,
        [SECRET],
        [{"name": "a", "webhook": SECRET}],
        [{"name": "a", "webhook": f"ftp://{SECRET}/"}],
        [{"name": "a", "webhook": f"http://[{SECRET}"}],
        [{"name": "a", "slack": f"https://a/ {SECRET}"}],
        [{"name": "a", "slack": ["https://a", SECRET]}],
        [{"name": "a", "webhook": "https://a", "headers": {"A": f"{SECRET}\n"}}],
        [{"name": "a", "webhook": "https://a", "headers": SECRET}],
        [{"name": "a", "command": SECRET}],
        [{"name": "a", "command": [SECRET, 5]}],
        [{"name": "a", "command": [SECRET], "slack": "https://a"}],
        [{"name": "a", "command": [SECRET], "headers": {"A": SECRET}}],
    ],
)
def test_what_is_wrong_with_a_target_is_told_without_its_secrets(targets: object) -> None:
    """Neither the address, nor a header, nor an argument of the command."""
    message = refusal(alert_targets=targets)
    assert message.startswith("argument alert_targets")
    assert SECRET not in message


def test_settings_do_not_show_the_secrets_of_targets() -> None:
    """Whoever prints them sees stars."""
    targets = [
        {"name": "a", "webhook": f"https://a/{SECRET}", "headers": {"Authorization": SECRET}},
        {"name": "b", "slack": f"https://a/{SECRET}"},
        {"name": "c", "command": ["page", SECRET]},
    ]
    settings = Settings(alert_targets=targets)
    assert SECRET not in f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"


def test_a_rule_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Alerts are looked at every few seconds for as long as a gateway runs."""
    alert = AlertSettings(when="latency_p95 by model > 8765 ms for 10m")
    read = alert.rule
    monkeypatch.setattr(alert_rule, "_Parser", None)
    assert alert.rule is read
