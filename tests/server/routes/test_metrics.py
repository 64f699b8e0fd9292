"""``GET /metrics``."""

from __future__ import annotations

import re
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import get_args

import httpx
import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from chainlog_async import ChainLog
from chainlog_async.server import create_app
from chainlog_async.statistics import DropReason
from tests.support.service import KEY, entry, running, service_settings, settled

HOSTILE = 'a"b\\c\nd{e="f"} 1\u2028<script>'
USAGE_OF = {"chain": "fast", "provider": "groq", "model": "m"}


async def scrape(client: httpx.AsyncClient, collect: str | None = None) -> dict[str, Metric]:
    """The metric families of a scrape, by name."""
    reply = await client.get("/metrics", params={} if collect is None else {"collect": collect})
    assert reply.status_code == 200
    assert reply.headers["content-type"].startswith("text/plain; version=")
    return {family.name: family for family in text_string_to_metric_families(reply.text)}


def value(families: dict[str, Metric], sample: str, **labels: str) -> float:
    """The one sample of that name and these labels."""
    (found,) = [
        each.value
        for family in families.values()
        for each in family.samples
        if each.name == sample and each.labels == labels
    ]
    return found


async def test_a_missing_package_is_named_with_what_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a scrape nor the page of the dashboard fails with 500 when its package was removed."""
    async with running(service_settings(tmp_path)) as client:
        for path, module, package in (
            ("/metrics", "prometheus_client", "prometheus-client"),
            ("/", *["chartkick"] * 2),
        ):
            with monkeypatch.context() as without:
                without.setitem(sys.modules, module, None)
                reply = await client.get(path)
            assert (reply.status_code, reply.json()["error"]["code"]) == (501, "not_installed")
            assert package in reply.json()["error"]["message"]
            assert "[server]" in reply.json()["error"]["message"]
            assert (await client.get(path)).status_code == 200


async def test_a_long_path_or_parameter_is_not_echoed_whole(tmp_path: Path) -> None:
    """An error tells enough of it to be found, and no more."""
    async with running(service_settings(tmp_path)) as client:
        for path in (
            "/" + "x" * 5_000,
            "/v1/requests?" + "x" * 5_000 + "=1",
            "/metrics?" + "&".join("a" * 50 + f"{n}" for n in range(200)),
        ):
            reply = await client.get(path)
            assert reply.status_code in {400, 404}
            assert len(reply.content) < 4_500 if "metrics" in path else len(reply.content) < 800
        assert len((await client.delete("/" + "v1/logs" + "/" * 3_000)).content) < 800


async def test_the_books_and_the_usage_are_told(tmp_path: Path) -> None:
    """What was posted is found again: as entries of this process, and as requests of a chain, provider and model."""
    async with running(service_settings(tmp_path)) as client:
        first = {"prompt_tokens": 7, "completion_tokens": 2, "cost_usd": 0.25, "ttft_ms": 90, "latency_ms": 2_000}
        await client.post("/v1/logs", json=[entry(**first), entry(http_status=429, attempts=2), entry(http_status=1)])
        await settled(client)
        told = await scrape(client)
    assert value(told, "chainlog_entries_submitted_total") == 3
    assert value(told, "chainlog_entries_written_total") == value(told, "chainlog_batch_entries_sum") == 2
    assert value(told, "chainlog_entries_dropped_total", reason="invalid") == 1
    assert {each.labels["reason"] for each in told["chainlog_entries_dropped"].samples} == set(get_args(DropReason))
    assert value(told, "chainlog_oldest_pending_age_seconds") == value(told, "chainlog_entries_pending") == 0
    assert value(told, "chainlog_commit_duration_seconds_count") == value(told, "chainlog_batch_entries_count")
    assert [each.labels["state"] for each in told["chainlog_health_state"].samples if each.value] == ["ok"]
    assert [each.labels["state"] for each in told["chainlog_journal_state"].samples if each.value] == ["on"]
    assert value(told, "chainlog_totals_readable") == 1
    for name, expected in (
        ("requests", 2), ("request_errors", 1), ("requests_rate_limited", 1), ("requests_waterfalled", 1),
        ("prompt_tokens", 7), ("completion_tokens", 2), ("tokens", 9), ("cost_usd", 0.25),
    ):  # fmt: skip
        assert value(told, f"chainlog_{name}_total", **USAGE_OF) == expected, name
    assert value(told, "chainlog_request_latency_seconds_bucket", le="1.0", **USAGE_OF) == 0
    assert value(told, "chainlog_request_latency_seconds_bucket", le="2.5", **USAGE_OF) == 1
    assert value(told, "chainlog_request_latency_seconds_sum", **USAGE_OF) == 2
    assert value(told, "chainlog_unanswered_request_latency_seconds_bucket", le="0.1", **USAGE_OF) == 1
    assert value(told, "chainlog_request_ttft_seconds_count", **USAGE_OF) == 1
    refused = {"provider": "groq", "model": "m", "outcome": "rate_limited"}
    assert value(told, "chainlog_attempts_total", **refused) == 1


async def test_every_metric_keeps_to_the_conventions(tmp_path: Path) -> None:
    """Help, type, unit and name of each are as Prometheus's own linter wants them, and no sample comes twice."""
    async with running(service_settings(tmp_path)) as client:
        await client.post("/v1/logs", json=[entry(), entry(chain_name=HOSTILE, model="x" * 200)])
        await settled(client)
        text = (await client.get("/metrics")).text
    families = list(text_string_to_metric_families(text))
    described = {match[0] for match in re.findall(r"^# HELP (\S+) (\S.*\.)$", text, re.MULTILINE)}
    for family in families:
        assert re.fullmatch(r"chainlog_[a-z]+(_[a-z]+)*", family.name)
        assert family.type in {"counter", "gauge", "histogram"}
        assert family.name + ("_total" if family.type == "counter" else "") in described
        assert (
            (family.type == "counter")
            or not family.name.endswith(("_total", "_count", "_sum", "_bucket", "_info"))
            or family.name == "chainlog_build_info"
        )
        assert not re.search(r"_(ms|milliseconds|kb|mb|minutes|hours|counter|gauge|histogram)(_|$)", family.name)
        if re.search(r"age|duration|latency|ttft|gil_yield|timestamp", family.name):
            assert family.name.endswith("_seconds")
        samples = [(each.name, *sorted(each.labels.items())) for each in family.samples]
        assert len(samples) == len(set(samples))
        assert all(each.value >= 0 for each in family.samples)
    assert len({family.name for family in families}) == len(families)
    assert HOSTILE in {each.labels["chain"] for family in families for each in family.samples if "chain" in each.labels}


