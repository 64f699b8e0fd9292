"""Times as numbers: ms since the epoch, UTC."""

from __future__ import annotations

import time

QUARTER_MS = 900_000
"""Width of a bucket, in ms; the UTC offset of every time zone in use is a multiple of it."""

HOUR_MS = 3_600_000

DAY_MS = 24 * HOUR_MS

MIN_CLEAR_TIMESTAMP_MS = 31 * DAY_MS
"""End of January 1970, in ms since the epoch. A smaller number, other than 0, is in s, or is no time at all."""

MAX_TIMESTAMP_MS = 253_402_300_799_999
"""Last millisecond of the year 9999, UTC, which is the limit of SQLite's date functions."""

MAX_INT64 = 2**63 - 1
"""The largest integer that a database column can hold."""

END_OF_TIME = MAX_INT64
"""Later than every timestamp."""


def now_ms() -> int:
    """Returns the current time in ms since the epoch, UTC."""
    return time.time_ns() // 1_000_000
