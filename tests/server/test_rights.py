"""What a key may do, for every route there is: a new one is noticed here."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from pydantic import SecretStr
from starlette.routing import Route

from chainlog_async import ChainLog, RequestFilter, UsageQuery, Window
from chainlog_async.requests.sessions import SessionFilter
from chainlog_async.server import create_app
from chainlog_async.server.routes.read import QUESTIONS
from chainlog_async.settings import ScopedKey, Settings
from chainlog_async.usage.query import UsageFilter
from chainlog_async.wire import questions as q
from chainlog_async.wire.batches import Rejection, compress
from tests.storage.random_log import batch_of
from tests.support.entries import entry as log_entry
from tests.support.litellm_events import payload
from tests.support.service import BEGIN_MS, entry, running, service_settings, settled
from tests.support.settings_files import refusal

KEYS: list[object] = [
    "everything",
    {"key": "writer", "can": "write"},
    {"key": "reader", "can": "read"},
    {"key": "own", "can": "read", "caller": "team-a"},
]
SECRET = "hidden-team"
"""Is in every text of the requests of another caller."""

BATCH = batch_of("other-host", 0, [log_entry(caller="team-a")])
WINDOW = f"from={BEGIN_MS - 1}&until={BEGIN_MS + 1_000}"
REQUESTS: dict[tuple[str, str], tuple[str, dict[str, Any]]] = {
    ("GET", "/health"): ("nothing", {}),
    ("GET", "/openapi.json"): ("nothing", {}),
    ("GET", "/v1/statistics"): ("read_all", {}),
    ("GET", "/metrics"): ("read_all", {}),
    ("POST", "/v1/logs"): ("write", {"json": entry(caller="team-a")}),
    ("POST", "/v1/logs/litellm"): ("write", {"json": payload("a")}),
    ("POST", "/v1/traces"): ("write", {"json": {"resourceSpans": []}}),
    ("PUT", "/v1/traces"): ("write", {"json": {}}),
    ("POST", "/v1/metrics"): ("write", {"content": b""}),
    ("GET", "/v1/stats/summary"): ("read_all", {}),
    ("GET", "/v1/stats/providers"): ("read_all", {}),
    ("GET", "/v1/stats/providers/team-a-p"): ("read_all", {}),
    ("GET", "/v1/stats/chains"): ("read_all", {}),
    ("GET", "/v1/stats/chains/team-a-c"): ("read_all", {}),
    ("GET", "/v1/stats/requests"): ("read", {}),
    ("GET", "/v1/requests"): ("read", {}),
    ("GET", "/v1/requests/export"): ("read", {}),
    ("GET", "/v1/requests/1"): ("read", {}),
    ("GET", "/v1/extent"): ("read", {}),
    ("GET", f"/v1/usage?{WINDOW}&by=model"): ("read", {}),
    ("GET", f"/v1/latency?{WINDOW}&by=caller"): ("read", {}),
    ("GET", f"/v1/usage?{WINDOW}&by=tag:team"): ("read", {}),
    ("GET", f"/v1/cache-savings?{WINDOW}"): ("read", {}),
    ("GET", "/v1/sessions"): ("read", {}),
    ("GET", "/v1/sessions/shared"): ("read", {}),
    ("GET", "/v1/providers/health"): ("read_all", {}),
    ("GET", "/v1/names"): ("read", {}),
    ("GET", "/v1/budgets"): ("read", {}),
    ("GET", "/v1/budgets/team-a"): ("read", {}),
    ("GET", "/v1/alerts"): ("read_all", {}),
    ("GET", "/v1/batches/other-host"): ("write", {}),
    ("DELETE", "/v1/batches/ended-host"): ("write", {}),
    ("POST", f"/v1/batches/other-host/0/{BATCH.end}"): ("write", {"content": compress(BATCH.lines)}),
    ("POST", "/v1/batches/third-host/rejected"): (
        "write",
        {"content": msgspec.json.encode(Rejection(2, b"x", "refused"))},
    ),
}
_QUERY = UsageQuery(window=Window(start=BEGIN_MS - 1, end=BEGIN_MS + 1_000), by="provider")
ARGUMENTS: dict[str, tuple[str, msgspec.Struct]] = {
    "get_all_provider_usage": ("read_all", q.Nothing()),
    "get_provider_usage": ("read_all", q.ByName("groq")),
    "get_all_chain_usage": ("read_all", q.Nothing()),
    "get_chain_usage": ("read_all", q.ByName("fast")),
    "get_summary_stats": ("read_all", q.Nothing()),
    "get_recent_requests": ("read", q.Newest(10)),
    "get_requests_after": ("read", q.After(0, 10)),
    "find_requests": ("read", q.Find(RequestFilter(), 10, None)),
    "find_sessions": ("read", q.FindSessions(SessionFilter(), 10, None)),
    "get_session": ("read", q.OneSession("shared", None)),
    "get_request": ("read", q.ById(1)),
    "find_request_ids": ("read_all", q.ByPrefix("", 10)),
    "get_newest_id": ("read", q.Nothing()),
    "get_oldest_timestamp": ("read", q.Nothing()),
    "get_usage": ("read", q.Usage(_QUERY)),
    "get_latency": ("read", q.Usage(_QUERY)),
    "get_provider_health": ("read_all", q.InWindow(_QUERY.window)),
    "get_prices": ("read", q.Prices([("groq", "m")], BEGIN_MS)),
    "get_names": ("read", q.Nothing()),
    "get_metric_totals": ("read_all", q.Groups(10)),
}
REQUESTS |= {
    ("POST", f"/v1/read/{name}"): (needs, {"content": msgspec.json.encode(arguments)})
    for name, (needs, arguments) in ARGUMENTS.items()
}
ALLOWED = {
    "everything": {"nothing", "write", "read", "read_all"},
    "writer": {"nothing", "write"},
    "reader": {"nothing", "read", "read_all"},
    "own": {"nothing", "read"},
}


@asynccontextmanager
async def two_callers(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A service with the first request of another caller, and one of team-a."""
    async with ChainLog(Settings(db_path=tmp_path / "log.db")) as log:
        for caller in (SECRET, "team-a"):
            names = {"model": f"{caller}-m", "chain_name": f"{caller}-c", "provider_id": f"{caller}-p"}
            told = {"error_message": caller, "session_id": "shared", "tags": [f"{caller}:1", f"team:{caller}"]}
            assert log.log_request(log_entry(timestamp=BEGIN_MS, caller=caller, **told, **names))
    budgets = [{"name": caller, "caller": caller, "limit_usd": 50} for caller in (SECRET, "team-a")]
    async with running(service_settings(tmp_path, budgets=budgets, server={"api_keys": KEYS})) as client:
        yield client


