"""Limits how often a warning is logged."""

from __future__ import annotations

import logging
from time import monotonic

LOG_PERIOD_S = 60.0
"""Minimum time between two log lines of the same topic, in seconds."""

logger = logging.getLogger(__name__)


class LogThrottle:
    """Logs each topic at most once per period, with the number of occurrences since the last line."""

    def __init__(self, period_s: float = LOG_PERIOD_S) -> None:
        self._period_s = period_s
        self._logged_at: dict[str, float] = {}
        self._suppressed: dict[str, int] = {}

    def warn(self, topic: str, detail: str, count: int = 1) -> None:
        """Logs a warning, or only counts it if the topic was logged less than a period ago."""
        total = self._suppressed.get(topic, 0) + count
        now = monotonic()
        if now - self._logged_at.get(topic, -self._period_s) < self._period_s:
            self._suppressed[topic] = total
            return
        self._logged_at[topic] = now
        self._suppressed[topic] = 0
        logger.warning("%s (%d since the last such line): %s", topic, total, detail)
