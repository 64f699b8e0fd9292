"""Watches a client of httpx or httpx2: each `send` is an attempt of the call of an SDK, or else a call by itself.

The method is replaced on the object, so that the client's class, its transports and all else stay as they are.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from functools import wraps
from typing import NamedTuple, Protocol, cast

from chainlog_async.provider_responses.request_fields import RequestFields, read_request

from .attempt import WatchedAttempt
from .call import WatchedCall
from .duck_types import HttpRequest, HttpResponse
from .observed_stream import observed
from .providers import calls_model
from .safety import safely
from .watcher import Watcher

_STATE = "_chainlog_state"


class SdkCall(NamedTuple):
    """The call that an SDK is busy with, here in this task or thread."""

    call: WatchedCall
    http_client: object
    watcher: Watcher


sdk_call: ContextVar[SdkCall | None] = ContextVar("chainlog_sdk_call", default=None)


def is_http_client(client: object) -> bool:
    """Whether it is an object that behaves like a client of httpx."""
    has_methods = callable(getattr(client, "send", None)) and callable(getattr(client, "build_request", None))
    return has_methods and not isinstance(client, type)


def is_async(http_client: object) -> bool:
    """Whether the methods of a client are coroutines."""
    return hasattr(http_client, "aclose")


def watch_http_client(client: object, watcher: Watcher | None) -> None:
    """Watches the client; without a `watcher`, only what an SDK sends that is watched itself."""
    original = cast("_Client", client).send
    state = getattr(original, _STATE, None)
    if not isinstance(state, _Sending):
        state = _Sending(client)
        send = _watched_async(original, state) if is_async(client) else _watched(original, state)
        setattr(send, _STATE, state)
        cast("_Client", client).send = send
    state.watcher = watcher or state.watcher


class _Client(Protocol):
    send: Callable[..., object]


class _Sending:
    """What happens around each `send` of a client."""

    def __init__(self, client: object) -> None:
        self._client = client
        self.watcher: Watcher | None = None

    @safely
    def begin(self, request: HttpRequest) -> WatchedAttempt | None:
        """Begins an attempt; None for a request that is not logged."""
        current = sdk_call.get()
        if current is not None and current.http_client is self._client:
            return current.call.attempt(request) if calls_model(request, current.watcher.paths) else None
        if self.watcher is None or not calls_model(request, self.watcher.paths):
            return None
        asked = _asked(request)
        call = self.watcher.begin(asked.model, asked.stream)
        if call is None:
            return None
        attempt = call.attempt(request)
        call.returned()
        return attempt

    @safely
    def answered(self, attempt: WatchedAttempt, response: HttpResponse) -> None:
        """Notes the response, or has its body observed when that is still to be read."""
        if response.is_closed:
            attempt.answer_whole(response)
            return
        stream = observed(response.stream, attempt)
        attempt.answer(response)
        if stream is None:
            attempt.finish()
        else:
            response.stream = stream


def _watched(original: Callable[..., object], state: _Sending) -> Callable[..., object]:
    @wraps(original)
    def send(request: HttpRequest, *args: object, **kwargs: object) -> object:
        attempt = state.begin(request)
        if attempt is None:
            return original(request, *args, **kwargs)
        try:
            response = original(request, *args, **kwargs)
        except BaseException as error:
            attempt.fail(error)
            raise
        state.answered(attempt, cast("HttpResponse", response))
        return response

    return send


def _watched_async(original: Callable[..., object], state: _Sending) -> Callable[..., object]:
    awaited = cast("Callable[..., Awaitable[object]]", original)

    @wraps(original)
    async def send(request: HttpRequest, *args: object, **kwargs: object) -> object:
        attempt = state.begin(request)
        if attempt is None:
            return await awaited(request, *args, **kwargs)
        try:
            response = await awaited(request, *args, **kwargs)
        except BaseException as error:
            attempt.fail(error)
            raise
        state.answered(attempt, cast("HttpResponse", response))
        return response

    return send


def _asked(request: HttpRequest) -> RequestFields:
    try:
        return read_request(request.content)
    except Exception:  # noqa: BLE001  # httpx's own error for a body that is streamed
        return RequestFields()