def test_every_route_is_asked_here(tmp_path: Path) -> None:
    """Each route of the service but the dashboard's files and the stream, and each question of the read route."""
    app = create_app(ChainLog(service_settings(tmp_path)), already_running=True)
    asked = {path.partition("?")[0] for _, path in REQUESTS}
    for route in app.routes:
        assert isinstance(route, Route)
        if route.include_in_schema and route.path != "/v1/requests/stream":
            methods = {method for method, path in REQUESTS if route.path_regex.match(path.partition("?")[0])}
            assert methods & (route.methods or set()), route.path
            asked = {path for path in asked if not route.path_regex.match(path)}
    assert (asked, set(ARGUMENTS)) == (set(), set(QUESTIONS))


@pytest.mark.parametrize("key", ALLOWED)
async def test_a_key_may_do_what_it_is_for_and_nothing_else(tmp_path: Path, key: str) -> None:
    """Everything else is 403 with the reason; and nothing of another caller is in what a key with a caller gets."""
    async with two_callers(tmp_path) as service:
        headers = {"Authorization": f"Bearer {key}"}
        for (method, path), (needs, content) in REQUESTS.items():
            reply = await service.request(method, path, headers=headers, **content)
            if needs not in ALLOWED[key]:
                assert (reply.status_code, reply.json()["error"]["code"]) == (403, "key_not_allowed"), path
            elif key == "own" and path == "/v1/requests/1":
                assert reply.status_code == 404
            else:
                assert reply.status_code < 300, (path, reply.text)
            if key == "own":
                assert SECRET not in reply.text.replace(f"{SECRET!r}", ""), path


