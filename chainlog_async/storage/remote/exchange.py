"""Requests to a `chainlog serve`: within a deadline, with bounded answers, and with every failure named."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote, urlencode

import anyio

from chainlog_async.common.cancellation import run_in_thread
from chainlog_async.common.extras import install_command
from chainlog_async.errors import ClosedError, MissingExtraError, RemoteError, SettingsError

from .errors import error_of

if TYPE_CHECKING:
    import httpx

    from chainlog_async.settings import Settings

CONNECT_TIMEOUT_S: Final = 5.0
"""How long a connection may take, in seconds."""

KEEP_ALIVE_S: Final = 2.5
"""How long an idle connection is used again, in seconds: a `chainlog serve` closes it after 5."""

MAX_ANSWER_BYTES: Final = 256 * 1024 * 1024
"""Size of the largest answer that is read, in bytes; a page of 500 requests with the largest metadata is smaller."""


class Reply(NamedTuple):
    """An answer with the status 200."""

    content_type: str
    body: bytes


class Exchange:
    """One server, and the connections to it. Nothing is sent before the first `request`.

    Redirects are not followed, and no proxy of the environment is used: the log goes to the host that was named.
    """

    def __init__(self, settings: Settings, *, timeout_s: float, connections: int) -> None:
        assert settings.db_url is not None  # noqa: S101  # whoever chose this engine has read it there
        self.server = settings.db_url.shown
        """The server in words."""
        self._base = settings.db_url.get_secret_value().rstrip("/")
        self._timeout_s = timeout_s
        self._connections = connections
        self._headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "chainlog-async"}
        if settings.db_key is not None:
            self._headers["Authorization"] = f"Bearer {settings.db_key.get_secret_value()}"
        self._loading = anyio.Lock()
        self._verify: ssl.SSLContext | None = None
        # The transport alone, and not the client around it: it logs each request, follows proxies of the environment
        # and keeps cookies, none of which a log shipper should do.
        self._transport: httpx.AsyncHTTPTransport | None = None
        self._is_closed = False

    async def load(self) -> httpx.AsyncHTTPTransport:
        """Makes ready what the first request needs.

        Raises `MissingExtraError`, `SettingsError` for a host that HTTP cannot name, and `ClosedError` after `aclose`.
        """
        async with self._loading:
            if self._is_closed:
                raise ClosedError("the log is shut down; open a new one")
            if self._transport is None:
                # Importing and reading certificates takes a while: not on the event loop.
                self._transport = await run_in_thread(self._new_transport)
            return self._transport

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, object] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Sends a request and returns its answer.

        Raises `RemoteError` for whatever keeps the server from answering, and what `error_of` makes of other answers.
        """
        transport = await self.load()
        import httpx

        url = f"{self._base}{quote(path)}{'?' + urlencode(query) if query else ''}"
        timeout = {"connect": CONNECT_TIMEOUT_S, "read": None, "write": None, "pool": None}
        request = httpx.Request(
            method, url, content=body, headers={**self._headers, **(headers or {})}, extensions={"timeout": timeout}
        )
        try:
            with anyio.fail_after(self._timeout_s):
                status, location, content_type, answer = await _send(transport, request)
        except TimeoutError:
            raise RemoteError(
                f"{self.server} did not answer within {self._timeout_s:g} s; look at its log, its load and the network"
            ) from None
        except httpx.ConnectTimeout:
            raise RemoteError(
                f"{self.server} cannot be reached within {CONNECT_TIMEOUT_S:g} s; check db_url and the network"
            ) from None
        except (httpx.ConnectError, ssl.SSLError) as error:
            raise RemoteError(
                f"{self.server} cannot be reached: {str(error) or 'no connection'}; start `chainlog serve` there, or "
                "correct db_url"
            ) from None
        except (httpx.TransportError, httpx.InvalidURL, OSError) as error:
            detail = str(error) or type(error).__name__
            raise RemoteError(
                f"the connection to {self.server} broke: {detail}; look at its log and the network"
            ) from None
        if status != 200:
            raise error_of(self.server, status, answer, location)
        return Reply(content_type, answer)

    async def reset(self) -> None:
        """Closes the connections; the next request opens a new one."""
        transport, self._transport = self._transport, None
        if transport is not None:
            with anyio.CancelScope(shield=True):
                await transport.aclose()

    async def aclose(self) -> None:
        """Closes the connections for good."""
        self._is_closed = True
        await self.reset()

    def _new_transport(self) -> httpx.AsyncHTTPTransport:
        try:
            import httpx
        except ModuleNotFoundError as error:
            raise MissingExtraError(f"an http(s) db_url needs httpx; {install_command('remote')}") from error
        try:
            # Reading the host decodes it.
            httpx.Request("GET", self._base).url.host  # noqa: B018
        except (httpx.InvalidURL, UnicodeError) as error:
            raise SettingsError(f"db_url names a host that HTTP cannot name ({error}); correct {self.server}") from None
        if self._verify is None and self._base.startswith("https:"):
            self._verify = httpx.create_ssl_context()
        limits = httpx.Limits(
            max_connections=self._connections,
            max_keepalive_connections=self._connections,
            keepalive_expiry=KEEP_ALIVE_S,
        )
        # Without https there is nothing to verify.
        return httpx.AsyncHTTPTransport(verify=self._verify or False, limits=limits)


async def _send(transport: httpx.AsyncHTTPTransport, request: httpx.Request) -> tuple[int, str | None, str, bytes]:
    response = await transport.handle_async_request(request)
    try:
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > MAX_ANSWER_BYTES:
                raise RemoteError(f"{request.url.host} answers with more than {MAX_ANSWER_BYTES} bytes; correct db_url")
    finally:
        with anyio.CancelScope(shield=True):
            await response.aclose()
    headers = response.headers
    return response.status_code, headers.get("location"), headers.get("content-type", ""), bytes(body)
