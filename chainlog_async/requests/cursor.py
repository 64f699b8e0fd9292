"""Where a page of requests ends and the next one begins."""

from __future__ import annotations

import re

from chainlog_async.common.clock import MAX_INT64

MAX_PAGE = 500
"""Most requests on a page."""

CURSOR = r"(-?[0-9]{1,19}(?:\.[0-9]{1,9})?)_([0-9]{1,19})"
"""What a cursor looks like: the time and the id of the last row that was looked at."""


Position = tuple[float, int]
"""Timestamp and id of a row; the search goes on with what is older."""


def position_of(cursor: str) -> Position:
    """Where a cursor points. Raises `ValueError` for what is no cursor."""
    parts = re.fullmatch(CURSOR, cursor, re.ASCII)
    if parts is None:
        raise ValueError(f"the cursor {cursor[:60]!r} is none; give a nextCursor as it came")
    timestamp = float(parts[1]) if "." in parts[1] else max(-MAX_INT64, min(int(parts[1]), MAX_INT64))
    return timestamp, min(int(parts[2]), MAX_INT64)
