"""A window of time, divided into steps by the clock of a time zone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Literal, get_args
from zoneinfo import ZoneInfo, available_timezones

import msgspec

from chainlog_async.common.clock import DAY_MS, HOUR_MS, MAX_TIMESTAMP_MS, QUARTER_MS
from chainlog_async.common.spelling import did_you_mean
from chainlog_async.common.units import iso_text

MAX_STEPS = 2_000
"""Most steps of a window."""

MAX_ZONE_CHARS = 60
"""Longest name of a time zone for which a similar one is looked for, and that an error shows, in characters."""

Step = Literal["15m", "30m", "1h", "2h", "3h", "6h", "12h", "1d"]

STEPS: tuple[Step, ...] = get_args(Step)

_STEP_MS: dict[Step, int] = {
    "15m": QUARTER_MS,
    "30m": 2 * QUARTER_MS,
    "1h": HOUR_MS,
    "2h": 2 * HOUR_MS,
    "3h": 3 * HOUR_MS,
    "6h": 6 * HOUR_MS,
    "12h": 12 * HOUR_MS,
    "1d": DAY_MS,
}

_DAY = timedelta(days=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """From `start` to `end`, in ms since the epoch, UTC, widened to whole quarters of an hour.

    Steps begin at each midnight in `zone` and follow its clock, so a step of more than an hour in which the clocks
    change is shorter or longer than the others. Without `step` there is a single one.
    """

    start: int
    end: int
    step: Step | None = None
    zone: str = "UTC"

    def edges(self) -> list[int]:
        """The starts of the steps and the end of the last one, in ms since the epoch, as whole quarters of an hour.

        Reads a file when a time zone is first used. Raises `ValueError` when the window is empty or outside the
        calendar, has more than `MAX_STEPS` steps, or when its zone or step is unknown.
        """
        zone = zone_of(self.zone)
        start = self.start // QUARTER_MS * QUARTER_MS
        end = -(-self.end // QUARTER_MS) * QUARTER_MS
        if self.start > self.end:
            raise ValueError(
                f"the window ends at {iso_text(self.end)}, before it starts at {iso_text(self.start)}; "
                "give two times, the earlier one first"
            )
        if not 0 <= start < end <= MAX_TIMESTAMP_MS:
            raise ValueError(
                f"the window is from {iso_text(self.start)} to {iso_text(self.end)}; "
                "give two times from 1970 to 9999, the earlier one first"
            )
        if self.step is None:
            return [start, end]
        if self.step not in STEPS:
            raise ValueError(f"step is {self.step!r}; give one of {', '.join(STEPS)}")
        step_ms = _STEP_MS[self.step]
        if (end - start) / step_ms > MAX_STEPS:
            raise ValueError(
                f"the window has {(end - start) // step_ms:,} steps of {self.step}, and {MAX_STEPS:,} is the most; "
                "give a longer step or a shorter window"
            )
        inner = (edge for edge in _steps(start, end, step_ms, zone) if start < edge < end)
        return [start, *inner, end]


class UnknownZoneError(ValueError):
    """There is no time zone of that name."""


def zone_of(name: str) -> tzinfo:
    """The time zone of that name; reads a file when it is first used.

    Raises `UnknownZoneError`, with the most similar name.
    """
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        near = did_you_mean(name, sorted(available_timezones())) if len(name) <= MAX_ZONE_CHARS else None
        remedy = f"did you mean {near}?" if near else "give a name such as Europe/Berlin, or install the package tzdata"
        raise UnknownZoneError(f"time zone {name[:MAX_ZONE_CHARS]!r} is unknown; {remedy}") from None


def _steps(start: int, end: int, step_ms: int, zone: tzinfo) -> Iterator[int]:
    """Yields every midnight of the zone and the steps after it, in order, beginning before `start`."""
    day = (_EPOCH + timedelta(milliseconds=start)).astimezone(zone).date()
    midnight = _instant(day, 0, zone)
    while midnight < end:
        next_midnight = _instant(day + _DAY, 0, zone)
        if step_ms > HOUR_MS:
            yield from (_instant(day, hour, zone) for hour in range(0, 24, step_ms // HOUR_MS))
        else:
            # An hour that the clock shows twice counts as two.
            yield from range(midnight, next_midnight, step_ms)
        day += _DAY
        midnight = next_midnight


def _instant(day: date, hour: int, zone: tzinfo) -> int:
    """When the zone's clock shows that hour, in ms; an hour that it skips begins when it skips it."""
    return int(datetime.combine(day, time(hour), zone).timestamp()) * 1_000 // QUARTER_MS * QUARTER_MS
