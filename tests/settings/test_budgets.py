"""Budgets in the settings, and how a mistake in one is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from chainlog_async.settings import BudgetSettings, Settings
from tests.support.settings_files import refusal, write_yaml


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.upper().startswith("CHAINLOG"):
            monkeypatch.delenv(name)


TEAM = {"name": "team-a", "caller": "team-a", "limit_usd": 50, "per": "day", "zone": "Europe/Berlin"}


def test_budgets_come_from_the_file_an_argument_or_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list of mappings in YAML, of mappings or `BudgetSettings` as an argument, and JSON in the environment."""
    expected = (BudgetSettings(name="team-a", caller="team-a", limit_usd=50, per="day", zone="Europe/Berlin"),)
    line = "{name: team-a, caller: team-a, limit_usd: 50, per: day, zone: Europe/Berlin}"
    path = write_yaml(tmp_path, f"settings:\n  budgets:\n  - {line}\n")
    assert Settings.load(path).budgets == expected
    assert Settings(budgets=[TEAM]).budgets == Settings(budgets=expected).budgets == expected
    monkeypatch.setenv(
        "CHAINLOG_BUDGETS", '[{"name": "team-a", "caller": "team-a", "limit_usd": 50, "zone": "Europe/Berlin"}]'
    )
    assert Settings().budgets == expected


@pytest.mark.parametrize(
    ("budgets", "expected"),
    [
        ([{**TEAM, "limt_usd": 5}], "budgets[0].limt_usd is not a setting; did you mean limit_usd?"),
        (
            [{**TEAM, "zzzzz": 5}],
            "budgets[0].zzzzz is not a setting; it has name, limit_usd, per, zone, caller, provider, model, chain",
        ),
        ([{"name": "a"}], "budgets[0].limit_usd is missing"),
        ([TEAM, {**TEAM, "name": "b", "limit_usd": 0}], "budgets[1].limit_usd is 0, but must be greater than 0"),
        (
            [{**TEAM, "per": "dai"}],
            "budgets[0].per is 'dai', but must be 'hour', 'day', 'week' or 'month'; did you mean 'day'? (default day)",
        ),
        (
            [{**TEAM, "zone": "Europe/Berln"}],
            (
                "budgets[0].zone is 'Europe/Berln', but must be the name of a time zone: time zone 'Europe/Berln' is "
                "unknown; did you mean Europe/Berlin? (default UTC)"
            ),
        ),
        ([TEAM, TEAM], "budgets must each have a name of its own: 'team-a' is there twice (default ())"),
        (
            ["team-a"],
            (
                "budgets[0] is 'team-a', but must be a mapping of name, limit_usd, per, zone, caller, provider, model, "
                "chain (default ())"
            ),
        ),
        (5, 'budgets is 5, but must be a list, such as ["one", "two"] (default ())'),
    ],
)
def test_a_mistake_is_told_with_its_place_and_remedy(budgets: object, expected: str) -> None:
    """Which budget, which of its keys, the value, and what it must be."""
    assert refusal(budgets=budgets) == f"argument {expected}"


def test_a_mistake_in_the_file_names_the_line(tmp_path: Path) -> None:
    """As for every other setting."""
    path = write_yaml(tmp_path, "settings:\n  budgets: [{name: a, limit_usd: -1}]\n")
    message = refusal(path)
    assert message == f"{path}, line 2: settings.budgets[0].limit_usd is -1, but must be greater than 0"
