"""``chainlog budgets``, ``chainlog alerts`` and ``chainlog alerts test``."""

from __future__ import annotations

import sys
import time

from tests.support.cli import Cli, entry
from tests.support.settings_files import SECRET, write_yaml

BUDGETS = """
settings:
  budgets:
    - {name: team-a, caller: a, limit_usd: 50, zone: Europe/Berlin}
    - {name: everybody, limit_usd: 1, per: month}
"""


def spend(cli: Cli) -> None:
    """Logs a little of now."""
    now = time.time_ns() // 1_000_000
    cli.store(entry(timestamp=now, caller="a", cost_usd=1.25), entry(timestamp=now, cost_usd=2.5, http_status=500))


def test_budgets_for_machines_and_for_people(cli: Cli) -> None:
    """What is spent, of how much, and what is left; exit code 1 for one of which nothing is."""
    spend(cli)
    config = write_yaml(cli.folder, BUDGETS)
    report = cli.json("budgets", "--config", config)["budgets"]
    assert isinstance(report, list)
    assert [(one["name"], one["spentUsd"], one["leftUsd"]) for one in report] == [
        ("team-a", 1.25, 48.75),
        ("everybody", 3.75, 0.0),
    ]
    lines = cli.here("budgets", "--config", config).stdout.splitlines()
    assert lines[2].split()[:6] == ["team-a", "$1.25", "$50.00", "day", "$48.75", "2.5%"]
    assert "Europe/Berlin" in lines[2]
    assert lines[3].split()[:6] == ["everybody", "$3.75", "$1.00", "month", "$0.00", "375.0%"]
    assert cli.here("budgets", "team-a", "--config", config).code == 0
    assert cli.here("budgets", "everybody", "--config", config).code == 1
    unknown = cli.here("budgets", "team-b", "--config", config)
    assert unknown.code == 2
    assert "there is no budget 'team-b'; did you mean 'team-a'?" in unknown.stderr


def test_without_any_there_is_a_sentence(cli: Cli) -> None:
    """No budgets, no alerts, no targets: no error."""
    spend(cli)
    assert cli.here("budgets").stdout == "there are no budgets in the settings\n"
    assert cli.here("alerts").stdout == "there are no alerts in the settings\n"
    assert cli.here("alerts", "test").stdout == "there are no alert_targets in the settings\n"
    assert cli.json("alerts") == {"alerts": [], "history": []}


def test_alerts_are_shown_and_their_targets_tested_without_secrets(cli: Cli) -> None:
    """Each rule with its state, and each target with what became of its test."""
    spend(cli)
    config = write_yaml(
        cli.folder,
        f"""
settings:
  alert_targets:
    - {{name: ops, command: ["{sys.executable}", -c, "import sys; sys.stdin.read()", "{SECRET}"]}}
    - {{name: chat, command: ["/nowhere/{SECRET}/chat"]}}
  alerts:
    - {{when: error_rate > 20 % for 10m, name: errors, to: [ops]}}
    - when: nothing logged for 15m
""",
    )
    shown = cli.here("alerts", "--config", config)
    assert [line.split("  ")[-1].strip() for line in shown.stdout.splitlines()[2:]] == ["ok", "ok"]
    assert "errors" in shown.stdout
    tested = cli.here("alerts", "test", "--config", config)
    assert tested.code == 1
    rows = [line.split()[0:2] + line.split()[-1:] for line in tested.stdout.splitlines()[2:]]
    assert rows == [["ops", "command", "ok"], ["chat", "command", "directory"]]
    assert SECRET not in shown.stdout + shown.stderr + tested.stdout + tested.stderr


def test_a_misspelt_rule_is_told_before_anything_is_done(cli: Cli) -> None:
    """With the line of the file."""
    spend(cli)
    config = write_yaml(cli.folder, "settings:\n  alerts: [{when: eror_rate > 20 % for 10m}]\n")
    told = cli.here("alerts", "--config", config)
    assert told.code == 1
    assert "line 2: settings.alerts[0].when is 'eror_rate > 20 % for 10m'" in told.stderr
    assert "did you mean error_rate?" in told.stderr
