"""Watches the clients of programs without an event loop, such as scripts, notebooks and Flask applications.

    from chainlog_async.integrations.clients import watch

    client = watch(OpenAI())

The log runs in a thread of its own, from the first call until the process ends. Its settings come from the file that
``CHAINLOG_CONFIG`` names and from ``CHAINLOG_...`` variables. Programs with an event loop use `ChainLog.watch`.
"""

from __future__ import annotations

import atexit
import os
from typing import TypeVar, Unpack

from chainlog_async.entry.model import RequestLogEntry
from chainlog_async.watch.client import watch_client
from chainlog_async.watch.options import WatchOptions

from .background_log import BackgroundLog, settings_from_environment

__all__ = ["close", "watch"]

_T = TypeVar("_T")


def watch(client: _T, **options: Unpack[WatchOptions]) -> _T:
    """Logs every call of a model that the client makes, as `ChainLog.watch` does; returns the client.

    Raises `TypeError` when it is no client that can be watched, or for an option that `WatchOptions` does not have.
    """
    return watch_client(client, _log_request, options)


def close() -> None:
    """Writes what is logged and closes the database; returns once that is done. Later calls are not logged.

    It runs by itself at the end of the process.
    """
    _log.close()


def _log_request(entry: RequestLogEntry) -> None:
    _log.log(entry)


def _reset() -> None:
    global _log  # noqa: PLW0603  # one log for the process, and another for one that is forked from it
    _log = BackgroundLog(settings_from_environment)


_log = BackgroundLog(settings_from_environment)
# A forked process does not have the thread.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset)
atexit.register(close)
