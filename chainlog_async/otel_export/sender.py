"""Posts spans to the endpoint of the settings, and tells from its answer what to do next."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import TYPE_CHECKING, Final

import anyio
import msgspec

from chainlog_async.common.cancellation import run_in_thread
from chainlog_async.common.extras import install_command
from chainlog_async.errors import MissingExtraError

if TYPE_CHECKING:
    import httpx

    from chainlog_async.settings import OtelExportSettings

SEND_TIMEOUT_S: Final = 30.0
"""How long the endpoint may take for one batch, in seconds."""

MAX_RETRY_AFTER_S: Final = 600.0
"""The longest time for which a Retry-After is followed, in seconds."""

_MAX_ANSWER_BYTES: Final = 64 * 1024
_TRACES_PATH: Final = "/v1/traces"


class Verdict(Enum):
    """What became of a batch."""

    TAKEN = "taken"
    AGAIN = "again"
    """It was not taken, and may be later."""
    UNFIT = "unfit"
    """Something in it is refused, or it is too large: send it in parts."""


class Answer(msgspec.Struct, frozen=True):
    """What the endpoint said, or why it said nothing; nothing here is secret."""

    verdict: Verdict
    reason: str = ""
    retry_after_s: float | None = None
    rejected_spans: int = 0


class _PartialSuccess(msgspec.Struct, rename="camel"):
    rejected_spans: int | str | None = None
    error_message: str | None = None


class _Reply(msgspec.Struct, rename="camel"):
    partial_success: _PartialSuccess | None = None


class Sender:
    """Sends batches, once it is loaded. Close it with `aclose`."""

    def __init__(self, settings: OtelExportSettings, version: str) -> None:
        assert settings.endpoint is not None  # noqa: S101  # without one nothing is exported
        self._url = traces_url(settings.endpoint.get_secret_value())
        self._headers = {
            "Content-Type": "application/json",
            "Content-Encoding": "gzip",
            # Read up to a limit, which decompressing would exceed.
            "Accept-Encoding": "identity",
            "User-Agent": f"chainlog-async/{version}",
            **{name: value.get_secret_value() for name, value in settings.headers.items()},
        }
        self._transport: httpx.AsyncHTTPTransport | None = None

    async def load(self) -> None:
        """Makes ready what the first batch needs. Raises `MissingExtraError`."""
        # Importing and reading certificates takes a while: not on the event loop.
        self._transport = await run_in_thread(_new_transport)

    async def aclose(self) -> None:
        """Closes the connections."""
        if self._transport is not None:
            with anyio.CancelScope(shield=True):
                await self._transport.aclose()

    async def send(self, body: bytes) -> Answer:
        """Posts a batch of OTLP/JSON, which was compressed with gzip."""
        import httpx

        assert self._transport is not None  # noqa: S101  # loaded first
        # The transport alone: a client would log the address. Redirects are not followed: the headers are meant for
        # this host.
        request = httpx.Request("POST", self._url, content=body, headers=self._headers)
        try:
            with anyio.fail_after(SEND_TIMEOUT_S):
                response = await self._transport.handle_async_request(request)
                try:
                    content = await _first_bytes(response)
                finally:
                    await response.aclose()
        except TimeoutError:
            return Answer(Verdict.AGAIN, f"it took longer than {SEND_TIMEOUT_S:g} s")
        except httpx.ConnectError:
            return Answer(Verdict.AGAIN, "it cannot be reached")
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            # Not the text of the error, which may quote the address.
            return Answer(Verdict.AGAIN, f"the connection broke ({type(error).__name__})")
        return _answer_of(response.status_code, response.headers.get("retry-after", ""), content)


def traces_url(endpoint: str) -> str:
    """Returns where spans are posted to: the path of OTLP is added, unless the endpoint ends with it."""
    base, mark, query = endpoint.partition("?")
    base = base.rstrip("/")
    return (base if base.endswith(_TRACES_PATH) else base + _TRACES_PATH) + mark + query


def compressed(request: object) -> bytes:
    """Returns a request as JSON, compressed."""
    return gzip.compress(msgspec.json.encode(request), compresslevel=1, mtime=0)


def _answer_of(status: int, retry_after: str, content: bytes) -> Answer:
    if 200 <= status < 300:
        try:
            partial = msgspec.json.decode(content, type=_Reply).partial_success if content else None
            rejected = int(partial.rejected_spans or 0) if partial is not None else 0
        except (msgspec.DecodeError, ValueError):
            # Whatever it says, it has taken them.
            return Answer(Verdict.TAKEN)
        reason = (partial.error_message or "" if partial is not None else "")[:200]
        return Answer(Verdict.TAKEN, reason, rejected_spans=max(rejected, 0))
    reason = f"it answered {status}"
    if status in (400, 413, 422):
        return Answer(Verdict.UNFIT, reason)
    return Answer(Verdict.AGAIN, reason, retry_after_s=_seconds_of(retry_after))


def _seconds_of(retry_after: str) -> float | None:
    """Returns the time of a Retry-After header, in seconds from now: digits, or a date."""
    text = retry_after.strip()
    try:
        if text.isascii() and text.isdecimal():
            seconds = float(text[:9])
        else:
            moment = parsedate_to_datetime(text)
            seconds = (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    except (ValueError, OverflowError):
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_S)


async def _first_bytes(response: httpx.Response) -> bytes:
    content = bytearray()
    async for chunk in response.aiter_raw():
        content += chunk
        if len(content) >= _MAX_ANSWER_BYTES:
            break
    return bytes(content)


def _new_transport() -> httpx.AsyncHTTPTransport:
    try:
        import httpx
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"otel_export needs httpx; {install_command('otel')}") from error
    return httpx.AsyncHTTPTransport(trust_env=False)
