"""Whatever the server does, the gateway accepts its entries, says what is wrong, and ships them once it is right."""

from __future__ import annotations

import asyncio
import gzip
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from anyio.abc import SocketStream

from chainlog_async import ChainLog, UsageAggregator
from chainlog_async.entry.batch import Batch
from chainlog_async.errors import DatabaseError, MissingExtraError, SettingsError
from chainlog_async.settings import Settings
from chainlog_async.storage.remote import storage as remote
from chainlog_async.storage.remote.errors import BodyTooLargeError
from chainlog_async.storage.remote.exchange import Reply
from chainlog_async.storage.remote.storage import RemoteStorage
from tests.support.entries import entry
from tests.support.service import KEY, running, service_settings
from tests.support.service import entry as posted
from tests.support.serving import server_beside
from tests.support.writing import check_law, query, stored, until

Answer = Callable[[SocketStream], object]

JSON = "application/json"


def http(status: str, body: str, content_type: str = "text/html", *headers: str, length: int | None = None) -> bytes:
    """An answer."""
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {content_type}", f"Content-Length: {length or len(body)}", *headers]
    return ("\r\n".join([*lines, "Connection: close", "", ""]) + body).encode()


def error(message: str, code: str) -> str:
    """The JSON of a refusal."""
    return f'{{"error": {{"message": "{message}", "type": "server_error", "param": null, "code": "{code}"}}}}'


PAGE = "<html><body>Welcome to nginx!</body></html>"
PORTAL = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + PAGE
ANSWERS: dict[str, tuple[bytes, str]] = {
    "a page of a proxy": (http("200 OK", PAGE), "answers what no `chainlog serve` answers (text/html: '<html><body>W"),
    "a page without a length": (PORTAL.encode(), "answers what no `chainlog serve` answers"),
    "other JSON": (http("200 OK", '{"ok": true}', JSON), "answers what no `chainlog serve` answers"),
    "nothing at all": (http("200 OK", "", JSON), "an empty body"),
    "the position of another writer": (
        http("200 OK", '{"protocol": 1, "writer": "w", "position": 999999}', JSON),
        "answers what no `chainlog serve` answers",
    ),
    "another version": (
        http("200 OK", '{"protocol": 2, "writer": "w", "position": 9}', JSON),
        "speaks version 2 of the exchange, and this release version 1",
    ),
    "half an answer": (http("200 OK", '{"prot', JSON, length=50), "the connection to http://127.0.0.1"),
    "no HTTP": (b"220 mail.example.org ESMTP\r\n", "the connection to http://127.0.0.1"),
    "no answer": (b"", "the connection to http://127.0.0.1"),
    "a redirect": (
        http("302 Found", "", "text/html", "Location: https://login.example.org/"),
        "answers with a redirect to https://login.example.org/ (302); set db_url to the service itself",
    ),
    "a wrong key": (
        http("401 Unauthorized", error("no", "x"), JSON),
        "does not accept db_key (401); set db_key",
    ),
    "a key that may not": (
        http("403 Forbidden", error("this key may only read", "x"), JSON),
        "refuses this with that db_key (403): this key may only read; set db_key to a key that may",
    ),
    "an older release": (http("404 Not Found", error("nothing", "x"), JSON), "has no such route (404): there is no"),
    "the limit of a proxy": (http("413 Too Large", PAGE), "takes no body of that size (413)"),
    "an older schema": (
        http("409 Conflict", error("the lines have 20 fields: install a newer one", "newer_client"), JSON),
        "refuses the request (409): the lines have 20 fields: install a newer one",
    ),
    "too many requests": (http("429 Slow Down", PAGE), "refuses the request (429): '<html>"),
    "a proxy without a server": (http("502 Bad Gateway", PAGE), "(502): '<html><body>Welcome to nginx!</body></html>'"),
    "a busy server": (http("503 Busy", error("it is locked", "x"), JSON), "cannot do it now (503): it is locked"),
    "a full disk": (http("507 Insufficient", error("disk full", "x"), JSON), "cannot do it now (507): disk full"),
}


