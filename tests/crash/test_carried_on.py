"""Files of the commit before the package was laid out in folders are carried on by this one: data/before_the_tree."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chainlog_async import ChainLog, RequestFilter, UsageAggregator, UsageQuery, Window
from tests.support.writing import settings_for, until

FILES = Path(__file__).resolve().parents[1] / "data" / "before_the_tree" / "files.tar.gz"
START = 1_790_000_000_000
WINDOW = Window(start=START, end=START + 200 * 977_000, step="6h", zone="Europe/Berlin")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What the killed writer left, unpacked."""
    with tarfile.open(FILES) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path


async def answers_of(usage: UsageAggregator) -> dict[str, object]:
    """What the release before was asked as well."""
    return {
        "providers": await usage.get_all_provider_usage(),
        "chains": await usage.get_all_chain_usage(),
        "summary": await usage.get_summary_stats(),
        "usage": await usage.get_usage(UsageQuery(window=WINDOW, by="provider")),
        "latency": await usage.get_latency(UsageQuery(window=WINDOW, by="caller", durations_of="all")),
        "requests": (await usage.find_requests(RequestFilter(), limit=500)).requests,
        "health": await usage.get_provider_health(WINDOW),
    }


async def test_database_and_journal_of_the_release_before_are_carried_on(folder: Path) -> None:
    """All 200 requests are there once, those that only the journal had too, and every answer is what it was.

    For that release a client that hung up was an error, and means were of all requests.
    """
    async with ChainLog(settings_for(folder / "observability.db")) as chainlog:
        await until(lambda: chainlog.statistics().replayed == 25)
        answers: Any = json.loads(msgspec.json.encode(await answers_of(chainlog.usage)))
    expected = json.loads((folder / "expected.json").read_bytes())
    assert len(answers["requests"]) == 200
    for point in answers["usage"]:
        point["errors"] += point["cancelled"]
    for point in answers["latency"]:
        point["errorRate"] += point["cancelledRate"]
    for point in expected["usage"] + expected["latency"]:
        for mean in ("avgLatencyMs", "avgTtftMs", "tokensPerSecond"):
            point.pop(mean, None)
    for name, answer in expected.items():
        assert answers[name] == _like(answers[name], answer), name


def _like(found: Any, expected: Any) -> Any:  # noqa: ANN401  # JSON
    """What was expected, with fractions as near as the order of adding up allows, and new fields as they are."""
    if isinstance(expected, dict):
        return found | {key: _like(found[key], value) for key, value in expected.items()}
    if isinstance(expected, list):
        return [_like(one, other) for one, other in zip(found, expected, strict=True)]
    return pytest.approx(expected, rel=1e-9) if isinstance(expected, float) else expected
