"""Watches the client of an SDK: its method `request` is one call, however often that tries again.

The SDKs that Stainless generates, OpenAI's and Anthropic's among them, send each attempt with their HTTP client, and
copy themselves for `with_options`. The methods are replaced on the object, so that its class stays as it is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from contextvars import Token
from functools import wraps
from typing import cast

from .call import WatchedCall
from .http_client import SdkCall, is_async, sdk_call, watch_http_client
from .safety import safely
from .watcher import Watcher

_STATE = "_chainlog_state"
_COPYING = ("copy", "with_options")


def watch_sdk(client: object, http_client: object, watcher: Watcher) -> None:
    """Watches the client, and every copy that is made of it."""
    watch_http_client(http_client, None)
    original: Callable[..., object] = getattr(client, "request")  # noqa: B009  # of a type that nobody knows
    state = getattr(original, _STATE, None)
    if isinstance(state, _Requesting):
        state.watcher = watcher
        return
    state = _Requesting(http_client, watcher)
    request = _watched_async(original, state) if is_async(http_client) else _watched(original, state)
    setattr(request, _STATE, state)
    setattr(client, "request", request)  # noqa: B010  # see above
    for name in _COPYING:
        if callable(copy := getattr(client, name, None)):
            setattr(client, name, _watching_copies(copy, state))


class _Requesting:
    """What happens around each `request` of a client."""

    def __init__(self, http_client: object, watcher: Watcher) -> None:
        self._http_client = http_client
        self.watcher = watcher

    def begin(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> WatchedCall | None:
        """Begins a call; `request` takes the type of the answer and the options."""
        options = args[1] if len(args) > 1 else kwargs.get("options")
        body = getattr(options, "json_data", None)
        asked = body if isinstance(body, Mapping) else {}
        return self.watcher.begin(asked.get("model"), asked.get("stream"))

    def enter(self, call: WatchedCall) -> Token[SdkCall | None]:
        """Makes it the call of this task or thread."""
        return sdk_call.set(SdkCall(call, self._http_client, self.watcher))

    @safely
    def watch_copy(self, copy: object) -> None:
        """Watches a copy, which usually has the same HTTP client."""
        watch_sdk(copy, getattr(copy, "_client", self._http_client), self.watcher)


def _watched(original: Callable[..., object], state: _Requesting) -> Callable[..., object]:
    @wraps(original)
    def request(*args: object, **kwargs: object) -> object:
        call = state.begin(args, kwargs)
        if call is None:
            return original(*args, **kwargs)
        token = state.enter(call)
        try:
            answer = original(*args, **kwargs)
        except BaseException as error:
            call.failed(error)
            raise
        finally:
            sdk_call.reset(token)
        call.returned()
        return answer

    return request


def _watched_async(original: Callable[..., object], state: _Requesting) -> Callable[..., object]:
    awaited = cast("Callable[..., Awaitable[object]]", original)

    @wraps(original)
    async def request(*args: object, **kwargs: object) -> object:
        call = state.begin(args, kwargs)
        if call is None:
            return await awaited(*args, **kwargs)
        token = state.enter(call)
        try:
            answer = await awaited(*args, **kwargs)
        except BaseException as error:
            call.failed(error)
            raise
        finally:
            # A coroutine that is closed from elsewhere ends in another context.
            with suppress(ValueError):
                sdk_call.reset(token)
        call.returned()
        return answer

    return request


def _watching_copies(original: Callable[..., object], state: _Requesting) -> Callable[..., object]:
    @wraps(original)
    def copy(*args: object, **kwargs: object) -> object:
        made = original(*args, **kwargs)
        state.watch_copy(made)
        return made

    return copy
