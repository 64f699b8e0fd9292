"""Sends a message to a target, within a time limit, and says what went wrong without its secrets."""

from __future__ import annotations

import errno
import os
import subprocess
from contextlib import aclosing
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import anyio
import msgspec

from chainlog_async.common.cancellation import run_in_thread
from chainlog_async.common.clock import now_ms
from chainlog_async.common.extras import install_command
from chainlog_async.errors import MissingExtraError
from chainlog_async.usage.alerts import AlertEpisode, AlertMessage

from .messages import body_of, slack_text

if TYPE_CHECKING:
    import httpx

    from chainlog_async.settings import AlertTarget, Settings

SEND_TIMEOUT_S = 10.0
"""How long a target may take for one message, in seconds."""


class TestResult(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The outcome of a test message."""

    __test__ = False

    target: str
    kind: str
    """``webhook``, ``slack`` or ``command``."""
    place: str
    """The host, or the name of the program; nothing else of the target is shown."""
    error: str | None
    """Why it did not arrive; None when it did."""


class Sender:
    """Sends to the targets of the settings, once it is loaded. Close it with `aclose`."""

    def __init__(self, settings: Settings) -> None:
        self.targets = {target.name: target for target in settings.alert_targets}
        self._transport: httpx.AsyncHTTPTransport | None = None

    async def load(self) -> None:
        """Makes ready what the first message needs. Raises `MissingExtraError`."""
        if any(target.command is None for target in self.targets.values()):
            # Importing and reading certificates takes a while: not on the event loop.
            self._transport = await run_in_thread(_new_transport)

    async def aclose(self) -> None:
        """Closes the connections."""
        if self._transport is not None:
            with anyio.CancelScope(shield=True):
                await self._transport.aclose()

    async def send(self, message: AlertMessage) -> str | None:
        """Returns why the target did not accept the message, or None when it did; the reason has no secret."""
        target = self.targets[message.target]
        try:
            with anyio.fail_after(SEND_TIMEOUT_S):
                if target.command is not None:
                    return await _run([part.get_secret_value() for part in target.command], _json(message))
                return await self._post(target, message)
        except TimeoutError:
            return f"it took longer than {SEND_TIMEOUT_S:g} s"

    async def _post(self, target: AlertTarget, message: AlertMessage) -> str | None:
        import httpx

        secret = target.webhook or target.slack
        assert self._transport is not None and secret is not None  # noqa: S101, PT018  # neither is a command
        content = _json(message)
        if target.slack is not None:
            content = msgspec.json.encode({"text": slack_text(body_of(message).text)})
        headers = {"Content-Type": "application/json", "User-Agent": "chainlog-async"}
        headers |= {name: value.get_secret_value() for name, value in target.headers.items()}
        # The transport alone: a client would log the address, which may be the secret itself. Redirects are not
        # followed: the headers are meant for this host.
        request = httpx.Request("POST", secret.get_secret_value(), content=content, headers=headers)
        try:
            response = await self._transport.handle_async_request(request)
            await response.aclose()
        except httpx.ConnectError:
            return "it cannot be reached"
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            # Not the text of the error, which may quote the address.
            return f"the connection broke ({type(error).__name__})"
        return None if response.is_success else f"it answered {response.status_code}"


def place_of(target: AlertTarget) -> str:
    """What may be shown of a target: the host, or the name of the program."""
    if target.command is not None:
        return os.path.basename(target.command[0].get_secret_value())  # noqa: PTH119  # the name alone, of any text
    secret = target.webhook or target.slack
    return (urlsplit(secret.get_secret_value()).hostname or "") if secret is not None else ""


async def send_tests(settings: Settings) -> list[TestResult]:
    """Sends a test message to each target. Raises `MissingExtraError`."""
    now = now_ms()
    episode = AlertEpisode(
        id=0, alert="test", group="", when="this is a test of chainlog-async", value="nothing", fired_at=now
    )
    results: dict[str, str | None] = {}
    async with aclosing(Sender(settings)) as sender:
        await sender.load()

        async def send(name: str) -> None:
            results[name] = await sender.send(AlertMessage(id=0, event="fired", target=name, tries=1, episode=episode))

        async with anyio.create_task_group() as tasks:
            for name in sender.targets:
                tasks.start_soon(send, name)
    return [
        TestResult(target=target.name, kind=target.kind, place=place_of(target), error=results[target.name])
        for target in settings.alert_targets
    ]


async def _run(command: list[str], payload: bytes) -> str | None:
    try:
        process = await anyio.open_process(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    except (OSError, ValueError) as error:
        number = error.errno if isinstance(error, OSError) else errno.EINVAL
        return f"it cannot be started: {os.strerror(number or errno.EINVAL)}"
    # Leaving the block early kills it.
    async with process:
        if process.stdin is not None:
            try:
                await process.stdin.send(payload)
                await process.stdin.aclose()
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                pass  # it need not read what it is told
        code = await process.wait()
    return None if code == 0 else f"it ended with exit code {code}"


def _json(message: AlertMessage) -> bytes:
    return msgspec.json.encode(body_of(message))


def _new_transport() -> httpx.AsyncHTTPTransport:
    try:
        import httpx
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"webhook and slack in alert_targets need httpx; {install_command('alerts')}"
        ) from error
    return httpx.AsyncHTTPTransport(trust_env=False)