@asynccontextmanager
async def server_that_says(answer: bytes | None, *, until: bytes = b"\r\n\r\n") -> AsyncIterator[int]:
    """The port of a server that gives this answer to whatever ends like that; None never answers."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(until)
            if answer is None:
                await reader.read()
            else:
                writer.write(answer)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
    return port


async def ships_in_the_end(tmp_path: Path, port: int, chainlog: ChainLog) -> None:
    """With a server on that port everything arrives, once and in order."""
    with server_beside(service_settings(tmp_path, server={"port": port, "api_keys": [KEY]})):
        with anyio.fail_after(20):
            await chainlog.flush()
        assert chainlog.health().status == "ok", chainlog.health()
        check_law(chainlog.statistics())
    assert await stored(tmp_path / "log.db") == [f"m{number}" for number in range(30)]


async def refused(chainlog: ChainLog, reason: str) -> None:
    """Entries are accepted at once, and health says why they are not written."""
    for number in range(30):
        assert chainlog.log_request(entry(model=f"m{number}"))
    await until(lambda: any(reason in text for text in chainlog.health().reasons))
    health = chainlog.health()
    assert health.status == "degraded"
    assert KEY not in str(health)
    assert chainlog.statistics().pending == 30


def gateway(tmp_path: Path, port: int, scheme: str = "http") -> ChainLog:
    """One that ships there."""
    own = tmp_path / "gateway" / "o.db"
    return ChainLog(Settings(db_url=f"{scheme}://127.0.0.1:{port}", db_key=KEY, db_path=own, shutdown_timeout_ms=500))


@pytest.mark.parametrize("what", ANSWERS)
@pytest.mark.usefixtures("short_pauses")
async def test_a_wrong_answer_costs_nothing(tmp_path: Path, what: str) -> None:
    """Health names the server, the answer and the remedy."""
    answer, reason = ANSWERS[what]
    async with server_that_says(answer) as port:
        chainlog = gateway(tmp_path, port)
        await chainlog.__aenter__()
        await refused(chainlog, reason)
    await ships_in_the_end(tmp_path, port, chainlog)
    await chainlog.__aexit__(None, None, None)


@pytest.mark.usefixtures("short_pauses")
async def test_a_server_that_is_not_there_costs_nothing(tmp_path: Path) -> None:
    """Not at the start either: the log opens without it."""
    port = free_port()
    async with gateway(tmp_path, port) as chainlog:
        await refused(chainlog, "cannot be reached")
        await ships_in_the_end(tmp_path, port, chainlog)


@pytest.mark.usefixtures("short_pauses")
async def test_a_server_that_hangs_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer is waited for as long as it may take, and then the batch is sent again."""
    monkeypatch.setattr(remote, "COMMIT_TIMEOUT_S", 0.2)
    async with server_that_says(None) as port:
        chainlog = gateway(tmp_path, port)
        await chainlog.__aenter__()
        await refused(chainlog, "did not answer within 0.2 s")
    await ships_in_the_end(tmp_path, port, chainlog)
    await chainlog.__aexit__(None, None, None)


@pytest.mark.usefixtures("short_pauses")
async def test_a_server_without_tls_is_no_https(tmp_path: Path) -> None:
    """It is said so, and nothing is sent in the clear."""
    answer = http("400 Bad Request", PAGE)
    async with server_that_says(answer, until=b"\x16") as port, gateway(tmp_path, port, "https") as chainlog:
        await refused(chainlog, "https://127.0.0.1")
        assert "SSL" in chainlog.health().reasons[0]


async def test_a_server_that_takes_little_gets_small_batches(tmp_path: Path) -> None:
    """A batch is split until its parts fit; a row that never does is kept as rejected, by its beginning."""
    with server_beside(service_settings(tmp_path, server={"max_body_bytes": 1024, "api_keys": [KEY]})) as url:
        async with gateway(tmp_path, int(url.rpartition(":")[2])) as chainlog:
            for number in range(60):
                long = "all of it " * 800 if number == 31 else None
                assert chainlog.log_request(entry(model=f"m{number}", error_message=long))
            with anyio.fail_after(20):
                await chainlog.flush()
            assert chainlog.statistics().dropped == {"rejected": 1}
    assert await stored(tmp_path / "log.db") == [f"m{number}" for number in range(60) if number != 31]
    ((line, reason),) = query(tmp_path / "log.db", "SELECT entry, error FROM rejected_entries")
    assert "m31" in str(line)
    assert "takes no body of that size (413)" in str(reason)


