"""One page of a search: how far each step of it looks, and where the next page continues."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias, cast

from chainlog_async.common.clock import MAX_INT64
from chainlog_async.common.name_sets import name_parameters

from .cursor import MAX_PAGE, Position, position_of
from .filter import BOUNDS, RequestFilter, lower_ascii
from .model import RequestPage
from .stored_row import request_of_row

SCAN_BUDGET = 10_000
"""Most rows that are examined for one page."""

_GROWTH = 8

Row: TypeAlias = Sequence[object]
"""The values of `COLUMNS`."""

Examine: TypeAlias = Callable[[Position, int, int], Awaitable[Sequence[Row]]]
"""Examines rows that are older than the position, newest first, and is given how many of them at most, and how many
matches are wanted at most. Returns the matches, and then the last row that it examined, of which only id and timestamp
are used; nothing when there was no row to examine."""

Skip: TypeAlias = Callable[[float], Awaitable[float | None]]
"""Returns the latest time, at most the given one, before which a match is possible; None if there is none."""


async def find_page(
    examine: Examine,
    skip: Skip | None,
    where: RequestFilter,
    *,
    limit: int,
    cursor: str | None,
    scan_budget: int = SCAN_BUDGET,
) -> RequestPage:
    """The first `limit` matches older than the cursor; see `UsageAggregator.find_requests`."""
    if not 1 <= limit <= MAX_PAGE:
        raise ValueError(f"limit is {limit}; give 1 to {MAX_PAGE}")
    position = (MAX_INT64 if where.end is None else where.end, 0) if cursor is None else position_of(cursor)
    if where.end is not None:
        position = min(position, (where.end, 0))
    found: list[Row] = []
    # One row more than the page holds tells whether there is a next page. If few rows match, the search continues in
    # larger and larger steps, so that a page that fills at once is cheap and no statement takes long.
    piece = limit + 1
    while scan_budget > 0:
        rows = await examine(position, min(piece, scan_budget), limit + 1 - len(found))
        if not rows:
            return _page(found, None, None)
        *matching, last = rows
        found += matching
        if len(found) > limit:
            return _page(found[:limit], _cursor(_position(found[limit - 1])), None)
        position = _position(last)
        scan_budget -= piece
        piece *= _GROWTH
        if skip is not None:
            # One ms more, because rows of the same ms may be left.
            before = await skip(position[0] + 1)
            if before is None:
                return _page(found, None, None)
            position = min(position, (before, 0))
    return _page(found, _cursor(position), None if len(found) == limit else math.floor(position[0]))


def filter_parameters(where: RequestFilter) -> dict[str, object]:
    """The conditions of a filter by name, as the parameters of a query; None where there is no condition."""
    lowest, highest = where.statuses or (None, None)
    return {
        "start": -MAX_INT64 if where.start is None else where.start,
        "chain": where.chain,
        "provider": where.provider,
        "model": where.model,
        "caller": where.caller,
        "request_id": where.request_id,
        "session_id": where.session_id,
        "tag": where.tag,
        "lowest_status": lowest,
        "highest_status": highest,
        "is_failed": where.is_failed or None,
        "is_answered": where.is_answered,
        **{name: getattr(where, name) for name in BOUNDS},
        **name_parameters(where.names),
        "error_text": None if where.error_text is None else lower_ascii(where.error_text),
        "search": None if where.search is None else lower_ascii(where.search),
    }


def _page(rows: Sequence[Row], next_cursor: str | None, searched_back_to: int | None) -> RequestPage:
    return RequestPage([request_of_row(row) for row in rows], next_cursor, searched_back_to)


def _position(row: Row) -> Position:
    return cast("Position", (row[1], row[0]))


def _cursor(position: Position) -> str:
    return f"{position[0]}_{position[1]}"