async def test_openmetrics_is_answered_where_it_is_asked_for(tmp_path: Path) -> None:
    """A scraper that prefers OpenMetrics gets it, by its own content type, and whole."""
    accept = "application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5"
    async with running(service_settings(tmp_path)) as client:
        await client.post("/v1/logs", json=entry(chain_name=HOSTILE))
        await settled(client)
        reply = await client.get("/metrics", headers={"Accept": accept})
        plain = await scrape(client)
    assert reply.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert reply.text.endswith("# EOF\n")
    families = parse_openmetrics(reply.text)  # type: ignore[no-untyped-call]  # the parser has no types
    assert {family.name for family in families} == set(plain)


async def test_several_processes_tell_the_same_usage_and_books_of_their_own(tmp_path: Path) -> None:
    """Two services on one file: requests are everybody's from either, entries each one's own; nothing ever falls."""
    settings = service_settings(tmp_path)
    async with running(settings) as one, running(settings) as two:
        for number in range(1, 4):
            await one.post("/v1/logs", json=entry())
            await two.post("/v1/logs", json=[entry(), entry(chain_name="slow")])
            await settled(one)
            await settled(two)
            scrapes = [await scrape(one), await scrape(two)]
            for told in scrapes:
                assert value(told, "chainlog_requests_total", **USAGE_OF) == 2 * number
                assert value(told, "chainlog_requests_total", **(USAGE_OF | {"chain": "slow"})) == number
            assert [value(told, "chainlog_entries_written_total") for told in scrapes] == [number, 2 * number]


async def test_one_part_can_be_asked_for(tmp_path: Path) -> None:
    """`collect` gives this process alone for each worker, or the database alone once; without it there is all."""
    async with running(service_settings(tmp_path)) as client:
        await client.post("/v1/logs", json=entry())
        await settled(client)
        everything, process, database = [await scrape(client, part) for part in (None, "process", "database")]
        queries = ("collect=all", "collect=process&collect=database", "colect=process")
        refused = [await client.get(f"/metrics?{query}") for query in queries]
    assert not set(process) & set(database)
    assert set(process) | set(database) == set(everything)
    assert [(reply.status_code, reply.json()["error"]["param"]) for reply in refused] == [
        (400, "collect"),
        (400, "collect"),
        (400, "colect"),
    ]


async def test_combinations_beyond_the_bound_share_a_series(tmp_path: Path) -> None:
    """`server.max_metric_groups` bounds what hostile or mistyped model names cost."""
    async with running(service_settings(tmp_path, server={"max_metric_groups": 3})) as client:
        for number in range(10):
            await client.post("/v1/logs", json=entry(model=f"m{number}"))
        await settled(client)
        told = await scrape(client)
    requests = {each.labels["model"]: each.value for each in told["chainlog_requests"].samples}
    assert (len(requests), requests["other"], sum(requests.values())) == (4, 7, 10)


async def test_what_keeps_its_key_needs_it_here_too(tmp_path: Path) -> None:
    """With keys set, a scrape without one learns nothing, in headers neither."""
    settings = service_settings(tmp_path, server={"api_keys": [KEY]})
    async with running(settings) as client:
        refused = await client.get("/metrics")
        accepted = await client.get("/metrics", headers={"Authorization": f"Bearer {KEY}"})
    assert (refused.status_code, accepted.status_code) == (401, 200)
    assert "chainlog_" not in refused.text
    assert refused.headers["www-authenticate"] == "Bearer"


async def test_a_database_that_cannot_be_read_leaves_the_rest(tmp_path: Path) -> None:
    """When the totals are not to be had, the scrape says so, and still tells of the process."""
    settings = service_settings(tmp_path)
    async with running(settings) as client:
        await scrape(client)
        with closing(sqlite3.connect(settings.db_path)) as connection:
            connection.execute("DROP TABLE usage_buckets")
        told = await scrape(client)
    assert value(told, "chainlog_totals_readable") == 0
    assert "chainlog_entries_submitted" in told
    assert "chainlog_requests" not in told


async def test_a_log_that_is_not_open_has_its_health_alone(tmp_path: Path) -> None:
    """Before the log is opened a scrape says that it has failed."""
    app = create_app(ChainLog(service_settings(tmp_path)), already_running=True)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        told = await scrape(client)
    assert set(told) == {"chainlog_build_info", "chainlog_health_state", "chainlog_totals_readable"}
    assert value(told, "chainlog_health_state", state="failed") == 1


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_metrics_are_read_only(tmp_path: Path, method: str) -> None:
    """Nothing but GET and HEAD is possible."""
    async with running(service_settings(tmp_path)) as client:
        assert (await client.request(method, "/metrics")).status_code == 405
        assert (await client.head("/metrics")).status_code == 200
