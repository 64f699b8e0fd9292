"""``GET /v1/requests`` and ``/v1/requests/{id}``: the right ones, and every parameter checked."""

from __future__ import annotations

from pathlib import Path

import pytest

from chainlog_async.storage.sqlite.queries import requests
from tests.support.service import BEGIN_MS, entry, running, service_settings, settled


async def test_requests_come_by_filter_and_page(tmp_path: Path) -> None:
    """Filters hold together, pages follow each other by nextCursor, and the last one has none."""
    async with running(service_settings(tmp_path)) as client:
        entries = [
            entry(timestamp=BEGIN_MS + number, model=f"m{number % 2}", http_status=200 + number % 3)
            for number in range(60)
        ]
        await client.post("/v1/logs", json=entries)
        await settled(client)
        times: list[int] = []
        query = {"model": "m0", "status": "202", "limit": "3"} | {
            "from": str(BEGIN_MS + 6), "until": str(BEGIN_MS + 50),
        }  # fmt: skip
        while True:
            page = (await client.get("/v1/requests", params=query)).json()
            times += [request["timestamp"] - BEGIN_MS for request in page["requests"]]
            if page["nextCursor"] is None:
                break
            query["cursor"] = page["nextCursor"]
        assert times == [number for number in range(49, 5, -1) if number % 2 == 0 and number % 3 == 2]
        assert len((await client.get("/v1/requests")).json()["requests"]) == 50


DETAILS = {
    "requestId": "r-1",
    "caller": "team",
    "ttftMs": 12,
    "costUsd": 0.25,
    "streamed": True,
    "cachedTokens": 7,
    "metadata": {"tag": ["a", 1]},
    "cacheWriteTokens": 9,
    "cacheWrite1hTokens": 4,
    "reasoningTokens": 3,
    "promptAudioTokens": 2,
    "completionAudioTokens": 1,
    "finishReason": "stop",
    "serviceTier": "flex",
    "responseId": "resp-1",
    "sessionId": "s-1",
    "costSource": "provider",
    "tags": ["team:search"],
    "attemptTrail": [
        {"providerId": "groq", "model": "m", "httpStatus": 429, "latencyMs": 8.5, "errorMessage": "no"},
        {"providerId": "azure", "model": "n", "completionTokens": 5, "cacheWrite1hTokens": 1}
        | {"costUsd": 0.125, "costSource": "provider"},
    ],
}


async def test_one_request_is_whole(tmp_path: Path) -> None:
    """By its id a request has everything that was posted, and so it has on a page."""
    async with running(service_settings(tmp_path)) as client:
        await client.post("/v1/logs", json=entry(error_message="why") | DETAILS)
        await settled(client)
        ((request,), _, _) = (await client.get("/v1/requests?caller=team&error=WHY")).json().values()
        assert request == (await client.get("/v1/requests/1")).json()
    given = [{name: value for name, value in one.items() if value is not None} for one in request.pop("attemptTrail")]
    assert given == DETAILS["attemptTrail"]
    del request["timestamp"]
    assert request == {name: value for name, value in DETAILS.items() if name != "attemptTrail"} | {
        "id": 1,
        "chainName": "fast",
        "providerId": "groq",
        "model": "m",
        "promptTokens": 0,
        "completionTokens": 0,
        "totalTokens": 0,
        "latencyMs": 12,
        "httpStatus": 200,
        "attempts": 2,
        "errorMessage": "why",
    }


async def test_a_request_that_is_not_there_is_404(tmp_path: Path) -> None:
    """An id that no request has is 404, and what is no id is 400."""
    async with running(service_settings(tmp_path)) as client:
        for path, status in (("7", 404), (str(2**63 - 1), 404), (str(2**63), 400), ("x", 400), ("-1", 400), ("٣", 400)):
            reply = await client.get(f"/v1/requests/{path}")
            assert (reply.status_code, reply.json()["error"]["param"]) == (status, "id"), path


async def test_several_names_bounds_and_texts_find_requests_and_count_usage(tmp_path: Path) -> None:
    """A name that is given twice means either, `not` leaves one out, and a request without a caller is one without."""
    entries = [
        entry(
            model="a",
            caller="red",
            latency_ms=10,
            prompt_tokens=5,
            completion_tokens=0,
            cost_usd=0.5,
            metadata={"ticket": "ÄB-1"},
        ),
        entry(
            model="b", caller="blue", latency_ms=20, prompt_tokens=50, completion_tokens=0, cost_usd=None, attempts=3
        ),
        entry(
            model="c",
            caller=None,
            latency_ms=30,
            prompt_tokens=500,
            completion_tokens=0,
            cost_usd=2,
            error_message="Ticket lost",
        ),
    ]
    found = {
        "model=a&model=c": "ca",
        "notModel=a": "cb",
        "notModel=a&notModel=b": "c",
        "model=a&model=b&notCaller=red": "b",
        "caller=": "c",
        "caller=&caller=blue": "cb",
        "notCaller=": "ba",
        "search=TICKET": "ca",
        "search=%C3%84b-1": "a",
        "minTokens=50&maxTokens=100": "b",
        "minCostUsd=0.1": "ca",
        "maxCostUsd=1": "a",
        "minAttempts=2": "b",
        "minLatencyMs=11&maxLatencyMs=30": "cb",
    }
    window = f"from={BEGIN_MS}&until={BEGIN_MS + 1000}"
    async with running(service_settings(tmp_path)) as client:
        await client.post("/v1/logs", json=[one | {"timestamp": BEGIN_MS + at} for at, one in enumerate(entries)])
        await settled(client)
        for query, models in found.items():
            (listed, _, _) = (await client.get(f"/v1/requests?{query}")).json().values()
            assert "".join(one["model"] for one in listed) == models, query
        for query in ("model=a&model=c", "notModel=a", "caller=", "notCaller=", "model=a&model=b&notCaller=red"):
            for route in ("usage", "latency"):
                points = (await client.get(f"/v1/{route}?{window}&by=model&{query}")).json()["points"]
                assert sorted(one["name"] for one in points) == sorted(found[query]), query
        assert (await client.get("/v1/extent")).json() == {"oldest": BEGIN_MS, "newest": BEGIN_MS + 2}


