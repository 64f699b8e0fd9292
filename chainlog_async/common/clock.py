"""Time as numbers: milliseconds since the epoch, UTC."""

from __future__ import annotations

import time

QUARTER_MS = 900_000
"""What buckets are wide, in ms; every time zone in use is a whole number of them away from UTC."""

HOUR_MS = 3_600_000

DAY_MS = 24 * HOUR_MS

MAX_TIMESTAMP_MS = 253_402_300_799_999
"""Last millisecond of the year 9999, UTC: what SQLite's date functions can show."""

MAX_INT64 = 2**63 - 1
"""The largest whole number that a database column holds."""

END_OF_TIME = MAX_INT64
"""Later than every timestamp."""


def now_ms() -> int:
    """Milliseconds since the epoch, UTC."""
    return time.time_ns() // 1_000_000
