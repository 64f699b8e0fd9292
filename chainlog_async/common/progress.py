"""Progress of long-running work, reported to a callback or to the log."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic

Progress = Callable[[str, int, int | None], None]
"""Called now and then with the progress of the work, on the event loop.

The arguments: what is being done; how much of it is done, in any unit; and how much there is, or None if unknown.
"""

PROGRESS_LOG_INTERVAL_S = 5.0
"""Minimum time between two log lines about the same work, in seconds; shorter work is not logged."""

logger = logging.getLogger(__name__)


def no_progress(what: str, done: int, total: int | None) -> None:
    """Ignores the progress."""


class LoggedProgress:
    """Logs the progress."""

    def __init__(self) -> None:
        self._logged_at = monotonic()

    def __call__(self, what: str, done: int, total: int | None) -> None:
        """Logs a line if the last one is old enough."""
        now = monotonic()
        if now - self._logged_at >= PROGRESS_LOG_INTERVAL_S:
            self._logged_at = now
            logger.info("%s: %s", what, f"{done:,}" if total is None else f"{done / max(total, 1):.0%} of {total:,}")
