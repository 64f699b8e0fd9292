"""Watches a client: an SDK such as those of OpenAI and Anthropic, or a client of httpx or httpx2."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from chainlog_async.entry.model import RequestLogEntry

from .http_client import is_http_client, watch_http_client
from .options import WatchOptions, require_known
from .sdk import watch_sdk
from .watcher import Watcher

_T = TypeVar("_T")


def watch_client(client: _T, log_request: Callable[[RequestLogEntry], object], options: WatchOptions) -> _T:
    """Watches the client and returns it; if it is watched already, the new options replace the earlier ones.

    Raises `TypeError` when it is no client that can be watched, or for an option that `WatchOptions` does not have.
    """
    require_known(options, WatchOptions.__annotations__, "watch")
    watcher = Watcher(log_request, options)
    http_client = getattr(client, "_client", None)
    if is_http_client(client):
        watch_http_client(client, watcher)
    elif is_http_client(http_client) and callable(getattr(client, "request", None)):
        watch_sdk(client, http_client, watcher)
    else:
        raise TypeError(
            "watch() takes an SDK's client built on httpx or httpx2, such as AsyncOpenAI(), or a client of these two, "
            f"not {type(client).__name__}; if an SDK keeps its HTTP client elsewhere, watch that one"
        )
    return client
