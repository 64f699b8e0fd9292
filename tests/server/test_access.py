"""Who may talk to the service, and where it may listen."""

from __future__ import annotations

import socket
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from chainlog_async import ChainLog
from chainlog_async.errors import SettingsError
from chainlog_async.server import check_bind, create_app
from chainlog_async.server.listen import bound_socket
from chainlog_async.server.loopback import is_loopback
from tests.support.service import KEY, OTHER_KEY, entry, running, service_settings, serving

MISSING = "Missing or invalid API key. Provide a valid key in the Authorization header as Bearer <key>."
WITH_KEYS = {"api_keys": [KEY, OTHER_KEY]}


async def test_any_of_the_keys_opens(tmp_path: Path) -> None:
    """Each of the keys is good for writing and for reading."""
    async with running(service_settings(tmp_path, server=WITH_KEYS)) as client:
        for header in (f"Bearer {KEY}", f"Bearer {OTHER_KEY}", f"bearer  {KEY}"):
            headers = {"Authorization": header}
            assert (await client.post("/v1/logs", json=entry(), headers=headers)).status_code == 202
            assert (await client.get("/v1/stats/summary", headers=headers)).status_code == 200


WRONG = "Invalid API key provided."
BAD_HEADERS = (
    (None, MISSING),
    (b"", MISSING),
    (b"Bearer", MISSING),
    (b"Basic Zmlyc3Qta2V5", MISSING),
    (KEY.encode(), MISSING),
    (b"Bearer wrong", WRONG),
    (b"Bearer " + KEY.encode() + b"x", WRONG),
    (b"Bearer " + KEY[:-1].encode(), WRONG),
    (b"Bearer \xc3\xa4\xff", WRONG),
)


async def test_without_a_key_nothing_opens(tmp_path: Path) -> None:
    """Without a good key every path but /health is 401 in the original's words, even one that does not exist."""
    async with running(service_settings(tmp_path, server=WITH_KEYS)) as client:
        for header, message in BAD_HEADERS:
            headers = {} if header is None else {b"Authorization": header}
            error = {"message": message, "type": "invalid_request_error", "param": None, "code": "invalid_api_key"}
            for path in ("/v1/logs", "/v1/stats/summary", "/v1/stats/providers//health", "/elsewhere"):
                reply = await client.post(path, json=entry(), headers=headers)
                assert (reply.status_code, reply.json()) == (401, {"error": error}), header
                assert reply.headers["www-authenticate"] == "Bearer"
            assert (await client.get("/health", headers=headers)).json()["accounting"]["submitted"] == 0


async def test_keys_make_the_host_name_free(tmp_path: Path) -> None:
    """With keys the service may be asked under any name, and from any page that knows one."""
    headers = {"Authorization": f"Bearer {KEY}", "Host": "logs.example", "Origin": "https://ui.example"}
    async with running(service_settings(tmp_path, server=WITH_KEYS)) as client:
        assert (await client.post("/v1/logs", json=entry(), headers=headers)).status_code == 202


async def test_without_keys_this_machine_may_ask(tmp_path: Path) -> None:
    """Without keys the service answers to every name of the loopback."""
    async with running(service_settings(tmp_path)) as client:
        for host in ("localhost", "LOCALHOST:80", "127.0.0.1:4290", "127.9.9.9", "[::1]:4290"):
            headers = {"Host": host, "Origin": f"http://{host}"}
            assert (await client.post("/v1/logs", json=entry(), headers=headers)).status_code == 202, host


async def test_without_keys_no_other_machine_is_answered(tmp_path: Path) -> None:
    """Run by a server that listens everywhere, the application still answers to nobody but this machine."""
    app = create_app(ChainLog(service_settings(tmp_path)), already_running=True)
    statuses = []
    for client in ("192.0.2.1", "::ffff:192.0.2.1", "127.0.0.1", "::1"):
        transport = httpx.ASGITransport(app, client=(client, 4711))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as caller:
            statuses.append((await caller.get("/elsewhere")).status_code)
    assert statuses == [403, 403, 404, 404]


async def test_without_keys_no_other_name_is_answered(tmp_path: Path) -> None:
    """A site that makes its own name resolve to 127.0.0.1 reads and writes nothing."""
    async with running(service_settings(tmp_path)) as client:
        for host in ("evil.example", "localhost.evil.example", "192.168.0.7", "0.0.0.0", "[::1", "["):
            for path in ("/v1/stats/summary", "/health"):
                reply = await client.get(path, headers={"Host": host})
                assert (reply.status_code, reply.json()["error"]["code"]) == (421, "host_not_allowed"), host
                assert "server.api_keys" in reply.json()["error"]["message"]


