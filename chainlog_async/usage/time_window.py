"""A window of time, divided into steps by the clock of a time zone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Literal, get_args

import msgspec

from chainlog_async.common.clock import DAY_MS, HOUR_MS, MAX_TIMESTAMP_MS, QUARTER_MS
from chainlog_async.common.units import iso_text
from chainlog_async.common.zones import instant_of, zone_of

MAX_STEPS = 2_000
"""Most steps of a window."""

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


class WindowError(ValueError):
    """A window that cannot be asked for."""

    def __init__(self, message: str, field: Literal["start", "end", "step", "zone"]) -> None:
        super().__init__(message)
        self.field = field
        """Which part of the window to change."""


def refuse_empty_window(start: int | None, end: int | None, *, now: int) -> None:
    """Raises `WindowError` for a window in which no time is, or that begins in the future and has no end.

    Who gives both ends in the future means it: a row may have the time of a clock that was ahead.
    """
    if start is None:
        return
    if end is None and start > now:
        raise WindowError(f"the window starts in the future, at {iso_text(start)}; it is {iso_text(now)} now", "start")
    if end is not None and end <= start:
        where = f"before it starts at {iso_text(start)}" if end < start else "when it starts"
        raise WindowError(
            f"the window ends at {iso_text(end)}, {where}; give two times, the earlier one first",
            "end",
        )


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
        calendar, has more than `MAX_STEPS` steps, or when its step is unknown: a `WindowError`; or `UnknownZoneError`.
        """
        zone = zone_of(self.zone)
        start = self.start // QUARTER_MS * QUARTER_MS
        end = -(-self.end // QUARTER_MS) * QUARTER_MS
        refuse_empty_window(self.start, self.end, now=0)
        if start < 0 or end > MAX_TIMESTAMP_MS:
            raise WindowError(
                f"the window is from {iso_text(self.start)} to {iso_text(self.end)}; give two times from 1970 to 9999",
                "start" if start < 0 else "end",
            )
        if self.step is None:
            return [start, end]
        if self.step not in STEPS:
            raise WindowError(f"step is {self.step!r}; give one of {', '.join(STEPS)}", "step")
        step_ms = _STEP_MS[self.step]
        if (end - start) / step_ms > MAX_STEPS:
            raise WindowError(
                f"the window has {(end - start) // step_ms:,} steps of {self.step}, and {MAX_STEPS:,} is the most; "
                "give a longer step or a shorter window",
                "step",
            )
        inner = (edge for edge in _steps(start, end, step_ms, zone) if start < edge < end)
        return [start, *inner, end]


def _steps(start: int, end: int, step_ms: int, zone: tzinfo) -> Iterator[int]:
    """Yields every midnight of the zone and the steps after it, in order, beginning before `start`."""
    day = (_EPOCH + timedelta(milliseconds=start)).astimezone(zone).date()
    midnight = instant_of(day, 0, zone)
    while midnight < end:
        next_midnight = instant_of(day + _DAY, 0, zone)
        if step_ms > HOUR_MS:
            yield from (instant_of(day, hour, zone) for hour in range(0, 24, step_ms // HOUR_MS))
        else:
            # An hour that the clock shows twice counts as two.
            yield from range(midnight, next_midnight, step_ms)
        day += _DAY
        midnight = next_midnight
