"""``GET /v1/stats/…``."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from urllib.parse import quote

import pytest

from chainlog_async import UsageAggregator
from tests.support.service import BEGIN_MS, entry, running, service_settings, settled

DATA = Path(__file__).resolve().parents[4] / "shared" / "data"
ORIGINAL = DATA / "429chain-v2.db"
EXPECTED = DATA / "429chain-v2.expected.json"


@pytest.mark.skipif(not EXPECTED.exists(), reason=f"{EXPECTED.name} is not in ../shared/data")
async def test_the_originals_database_is_answered_as_the_original_does(tmp_path: Path) -> None:
    """Every read of a database that 429chain wrote gives, field for field, what 429chain itself answers."""
    expected = json.loads(EXPECTED.read_text("utf-8"))
    settings = service_settings(tmp_path)
    shutil.copyfile(ORIGINAL, settings.db_path)
    async with running(settings) as client:

        async def get(path: str) -> object:
            reply = await client.get(path)
            assert (reply.status_code, reply.headers["content-type"]) == (200, "application/json")
            return reply.json()

        assert await get("/v1/stats/summary") == {"summary": expected["summary"]}
        assert await get("/v1/stats/providers") == {"providers": expected["providers"]}
        assert await get("/v1/stats/chains") == {"chains": expected["chains"]}
        assert await get("/v1/stats/requests") == {"requests": expected["recent"]}
        for usage in expected["providers"]:
            assert await get(f"/v1/stats/providers/{quote(usage['providerId'], safe='')}") == usage
        for usage in expected["chains"]:
            assert await get(f"/v1/stats/chains/{quote(usage['chainName'], safe='')}") == usage


async def test_an_empty_log_is_zeros(tmp_path: Path) -> None:
    """Before the first entry every read answers, with zeros and empty lists."""
    async with running(service_settings(tmp_path)) as client:
        answers = [(await client.get(f"/v1/stats/{name}")).json() for name in ("summary", "providers", "chains")]
        requests = (await client.get("/v1/stats/requests")).json()
    assert answers[0] == {"summary": {"totalRequests": 0, "waterfallRequests": 0, "avgLatencyMs": 0}}
    assert [*answers[1:], requests] == [{"providers": []}, {"chains": []}, {"requests": []}]


ODD_NAMES = (
    "openrouter/meta/llama",
    "a b",
    "50%",
    "a%2Fb",
    "große-kette-日本 🙂",
    "?x=1#y",
    "line\nbreak",
    "/lead",
    "trail/",
    ".",
)


async def test_odd_names_can_be_asked_for(tmp_path: Path) -> None:
    """A name is found whatever characters it has, its slashes encoded or not."""
    async with running(service_settings(tmp_path)) as client:
        await client.post("/v1/logs", json=[entry(provider_id=name, chain_name=name) for name in ODD_NAMES])
        await settled(client)
        for name in ODD_NAMES:
            for kept in ("", "/"):
                encoded = quote(name, safe=kept).replace(".", "%2E")
                provider = await client.get(f"/v1/stats/providers/{encoded}")
                chain = await client.get(f"/v1/stats/chains/{encoded}")
                assert (provider.json()["providerId"], chain.json()["chainName"]) == (name, name)


@pytest.mark.parametrize("kind", ["provider", "chain"])
async def test_an_unknown_name_is_404(tmp_path: Path, kind: str) -> None:
    """A name that was never logged gets 404, in the shape of every error."""
    async with running(service_settings(tmp_path)) as client:
        reply = await client.get(f"/v1/stats/{kind}s/nobody")
        error = {"type": "invalid_request_error", "param": None, "code": "not_found"}
        assert reply.status_code == 404
        assert reply.json() == {"error": {"message": f"No usage data for {kind}", **error}}


async def test_limit_is_50_unless_told_and_500_at_most(tmp_path: Path) -> None:
    """The newest requests come 50 at a time, or as many as asked for, from 1 to 500."""
    async with running(service_settings(tmp_path)) as client:
        await client.post("/v1/logs", json=[entry(timestamp=BEGIN_MS + number) for number in range(510)])
        await settled(client)
        for query, newest in (("", 50), ("?limit=1", 1), ("?limit=500", 500), ("?limit=007", 7)):
            rows = (await client.get(f"/v1/stats/requests{query}")).json()["requests"]
            assert [row["timestamp"] - BEGIN_MS for row in rows] == list(range(509, 509 - newest, -1))


BAD_LIMITS = ("0", "501", "-1", "abc", "", "1.5", "+5", "%205", "٣", "1e2", "9" * 5000, "1&limit=2", "%FF")


async def test_a_bad_limit_is_refused_with_the_reason(tmp_path: Path) -> None:
    """What is not one whole number from 1 to 500 gets 400 and a message that says what would do."""
    async with running(service_settings(tmp_path)) as client:
        for limit in BAD_LIMITS:
            reply = await client.get(f"/v1/stats/requests?limit={limit}")
            assert (reply.status_code, reply.json()["error"]["param"]) == (400, "limit"), limit
            assert "from 1 to 500" in reply.json()["error"]["message"]


async def test_an_unknown_parameter_is_refused_by_name(tmp_path: Path) -> None:
    """A parameter nobody knows is not passed over: it may be a slip of the pen."""
    async with running(service_settings(tmp_path)) as client:
        for path in ("requests", "summary", "providers", "providers/x", "chains", "chains/x"):
            reply = await client.get(f"/v1/stats/{path}?limits=5")
            assert (reply.status_code, reply.json()["error"]["param"]) == (400, "limits"), path
            assert "'limits'" in reply.json()["error"]["message"]


async def test_a_database_that_cannot_be_read_is_503(tmp_path: Path) -> None:
    """When the file has gone, a read says that and which, instead of an empty answer."""
    settings = service_settings(tmp_path)
    async with running(settings) as client:
        settings.db_path.rename(tmp_path / "moved.db")
        reply = await client.get("/v1/stats/summary")
    assert (reply.status_code, reply.json()["error"]["code"]) == (503, "database_unavailable")
    assert "log.db" in reply.json()["error"]["message"]


async def test_errors_are_json_of_one_shape(tmp_path: Path) -> None:
    """Unknown routes and methods are answered in the same JSON shape as every other error."""
    async with running(service_settings(tmp_path)) as client:
        for method, path, status, code in (
            ("GET", "/nothing", 404, "not_found"),
            ("GET", "/v1/stats", 404, "not_found"),
            ("GET", "/v1/stats/summary//", 404, "not_found"),
            ("GET", "/v1/logs", 405, "method_not_allowed"),
            ("GET", "/v1/logs/", 405, "method_not_allowed"),
            ("DELETE", "/v1/stats/providers/x", 405, "method_not_allowed"),
        ):
            reply = await client.request(method, path)
            error = reply.json()["error"]
            assert (reply.status_code, error["code"]) == (status, code), path
            assert error.keys() == {"message", "type", "param", "code"}
            assert ("allow" in reply.headers) is (status == 405)
            if status == 405:
                assert error["message"].endswith("; use POST" if path.startswith("/v1/logs") else "; use GET")


async def test_head_is_get_without_a_body(tmp_path: Path) -> None:
    """HEAD is answered like GET, with nothing after the headers."""
    async with running(service_settings(tmp_path)) as client:
        reply = await client.head("/v1/stats/summary")
    assert (reply.status_code, reply.content) == (200, b"")


async def test_an_unforeseen_error_tells_no_details(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A fault in the server is 500 in JSON; what it was stands in the log alone."""

    async def fail(_self: UsageAggregator) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr(UsageAggregator, "get_summary_stats", fail)
    async with running(service_settings(tmp_path)) as client:
        reply = await client.get("/v1/stats/summary")
        assert (await client.get("/health")).status_code == 200
    assert (reply.status_code, reply.json()["error"]["code"]) == (500, "internal_error")
    assert "a secret" not in reply.text
    assert "a secret" in caplog.text
