"""The alert rules, the dashboard and the page about them: every metric that they name is one that a scrape has."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.support.service import entry, running, service_settings, settled

DOCS = Path(__file__).resolve().parents[2] / "docs"
RULES = yaml.safe_load((DOCS / "prometheus-alerts.yml").read_text("utf-8"))
DASHBOARD = json.loads((DOCS / "grafana-dashboard.json").read_text("utf-8"))
PAGE = (DOCS / "how-to" / "operations.md").read_text("utf-8")
ALERTS = [rule for group in RULES["groups"] for rule in group["rules"]]

Samples = dict[str, set[str]]


@pytest.fixture
async def samples(tmp_path: Path) -> Samples:
    """The names of a scrape's samples, each with its labels."""
    async with running(service_settings(tmp_path)) as client:
        await client.post("/v1/logs", json=entry())
        await settled(client)
        text = (await client.get("/metrics")).text
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def expressions() -> Iterator[str]:
    """Everything in PromQL that the repository ships."""
    yield from (rule["expr"] for rule in ALERTS)
    for panel in DASHBOARD["panels"]:
        yield from (target["expr"] for target in panel.get("targets", []))
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["query"]["query"]


def test_expressions_are_there_and_in_balance() -> None:
    """Every alert and every panel asks something, with its brackets closed."""
    found = list(expressions())
    assert len(found) > 40
    assert all(panel.get("targets") for panel in DASHBOARD["panels"] if panel["type"] != "row")
    for expression in found:
        assert expression.strip()
        assert all(expression.count(opened) == expression.count(closed) for opened, closed in ("()", "[]", "{}"))


def test_every_expression_names_metrics_and_labels_of_a_scrape(samples: Samples) -> None:
    """A metric or a label that was renamed is noticed in the rules and the dashboard."""
    for expression in expressions():
        names = re.findall(r"chainlog_\w+", expression)
        assert names, expression
        assert [name for name in names if name not in samples] == [], expression
        for name, matchers in re.findall(r"(chainlog_\w+)\{(.*?)\}", expression):
            labels = set(re.findall(r"(\w+)\s*[=!]", re.sub(r'".*?"', "", matchers)))
            assert labels <= samples[name] | {"instance"}, expression
        grouped = set(re.findall(r"\w+", " ".join(re.findall(r"by \((.*?)\)", expression))))
        assert grouped <= samples[names[0]] | {"instance"}, expression


def test_histograms_are_asked_by_their_bounds() -> None:
    """A quantile is taken of a rate of buckets that are kept apart by `le`."""
    for expression in expressions():
        if "histogram_quantile" in expression:
            assert re.search(r"rate\(chainlog_\w+_bucket", expression)
            assert "sum by" not in expression or re.search(r"sum by \([^)]*\ble\b[^)]*\)", expression)


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: str(rule["alert"]))
def test_alerts_are_complete(rule: dict[str, object]) -> None:
    """Each has a severity, says what is wrong and what to do, and is on the page; those that wait say so."""
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"] in ({"severity": "critical"}, {"severity": "warning"})
    assert isinstance(rule["annotations"], dict)
    assert set(rule["annotations"]) == {"summary", "description"}
    assert "for" in rule or "increase(" in str(rule["expr"])
    assert re.fullmatch(r"\d+m", str(rule.get("for", "0m")))
    assert f"| `{rule['alert']}` |" in PAGE


def test_the_page_names_every_metric_and_no_other(samples: Samples) -> None:
    """The tables of docs/how-to/operations.md are those of a scrape."""
    tables = "\n".join(line for line in PAGE.splitlines() if line.startswith("| `chainlog_"))
    told = set(re.findall(r"`(chainlog_\w+)", tables))
    assert told == {re.sub(r"_(bucket|sum|count)$", "", name) for name in samples}
    alerts = set(re.findall(r"^\| `((?:Chain|Provider)\w+)` \|", PAGE, re.MULTILINE))
    assert alerts == {rule["alert"] for rule in ALERTS}


def test_panels_of_the_dashboard_do_not_overlap() -> None:
    """Each panel has a number and a place of its own, within the 24 columns."""
    places = [
        (x, y)
        for grid in (panel["gridPos"] for panel in DASHBOARD["panels"])
        for x in range(grid["x"], grid["x"] + grid["w"])
        for y in range(grid["y"], grid["y"] + grid["h"])
    ]
    assert len(places) == len(set(places))
    assert max(x for x, _ in places) < 24
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