async def test_a_key_with_a_caller_sees_its_own_requests(tmp_path: Path) -> None:
    """They are all there, by every way to them."""
    async with two_callers(tmp_path) as service:
        headers = {"Authorization": "Bearer own"}

        async def get(path: str) -> Any:  # noqa: ANN401  # JSON
            return (await service.get(path, headers=headers)).json()

        assert [row["model"] for row in (await get("/v1/requests"))["requests"]] == ["team-a-m"]
        assert [row["model"] for row in (await get("/v1/stats/requests"))["requests"]] == ["team-a-m"]
        assert (await get("/v1/requests/2"))["caller"] == "team-a"
        usage = (await get(f"/v1/usage?{WINDOW}&by=model"))["points"]
        assert [(point["name"], point["requests"]) for point in usage] == [("team-a-m", 1)]
        assert (await get(f"/v1/latency?{WINDOW}"))["points"][0]["requests"] == 1
        assert await get("/v1/names") == {
            "chains": ["team-a-c"],
            "providers": ["team-a-p"],
            "models": ["team-a-m"],
            "callers": ["team-a"],
            "tagKeys": [],
        }
        tagged = (await get(f"/v1/usage?{WINDOW}&by=tag:team"))["points"]
        assert [(point["name"], point["requests"]) for point in tagged] == [("team-a", 1)]
        (session,) = (await get("/v1/sessions"))["sessions"]
        assert (session["sessionId"], session["requests"], session["models"]) == ("shared", 1, ["team-a-m"])
        turns = await get("/v1/sessions/shared")
        assert (turns["session"], [row["id"] for row in turns["requests"]]) == (session, [2])
        after = await service.post("/v1/read/get_requests_after", content=b'{"after_id":0,"limit":1}', headers=headers)
        assert [row["id"] for row in after.json()["answer"]] == [2]


@pytest.mark.parametrize("path", ["requests?", f"usage?{WINDOW}&", "requests/stream?", "sessions?", "sessions/shared?"])
async def test_a_question_about_another_caller_is_refused(tmp_path: Path, path: str) -> None:
    """It is told so, instead of hearing that there is nothing."""
    async with two_callers(tmp_path) as service:
        reply = await service.get(f"/v1/{path}caller={SECRET}", headers={"Authorization": "Bearer own"})
        assert (reply.status_code, reply.json()["error"]["code"]) == (403, "key_not_allowed")


async def test_the_live_tail_is_that_of_the_caller(tmp_path: Path) -> None:
    """Of two new requests a key with a caller hears of its own."""
    async with two_callers(tmp_path) as service:
        async with service.stream("GET", "/v1/requests/stream", headers={"Authorization": "Bearer own"}) as stream:
            lines = stream.aiter_lines()
            assert (await anext(lines)).startswith("retry")
            for caller in (SECRET, "team-a"):
                new = entry(caller=caller, model=f"new-{caller}")
                await service.post("/v1/logs", json=new, headers={"Authorization": "Bearer writer"})
            await settled(service)
            data = ""
            while not data.startswith("data:"):
                data = await anext(lines)
            assert json.loads(data.removeprefix("data:"))["model"] == "new-team-a"
        for key in ("writer", "own"):
            reply = await service.get("/v1/requests/stream?caller=x", headers={"Authorization": f"Bearer {key}"})
            assert reply.status_code == 403


# Settings


def test_keys_with_and_without_scopes(monkeypatch: pytest.MonkeyPatch) -> None:
    """They may be mixed, also in a variable."""
    monkeypatch.setenv("CHAINLOG_SERVER__API_KEYS", json.dumps(KEYS))
    plain, writer, _, own = Settings().server.api_keys
    assert plain == SecretStr("everything")
    assert writer == ScopedKey(key=SecretStr("writer"), can="write")
    assert isinstance(own, ScopedKey)
    assert own.caller == "team-a"
    assert "everything" not in repr(Settings())


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ({"key": "hush"}, "[0].can is missing"),
        ({"key": "hush", "can": "rule"}, "[0].can (its value is not shown) must be 'read' or 'write'"),
        (
            {"key": "hush", "can": "write", "caller": "hush"},
            "[0] (its value is not shown) must not have a caller with can: write; a caller limits what a key may read",
        ),
        ({"key": "hu sh", "can": "read"}, "[0].key (its value is not shown) must be one or more visible ASCII"),
        ({"key": "hush", "can": "read", "hush": 1}, "[0] (its value is not shown) extra inputs are not permitted"),
        ({"key": "hush", "can": "read", "caller": ""}, "[0].caller (its value is not shown) "),
    ],
)
def test_a_wrong_key_is_refused_without_being_shown(key: object, message: str) -> None:
    """The place and the remedy are named."""
    text = refusal(server={"api_keys": [key]})
    assert text.startswith(f"argument server.api_keys{message}")
    assert "hush" not in text


def test_one_key_with_two_scopes_is_refused() -> None:
    """It would not be clear what it may do."""
    text = refusal(server={"api_keys": ["hush", {"key": "hush", "can": "read"}]})
    assert text.endswith("(its value is not shown) must not have one key twice, with different rights")


def test_a_filter_for_no_caller_is_another_caller() -> None:
    """The empty name means requests without a caller, which are not the key's either."""
    assert UsageFilter(caller="").caller is not None