async def test_without_keys_no_foreign_page_may_write(tmp_path: Path) -> None:
    """A page of another site cannot post entries through the browser of whoever runs the service."""
    async with running(service_settings(tmp_path)) as client:
        for origin in ("https://evil.example", "null", "http://127.0.0.1.evil.example", "http://["):
            reply = await client.post("/v1/logs", json=entry(), headers={"Origin": origin})
            assert (reply.status_code, reply.json()["error"]["code"]) == (403, "origin_not_allowed"), origin
        assert (await client.get("/health")).json()["accounting"]["submitted"] == 0


async def test_a_gateway_can_mount_it(tmp_path: Path) -> None:
    """Under a path of a gateway that runs the log itself, keys are asked for and /health is open as ever."""
    chainlog = ChainLog(service_settings(tmp_path, server=WITH_KEYS))
    inner = create_app(chainlog, already_running=True)
    gateway = Starlette(routes=[Mount("/logs", inner)], lifespan=chainlog.lifespan)
    async with serving(gateway) as client:
        headers = {"Authorization": f"Bearer {KEY}"}
        assert (await client.get("/logs/health")).status_code == 200
        assert (await client.get("/logs/v1/stats/summary")).status_code == 401
        assert (await client.post("/logs/v1/logs", json=entry(provider_id="a/b"), headers=headers)).status_code == 202
        await chainlog.flush()
        reply = await client.get("/logs/v1/stats/providers/a%2Fb", headers=headers)
        assert reply.json()["totalRequests"] == 1


async def test_the_application_runs_by_itself(tmp_path: Path) -> None:
    """Given to any ASGI server, the application opens its log and closes it again."""
    chainlog = ChainLog(service_settings(tmp_path))
    async with serving(create_app(chainlog)) as client:
        assert (await client.post("/v1/logs", json=entry())).status_code == 202
    assert chainlog.statistics().written == 1
    assert chainlog.health().status == "failed"


@pytest.mark.parametrize(
    ("host", "answer"),
    [
        ("localhost", True),
        ("localhost.", True),
        ("127.0.0.1", True),
        ("127.255.0.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("", False),
        ("128.0.0.1", False),
        ("fe80::1", False),
        ("mylocalhost", False),
    ],
)
def test_loopback_is_known_by_name_and_number(host: str, *, answer: bool) -> None:
    """Only localhost, 127.0.0.0/8 and ::1 count as this machine."""
    assert is_loopback(host) is answer


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "0", "192.0.2.1"])
def test_without_keys_other_machines_cannot_be_let_in(tmp_path: Path, host: str) -> None:
    """A host that others can reach is refused by name, with both remedies, unless there are keys."""
    with pytest.raises(SettingsError, match=r"server\.host") as refused:
        check_bind(service_settings(tmp_path, server={"host": host}))
    assert repr(host) in str(refused.value)
    assert "server.api_keys" in str(refused.value)
    assert "127.0.0.1" in str(refused.value)
    check_bind(service_settings(tmp_path, server={"host": host, **WITH_KEYS}))


def test_a_name_counts_as_what_it_resolves_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name is loopback only when all of its addresses are."""
    addresses = ["127.0.0.1"]

    def resolve(_host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    settings = service_settings(tmp_path, server={"host": "box"})
    assert check_bind(settings).host == "127.0.0.1"
    addresses.append("192.0.2.1")
    with pytest.raises(SettingsError, match="'box'"):
        check_bind(settings)


@pytest.mark.parametrize("host", ["no-such-name.invalid", "a" * 70, "1.2.3.4.5"])
def test_a_name_that_means_nothing_is_refused(tmp_path: Path, host: str) -> None:
    """A host that cannot be resolved is a SettingsError that names it."""
    with pytest.raises(SettingsError, match=f"server.host '{host}'"):
        check_bind(service_settings(tmp_path, server={"host": host}))


def test_replies_are_not_held_back(tmp_path: Path) -> None:
    """The socket says it is TCP: asyncio looks for that before it switches off a delay of 40 ms per reply."""
    with bound_socket(check_bind(service_settings(tmp_path))) as sock:
        assert sock.proto == socket.IPPROTO_TCP
