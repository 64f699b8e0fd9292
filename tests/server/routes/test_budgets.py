"""``GET /v1/budgets`` and ``GET /v1/alerts``."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import quote

import pytest

from chainlog_async.common.clock import now_ms
from chainlog_async.settings import Settings
from tests.support.service import entry, running, service_settings, settled

BUDGETS = [
    {"name": "team-a", "caller": "a", "limit_usd": 50},
    {"name": "eu/all", "limit_usd": 1, "per": "month", "zone": "Europe/Berlin"},
]


def spent() -> list[dict[str, object]]:
    """Two requests of this moment, one of which failed."""
    return [
        entry(timestamp=now_ms(), caller="a", cost_usd=1.25),
        entry(timestamp=now_ms(), caller="b", cost_usd=2.5, http_status=500),
    ]


async def settings_in(folder: Path, **values: object) -> Settings:
    """With the budgets; looking up a time zone reads a file."""
    return await asyncio.to_thread(service_settings, folder, budgets=BUDGETS, **values)


async def test_what_is_left_of_budgets(tmp_path: Path) -> None:
    """Of all of them, in the order of the settings, and of one by its name."""
    async with running(await settings_in(tmp_path)) as client:
        await client.post("/v1/logs", json=spent())
        await settled(client)
        (team, everybody) = (await client.get("/v1/budgets")).json()["budgets"]
        assert (team["name"], team["spentUsd"], team["leftUsd"], team["limitUsd"]) == ("team-a", 1.25, 48.75, 50.0)
        assert (everybody["name"], everybody["spentUsd"], everybody["leftUsd"]) == ("eu/all", 3.75, 0.0)
        assert team["startsAt"] <= now_ms() < team["resetsAt"]
        assert (await client.get("/v1/budgets/team-a")).json() == team
        for path in ("eu/all", quote("eu/all", safe="")):
            assert (await client.get(f"/v1/budgets/{path}")).json() == everybody
        unknown = await client.get("/v1/budgets/team-b")
        assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "not_found")


async def test_a_key_of_one_caller_sees_the_budgets_of_that_caller(tmp_path: Path) -> None:
    """Neither those of others, nor those of everybody, nor alerts."""
    keys = ["all", {"key": "only-a", "can": "read", "caller": "a"}, {"key": "in", "can": "write"}]
    settings = await settings_in(tmp_path, server={"api_keys": keys})
    async with running(settings, key="only-a") as client:
        assert [one["name"] for one in (await client.get("/v1/budgets")).json()["budgets"]] == ["team-a"]
        assert (await client.get("/v1/budgets/team-a")).status_code == 200
        assert (await client.get("/v1/budgets/eu/all")).status_code == 404
        assert (await client.get("/v1/alerts")).status_code == 403
        writing = {"Authorization": "Bearer in"}
        assert (await client.get("/v1/budgets", headers=writing)).status_code == 403


@pytest.mark.usefixtures("short_pauses")
async def test_what_alerts_are_doing(tmp_path: Path) -> None:
    """The rules, whom they tell, which are firing, and what happened."""
    rule = "error_rate > 20 % for 10m"
    settings = service_settings(
        tmp_path, alerts=[{"when": rule, "name": "errors", "min_requests": 1}], alert_interval_ms=20
    )
    async with running(settings) as client:
        before = (await client.get("/v1/alerts")).json()
        assert before == {"alerts": [{"name": "errors", "when": rule, "targets": [], "firing": []}], "history": []}
        await client.post("/v1/logs", json=spent())
        while not (report := (await client.get("/v1/alerts")).json())["history"]:
            pass
        (episode,) = report["history"]
        assert report["alerts"][0]["firing"] == [episode]
        assert (episode["alert"], episode["value"], episode["clearedAt"]) == ("errors", "50.0%", None)
        assert (await client.get("/v1/alerts?limit=0")).status_code == 400
