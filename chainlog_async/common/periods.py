"""Periods of the calendar in a time zone: hours, days, weeks from Monday, and months."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal, TypeAlias, get_args

from .clock import HOUR_MS
from .zones import instant_of, zone_of

Period: TypeAlias = Literal["hour", "day", "week", "month"]

PERIODS: tuple[Period, ...] = get_args(Period)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def period_of(period: Period, zone: str, at: int) -> tuple[int, int]:
    """The start and the end of the period that contains the time `at`, all in ms since the epoch, UTC.

    A day in which the clocks change is an hour shorter or longer. Reads a file when a time zone is first used. Raises
    `UnknownZoneError`.
    """
    where = zone_of(zone)
    local = (_EPOCH + timedelta(milliseconds=at)).astimezone(where)
    if period == "hour":
        past = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
        start = at - past // timedelta(milliseconds=1)
        return start, start + HOUR_MS
    first = local.date()
    match period:
        case "day":
            after = first + timedelta(days=1)
        case "week":
            first -= timedelta(days=first.weekday())
            after = first + timedelta(days=7)
        case "month":
            first = first.replace(day=1)
            after = (first + timedelta(days=31)).replace(day=1)
    return instant_of(first, 0, where), instant_of(after, 0, where)
