"""The threads that aiosqlite runs its connections in."""

from __future__ import annotations

import threading
from collections.abc import Iterable

ENDS_WITHIN_S = 5.0


def workers() -> set[threading.Thread]:
    """The threads of connections that are open now."""
    return {thread for thread in threading.enumerate() if "_connection_worker_thread" in thread.name}


def lasting_workers(threads: Iterable[threading.Thread]) -> list[threading.Thread]:
    """Those that do not end; one that was told to stop may take a moment."""
    for thread in threads:
        thread.join(ENDS_WITHIN_S)
    return [thread for thread in threads if thread.is_alive()]