async def test_a_limit_that_is_raised_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that had to split its batches sends them whole again after a while."""
    now = 0.0
    monkeypatch.setattr(remote, "monotonic", lambda: now)
    sizes: list[int] = []
    limit = 100

    class Limited:
        server = "http://log"

        async def request(self, *_: object, body: bytes, **__: object) -> Reply:
            size = len(gzip.decompress(body))
            sizes.append(size)
            if size > limit:
                raise BodyTooLargeError("413", of_server=True)
            return Reply(JSON, f'{{"protocol": 1, "writer": "w", "position": {size}}}'.encode())

    storage = RemoteStorage(Settings(db_url="http://log", db_path=tmp_path / "o.db"))
    monkeypatch.setattr(storage, "_exchange", Limited())
    batch = Batch("w", 0, b"x" * 99 + b"\n" + b"x" * 99 + b"\n", 2)
    for _ in range(2):
        with pytest.raises(BodyTooLargeError):
            await storage.commit(batch)
    limit = 1000
    now = remote.LIMIT_FOR_S
    await storage.commit(batch)
    assert sizes == [200, 200]


@pytest.mark.parametrize("host", ["xn--€.example", "xn--a", f"é{'a' * 80}", "☃.example"])
async def test_a_host_that_http_cannot_name_is_refused_when_the_log_opens(tmp_path: Path, host: str) -> None:
    """By the name of the setting, also where the log is only read, and not by an error of the HTTP library."""
    settings = Settings(db_url=f"http://{host}:4290", db_path=tmp_path / "o.db")
    with pytest.raises(SettingsError, match=r"db_url names a host that HTTP cannot name .*; correct http"):
        async with ChainLog(settings):
            pass
    usage = UsageAggregator.from_settings(settings)
    with pytest.raises(SettingsError, match="db_url names a host that HTTP cannot name"):
        await usage.get_summary_stats()
    await usage.aclose()


async def test_without_httpx_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the start, and nothing stays open."""
    monkeypatch.setitem(sys.modules, "httpx", None)
    with pytest.raises(MissingExtraError, match=r"an http\(s\) db_url needs httpx; .*\[remote"):
        await gateway(tmp_path, 1).__aenter__()


@pytest.mark.usefixtures("short_pauses")
async def test_a_relay_does_not_say_to_strangers_where_it_ships(tmp_path: Path) -> None:
    """Its /health needs no key, and so names no host."""
    port = free_port()
    relay = service_settings(tmp_path, db_url=f"http://127.0.0.1:{port}/path", shutdown_timeout_ms=100)
    async with running(relay) as client:
        await client.post("/v1/logs", json=posted())
        health: dict[str, list[str]] = {"reasons": []}
        with anyio.fail_after(20):
            while not health["reasons"]:
                health = (await client.get("/health")).json()
    assert "db_url cannot be reached" in health["reasons"][0]
    assert str(port) not in str(health)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (http("200 OK", PAGE), "answers what no `chainlog serve` answers"),
        (http("200 OK", '{"protocol": 1, "answer": [{"providerId": "p"}]}', JSON), "answers as another release does"),
        (http("200 OK", '{"protocol": 2, "answer": []}', JSON), "speaks version 2"),
        (http("403 Forbidden", error("this key may only write", "x"), JSON), "this key may only write; set db_key to"),
        (http("503 Busy", error("it is locked", "x"), JSON), "cannot do it now (503): it is locked"),
    ],
)
async def test_a_wrong_answer_to_a_question_is_named(answer: bytes, reason: str) -> None:
    """It is an error of the database, as all that keeps a question from being answered."""
    async with server_that_says(answer) as port:
        usage = UsageAggregator.from_settings(Settings(db_url=f"http://127.0.0.1:{port}"))
        with pytest.raises(DatabaseError) as raised:
            await usage.get_all_provider_usage()
        await usage.aclose()
    assert reason in str(raised.value)
