"""Periods begin by the clock of their zone, also where it changes."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from chainlog_async.common.clock import HOUR_MS
from chainlog_async.common.periods import PERIODS, Period, period_of
from chainlog_async.common.zones import UnknownZoneError


def ms(text: str, zone: str = "Europe/Berlin") -> int:
    """The time that a clock there shows, in ms."""
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1_000)


@pytest.mark.parametrize(
    ("period", "at", "start", "end"),
    [
        ("hour", "2026-11-29T15:42:07.123", "2026-11-29T15:00", "2026-11-29T16:00"),
        ("day", "2026-11-29T00:00", "2026-11-29", "2026-11-30"),
        ("day", "2026-11-28T23:59:59.999", "2026-11-28", "2026-11-29"),
        ("week", "2026-11-29T23:00", "2026-11-23", "2026-11-30"),
        ("week", "2026-11-30T00:00", "2026-11-30", "2026-12-07"),
        ("month", "2026-01-31T12:00", "2026-01-01", "2026-02-01"),
        ("month", "2026-02-28T23:59", "2026-02-01", "2026-03-01"),
        ("month", "2026-12-01T00:00", "2026-12-01", "2027-01-01"),
    ],
)
def test_a_period_begins_and_ends_by_the_clock(period: Period, at: str, start: str, end: str) -> None:
    """On the hour, at midnight, on Monday, on the first of the month."""
    assert period_of(period, "Europe/Berlin", ms(at)) == (ms(start), ms(end))


@pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-10-26", 24)])
def test_a_day_is_as_long_as_the_clock_makes_it(day: str, hours: int) -> None:
    """When the clocks change, a day has 23 or 25 hours, and every moment of it has the same period."""
    start, end = period_of("day", "Europe/Berlin", ms(f"{day}T12:00"))
    assert (start, end - start) == (ms(day), hours * HOUR_MS)
    assert {period_of("day", "Europe/Berlin", at) for at in range(start, end, HOUR_MS // 4)} == {(start, end)}


@pytest.mark.parametrize("period", PERIODS)
def test_one_period_follows_the_other(period: Period) -> None:
    """Where one ends the next begins, through a whole year, in a zone with half an hour and two changes."""
    start, end = period_of(period, "Australia/Adelaide", ms("2026-01-01", "Australia/Adelaide"))
    for _ in range(400):
        following, end_of_it = period_of(period, "Australia/Adelaide", end)
        assert following == end
        assert start < end < end_of_it
        start, end = following, end_of_it


def test_an_unknown_zone_is_refused() -> None:
    """With the most similar name."""
    with pytest.raises(UnknownZoneError, match=r"did you mean Europe/Berlin\?"):
        period_of("day", "Europe/Berln", 0)
