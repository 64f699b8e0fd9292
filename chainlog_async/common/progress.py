"""How far long work is: told to whoever wants to know, or to the log."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic

Progress = Callable[[str, int, int | None], None]
"""Told how far long work is, on the event loop, now and then.

What is being done; how much of it is done, in whatever unit; and how much there is, or None where nobody knows.
"""

PROGRESS_LOG_INTERVAL_S = 5.0
"""Shortest time between two lines of the log about the same work, in seconds; work that is shorter has none."""

logger = logging.getLogger(__name__)


def no_progress(what: str, done: int, total: int | None) -> None:
    """For a caller that does not want to be told."""


class LoggedProgress:
    """Tells the log."""

    def __init__(self) -> None:
        self._logged_at = monotonic()

    def __call__(self, what: str, done: int, total: int | None) -> None:
        """Logs a line, unless the one before is not old enough."""
        now = monotonic()
        if now - self._logged_at >= PROGRESS_LOG_INTERVAL_S:
            self._logged_at = now
            logger.info("%s: %s", what, f"{done:,}" if total is None else f"{done / max(total, 1):.0%} of {total:,}")
