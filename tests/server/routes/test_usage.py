"""Usage, latency and provider health over HTTP: the numbers of a real trace, and every parameter checked."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from chainlog_async.usage.percentiles import RELATIVE_ERROR
from tests.support.service import BEGIN_MS, entry, running, service_settings, settled
from tests.support.traces import llmperf_entries, needs_llmperf

Rows = list[dict[str, Any]]


async def post_llmperf(client: httpx.AsyncClient) -> Rows:
    """Sends the trace, and returns it as it was sent."""
    rows = list(llmperf_entries())
    for first in range(0, len(rows), 1_000):
        assert (await client.post("/v1/logs", json=rows[first : first + 1_000])).status_code == 202
    await settled(client)
    return rows


def by(rows: Rows, key: Callable[[dict[str, Any]], object]) -> dict[object, Rows]:
    """The rows in groups."""
    groups: dict[object, Rows] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return groups


def half_up(number: float) -> int:
    """As the database rounds."""
    return math.floor(number + 0.5)


@needs_llmperf
async def test_a_real_trace_is_answered_right(tmp_path: Path) -> None:
    """2,845 requests with 392 refusals: counts, tokens and rates exactly, percentiles within the stated error."""
    async with running(service_settings(tmp_path)) as client:
        rows = await post_llmperf(client)
        times = [row["timestamp"] for row in rows]
        window = {"from": str(min(times)), "until": str(max(times) + 1), "by": "provider"}
        usage = (await client.get("/v1/usage", params=window)).json()["points"]
        latency = (await client.get("/v1/latency", params=window)).json()["points"]
        health = (await client.get("/v1/providers/health", params={"from": window["from"]})).json()["providers"]
        groups = by(rows, lambda row: row["provider_id"])
        assert {point["name"] for point in usage} == {point["name"] for point in latency} == set(groups)
        assert sum(point["rateLimited"] for point in usage) == 392
        for point, fast in zip(usage, latency, strict=True):
            ours = groups[point["name"]]
            errors = [row for row in ours if row["http_status"] >= 400]
            refused = [row for row in ours if row["http_status"] == 429]
            assert point["requests"] == fast["requests"] == len(ours)
            assert (point["errors"], point["rateLimited"]) == (len(errors), len(refused))
            assert point["promptTokens"] == sum(row["prompt_tokens"] for row in ours)
            assert point["completionTokens"] == sum(row["completion_tokens"] for row in ours)
            assert fast["errorRate"] == pytest.approx(len(errors) / len(ours))
            assert fast["rateLimitedRate"] == pytest.approx(len(refused) / len(ours))
            durations = sorted(half_up(row["latency_ms"]) for row in ours if row["http_status"] < 400)
            for percent in (50, 90, 95, 99):
                exact = durations[math.ceil(percent * len(durations) / 100) - 1]
                assert abs(fast["latencyMs"][f"p{percent}"] - exact) <= RELATIVE_ERROR * exact + 0.05
        models = by(rows, lambda row: (row["provider_id"], row["model"]))
        assert {(one["providerId"], one["model"]) for one in health} == set(models)
        for one in health:
            ours = models[one["providerId"], one["model"]]
            assert one["attempts"] == len(ours)
            assert one["refusalRate"] == pytest.approx(sum(row["http_status"] == 429 for row in ours) / len(ours))


async def test_steps_zones_filters_and_gaps(tmp_path: Path) -> None:
    """The window comes back as it was understood; gaps are there when asked for; filters hold together."""
    hour, begin = 3_600_000, BEGIN_MS
    async with running(service_settings(tmp_path)) as client:
        posted = [entry(timestamp=begin + hour * number, caller="a" if number % 2 else "b") for number in (10, 11, 13)]
        await client.post("/v1/logs", json=posted)
        await settled(client)
        query = {
            "from": str(begin + 10 * hour),
            "until": str(begin + 14 * hour),
            "step": "1h",
            "tz": "Asia/Tokyo",
            "by": "caller",
        }
        reply = (await client.get("/v1/usage", params=query | {"caller": "a", "fill": "true"})).json()
        assert [point["requests"] for point in reply.pop("points")] == [0, 1, 0, 1]
        assert reply == {
            "from": begin + 10 * hour, "until": begin + 14 * hour, "step": "1h", "tz": "Asia/Tokyo", "by": "caller",
        }  # fmt: skip
        assert (await client.get("/v1/usage")).json()["points"] == []
        assert (await client.get("/v1/names")).json() == {
            "chains": ["fast"], "providers": ["groq"], "models": ["m"], "callers": ["a", "b"], "tagKeys": [],
        }  # fmt: skip


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("step=7m", "step is '7m'; give one of 15m"),
        ("by=status", "by is 'status'"),
        ("groups=0", "groups is '0'"),
        ("fill=yes", "fill is 'yes'"),
        ("from=now", "from is 'now'"),
        ("tz=Mars/Olympus&step=1h", "time zone 'Mars/Olympus' is unknown"),
        ("from=0&step=15m", "2,000 is the most"),
        ("from=1h&until=2h", "the earlier one first"),
        ("from=2025-11-25T07:03Z&until=2025-11-25T07:01Z", "ends at 2025-11-25T07:01:00Z, before it starts at"),
        ("from=2099-01-01", "starts in the future, at 2099-01-01T00:00:00Z; it is 20"),
        ("from=2025-11-25&until=2025-11-25", "ends at 2025-11-25T00:00:00Z, when it starts"),
        ("from=2025-11-25T07:03Z&until=2025-11-25T07:03Z", "ends at 2025-11-25T07:03:00Z, when it starts"),
        ("from=1703638574000000", "in µs it is 2023-12-27T00:56:14Z, which is 1703638574000 ms"),
        ("tz=", "time zone '' is unknown; give a name such as Europe/Berlin"),
        ("tz=Europe", "time zone 'Europe' is unknown; give a name such as Europe/Berlin"),
        ("from=1703638574", "as ms since the epoch is in January 1970; in s it is 2023-12-27T00:56:14Z"),
        ("until=7", "until is '7', which as ms since the epoch is in January 1970; a duration needs a unit"),
        ("tz=Nowhere", "time zone 'Nowhere' is unknown"),
        ("tz=berlin", "did you mean Europe/Berlin?"),
        ("limit=5", "unknown query parameter 'limit'"),
    ],
)
async def test_what_cannot_be_is_refused(query: str, words: str, tmp_path: Path) -> None:
    """With 400 and the reason."""
    async with running(service_settings(tmp_path)) as client:
        for path in ("/v1/usage", "/v1/latency"):
            reply = await client.get(f"{path}?{query}")
            assert reply.status_code == 400
            error = reply.json()["error"]
            assert words in error["message"]
            assert error["param"] in query


async def test_all_of_time_is_one_window(tmp_path: Path) -> None:
    """From the epoch to the last year, without steps, is answered like any other window."""
    async with running(service_settings(tmp_path)) as client:
        await client.post("/v1/logs", json=entry())
        await settled(client)
        reply = await client.get("/v1/latency?from=0&until=9999-12-31T00:00:00Z&by=model")
        assert [point["requests"] for point in reply.json()["points"]] == [1]