@pytest.mark.parametrize(
    ("param", "values"),
    {
        "from": ("", "soon", "2026-13-01", "1h ago", "9" * 16, "-5", "7", "1703638574", "2678399999"),
        "until": ("1.5", "24", "24h&until=1h")[:1],
        "status": ("", "200,429", "6xx", "099", "4XX", "error"),
        "minLatencyMs": ("", "-1", "nan", "inf", "1_0", "0x1", "1e99", "٣"),
        "cursor": ("", "abc", "1_2_3", "_"),
        "limit": ("0", "501", "1.0"),
        "error": ("x" * 1001, "a%00b"),
        "chain": ("x" * 1001, "&chain=".join("a" * 101)),
        "maxCostUsd": ("", "-1", "cheap"),
        "search": ("x" * 1001, "a&search=b"),
    }.items(),
)
async def test_a_bad_parameter_is_refused_with_the_reason(tmp_path: Path, param: str, values: tuple[str, ...]) -> None:
    """What cannot be understood is 400: the parameter is named, and the message says what would do."""
    async with running(service_settings(tmp_path)) as client:
        for value in values:
            reply = await client.get(f"/v1/requests?{param}={value}")
            assert (reply.status_code, reply.json()["error"]["param"]) == (400, param), value
            assert f"{param} is " in reply.json()["error"]["message"]
            assert "; give one " in reply.json()["error"]["message"]


async def test_an_unknown_parameter_is_refused_with_those_that_are_known(tmp_path: Path) -> None:
    """A slip of the pen is not passed over, for it would show requests that nobody asked for."""
    async with running(service_settings(tmp_path)) as client:
        reply = await client.get("/v1/requests?provider_id=x")
        assert (reply.status_code, reply.json()["error"]["param"]) == (400, "provider_id")
        assert "'provider'" in reply.json()["error"]["message"]
        reply = await client.get("/v1/requests?from=1m")
        assert reply.status_code == 400
        assert reply.json()["error"]["message"] == "from: '1m' could mean minutes or months: 1min or 1mo?"
        reply = await client.get("/v1/requests?from=1h&until=2h")
        assert (reply.status_code, reply.json()["error"]["param"]) == (400, "until")
        assert "before it starts" in reply.json()["error"]["message"]
        for path in ("/v1/requests", "/v1/requests/export"):
            reply = await client.get(f"{path}?from=2099-01-01")
            assert (reply.status_code, reply.json()["error"]["param"]) == (400, "from")
            assert "in the future, at 2099-01-01T00:00:00Z; it is 20" in reply.json()["error"]["message"]
        assert (await client.get("/v1/requests?from=2099-01-01&until=2100-01-01")).json()["requests"] == []


async def test_times_are_taken_as_people_write_them(tmp_path: Path) -> None:
    """A time may be ms, ISO 8601 with any zone, its plus encoded or not, or a duration back from now."""
    async with running(service_settings(tmp_path)) as client:
        await client.post("/v1/logs", json=[entry(timestamp=1_764_057_600_000), entry()])
        await settled(client)
        for time in (
            "1764057600001",
            "2025-11-25T08:00:01",
            "2025-11-25T08:00:01Z",
            "2025-11-25T10:00:01+02:00",
            "2025-11-25T10:00:01%2B02:00",
            "10min",
        ):
            for name, ids in (("from", [2]), ("until", [1])):
                reply = await client.get(f"/v1/requests?{name}={time}")
                assert [request["id"] for request in reply.json()["requests"]] == ids, (name, time)


FOR_EVER = "WITH RECURSIVE n (i) AS (VALUES (:id) UNION ALL SELECT i + 1 FROM n) SELECT i FROM n WHERE i < 0"


async def test_a_slow_query_is_cut_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A query that takes longer than read_timeout_ms is 504, and the message says what to do."""
    monkeypatch.setattr(requests, "query_for", lambda _where: FOR_EVER)
    async with running(service_settings(tmp_path, read_timeout_ms=100)) as client:
        reply = await client.get("/v1/requests")
        assert (await client.get("/v1/stats/summary")).status_code == 200
    assert (reply.status_code, reply.json()["error"]["code"]) == (504, "query_timeout")
    assert "read_timeout_ms" in reply.json()["error"]["message"]


async def test_the_books_need_a_key(tmp_path: Path) -> None:
    """`/v1/statistics` is the accounting of `/health`, for holders of a key."""
    async with running(service_settings(tmp_path, server={"api_keys": ["k"]}), key="k") as client:
        await client.post("/v1/logs", json=[entry(), entry(model=1)])
        await settled(client)
        books = (await client.get("/v1/statistics")).json()
        assert (books["submitted"], books["written"], books["dropped"]) == (2, 1, {"invalid": 1})
        assert books.keys() == (await client.get("/health")).json()["accounting"].keys()
        assert (await client.get("/v1/statistics", headers={"Authorization": "no"})).status_code == 401
