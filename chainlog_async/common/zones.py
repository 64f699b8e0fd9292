"""Time zones by their names."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, tzinfo
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

from .clock import QUARTER_MS
from .spelling import did_you_mean

MAX_ZONE_CHARS = 60
"""Longest name of a time zone for which a similar one is looked for, and that an error shows, in characters."""


class UnknownZoneError(ValueError):
    """There is no time zone of that name."""

    field: Final = "zone"
    """The part of a window that names it, as in `WindowError`."""


def zone_of(name: str) -> tzinfo:
    """The time zone of that name; reads a file when it is first used.

    Raises `UnknownZoneError`, with the most similar name.
    """
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        near = _similar_zone(name) if len(name) <= MAX_ZONE_CHARS else None
        remedy = f"did you mean {near}?" if near else "give a name such as Europe/Berlin, or install the package tzdata"
        raise UnknownZoneError(f"time zone {name[:MAX_ZONE_CHARS]!r} is unknown; {remedy}") from None


def _similar_zone(name: str) -> str | None:
    zones = sorted(available_timezones())
    regions = {zone.partition("/")[0] for zone in zones if "/" in zone}
    # No zone is meant by the name of a region, of which any would be suggested.
    return None if "/" not in name and did_you_mean(name, regions) else did_you_mean(name, zones)


def instant_of(day: date, hour: int, zone: tzinfo) -> int:
    """When the zone's clock shows that hour, in ms; an hour that it skips begins when it skips it."""
    return int(datetime.combine(day, time(hour), zone).timestamp()) * 1_000 // QUARTER_MS * QUARTER_MS
