"""Sessions and tags over HTTP."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from tests.support.service import BEGIN_MS, entry, running, service_settings, settled

WINDOW = {"from": str(BEGIN_MS), "until": str(BEGIN_MS + 7_200_000)}


async def post(client: httpx.AsyncClient, *entries: dict[str, object]) -> None:
    """Logs them, and waits until they are stored."""
    assert (await client.post("/v1/logs", json=list(entries))).json()["rejected"] == []
    await settled(client)


def turn(session: str, number: int, **values: object) -> dict[str, object]:
    """A request of a session, so many seconds later."""
    at = BEGIN_MS + 1_000 * number
    return entry(timestamp=at, session_id=session, prompt_tokens=100, cached_tokens=25, cost_usd=0.1, **values)


async def test_sessions_come_page_by_page_with_the_newest_first(tmp_path: Path) -> None:
    """Each with its sums; a session that goes on is where its last request is."""
    async with running(service_settings(tmp_path)) as client:
        answered = entry(timestamp=BEGIN_MS, http_status=200)
        await post(client, turn("a", 0), turn("b", 1, model="x"), {**turn("a", 2), "http_status": 500}, answered)
        first = (await client.get("/v1/sessions", params={"limit": "1"})).json()
        assert [one["sessionId"] for one in first["sessions"]] == ["a"]
        rest = (await client.get("/v1/sessions", params={"cursor": first["nextCursor"]})).json()
        assert [(one["sessionId"], one["models"]) for one in rest["sessions"]] == [("b", ["x"])]
        assert rest["nextCursor"] is None
        assert first["sessions"][0] == {
            "sessionId": "a",
            "caller": None,
            "requests": 2,
            "errors": 1,
            "promptTokens": 200,
            "completionTokens": 0,
            "cachedTokens": 50,
            "totalTokens": 200,
            "costUsd": 0.2,
            "cachedShare": 0.25,
            "latencyMs": 24,
            "firstAt": BEGIN_MS,
            "lastAt": BEGIN_MS + 2_000,
            "models": ["m"],
        }
        ended = (await client.get("/v1/sessions", params={"until": str(BEGIN_MS + 2_000)})).json()
        assert [one["sessionId"] for one in ended["sessions"]] == ["b"]


@pytest.mark.parametrize("name", ["thread-1", "a/b", "ü ?&"])
async def test_one_session_has_its_requests(tmp_path: Path, name: str) -> None:
    """Page by page, the newest first, whatever its id is made of; an unknown one is 404."""
    async with running(service_settings(tmp_path)) as client:
        await post(client, *[turn(name, number) for number in range(3)], turn("other", 1))
        path = f"/v1/sessions/{quote(name)}"
        reply = (await client.get(path, params={"limit": "2"})).json()
        assert (reply["session"]["sessionId"], reply["session"]["requests"]) == (name, 3)
        assert [row["timestamp"] - BEGIN_MS for row in reply["requests"]] == [2_000, 1_000]
        more = (await client.get(path, params={"cursor": reply["nextCursor"]})).json()
        assert [row["timestamp"] - BEGIN_MS for row in more["requests"]] == [0]
        of_filter = (await client.get("/v1/requests", params={"session": name})).json()
        assert len(of_filter["requests"]) == 3
        missing = await client.get("/v1/sessions/nobody")
        assert (missing.status_code, missing.json()["error"]["code"]) == (404, "not_found")


async def test_usage_by_tag_and_of_a_tag(tmp_path: Path) -> None:
    """A request counts under each of its tags; a model may be asked for within one."""
    async with running(service_settings(tmp_path)) as client:
        await post(
            client,
            {**turn("s", 1, tags=["team:a", "env:prod"]), "model": "x"},
            turn("s", 2, tags=["team:a", "team:b"]),
            turn("s", 3600, tags=["env:prod:eu"]),
            turn("s", 4),
        )

        async def usage(**asked: str) -> list[tuple[str | None, int, float]]:
            points = (await client.get("/v1/usage", params=WINDOW | asked)).json()["points"]
            return [(point["name"], point["requests"], point["costUsd"]) for point in points]

        assert await usage(by="tag:team") == [("a", 2, 0.2), ("b", 1, 0.1)]
        assert await usage(by="tag:env", step="1h") == [("prod", 1, 0.1), ("prod:eu", 1, 0.1)]
        assert await usage(by="model", tag="team:a") == [("m", 1, 0.1), ("x", 1, 0.1)]
        assert await usage(tag="team:b", model="m") == [(None, 1, 0.1)]
        assert (await client.get("/v1/names")).json()["tagKeys"] == ["env", "team"]
        found = (await client.get("/v1/requests", params={"tag": "team:a"})).json()["requests"]
        assert [row["timestamp"] - BEGIN_MS for row in found] == [2_000, 1_000]


async def test_a_wrong_question_is_told_what_to_change(tmp_path: Path) -> None:
    """With the parameter and the remedy."""
    wrong = {
        "usage?by=tag:": "by is 'tag:'; give one of chain, provider, model, caller, or tag:KEY, such as tag:team",
        "usage?tag=team": "tag is 'team'; give one tag KEY:VALUE, such as team:search",
        "usage?by=tag:team&tag=env:prod": "by is 'tag:team' and tag is 'env:prod'; usage is not counted by two keys",
        "usage?by=tag:team&step=15m": "step is 15m; usage by tag is counted by the hour: give 1h or more",
        "latency?by=tag:team": "by is 'tag:team'; give one of chain, provider, model, caller",
        "requests?tag=team": "tag is 'team'; give one tag KEY:VALUE, such as team:search",
        "sessions?limit=101": "limit is '101'; give one whole number from 1 to 100",
        "sessions?cursor=x": "cursor is 'x'; give one unchanged nextCursor",
    }
    async with running(service_settings(tmp_path)) as client:
        for asked, message in wrong.items():
            reply = await client.get(f"/v1/{asked}")
            assert reply.status_code == 400
            assert reply.json()["error"]["message"].startswith(message)
