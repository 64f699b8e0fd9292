"""Where a page of requests ends and the next one begins."""

from __future__ import annotations

import re

from chainlog_async.common.clock import MAX_INT64

MAX_PAGE = 500
"""Most requests on a page."""

CURSOR = r"(-?[0-9]{1,19}(?:\.[0-9]{1,9})?)_([0-9]{1,19})"
"""Pattern of a cursor: the time and the id of the last row that was examined."""


Position = tuple[float, int]
"""Timestamp and id of a row; the search continues with older rows."""


def position_of(cursor: str) -> Position:
    """Parses a cursor. Raises `ValueError` when it is malformed."""
    parts = re.fullmatch(CURSOR, cursor, re.ASCII)
    if parts is None:
        raise ValueError(f"cursor {cursor[:60]!r} is malformed; give a nextCursor unchanged")
    timestamp = float(parts[1]) if "." in parts[1] else max(-MAX_INT64, min(int(parts[1]), MAX_INT64))
    return timestamp, min(int(parts[2]), MAX_INT64)
