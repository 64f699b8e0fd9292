"""Durations, times and sizes as people write them: ``30d``, ``1h30min``, ``2026-11-25T08:00Z``, ``2GB``, ``1 MiB``."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from .clock import MAX_TIMESTAMP_MS, MIN_CLEAR_TIMESTAMP_MS

_MS_OF_UNIT = {
    "ms": 1,
    "s": 1_000,
    "min": 60_000,
    "h": 3_600_000,
    "d": 86_400_000,
    "w": 604_800_000,
    "mo": 2_592_000_000,
}
DURATION_UNITS = tuple(_MS_OF_UNIT)
"""The units of a duration: a week (w) is 7 days, a month (mo) is 30 days."""

_POWERS = "kmgt"
_UNITS = ("bytes", "kB", "MB", "GB", "TB")
_PART = re.compile(r"\s*(\d{1,15}(?:\.\d+)?)\s*([a-z]+)\s*", re.ASCII)
_SIZE = re.compile(r"\s*(\d{1,18}(?:\.\d+)?)\s*(?:([kmgt])(i?)b?|b)?\s*", re.ASCII | re.IGNORECASE)
_DIGITS = re.compile(r"\d{1,30}", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_FIRST_MEANT_MS, _LAST_MEANT_MS = 1_000_000_000_000, 4_102_444_800_000
"""A number in another unit than ms is meant if it is a time from 2001 to 2099."""

_COMPACT_TIME = re.compile(r"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:[01]\d|2[0-3])(?:[0-5]\d){2}")
"""20261125080000: a number that is a time in ms as well, in a later century."""


class AmbiguousUnitError(ValueError):
    """A duration has the unit ``m``, which is a minute to some and a month to others."""


def parse_duration(text: str) -> int:
    """Parses a duration to ms: numbers, each with one of `DURATION_UNITS`.

    Raises `AmbiguousUnitError` for the unit ``m``, and `ValueError` for anything else that is not a duration.
    """
    total, end = 0.0, 0
    for part in _PART.finditer(text.lower()):
        if part.start() != end:
            break
        if part[2] == "m":
            number = part[1]
            raise AmbiguousUnitError(f"{text[:60]!r} could mean minutes or months: {number}min or {number}mo?")
        if part[2] not in _MS_OF_UNIT:
            break
        total += float(part[1]) * _MS_OF_UNIT[part[2]]
        end = part.end()
    if not end or end != len(text):
        raise ValueError(f"{text!r} is not a duration; give a number and a unit, such as 90min, 12h, 30d or 2w")
    return round(total)


class UnclearTimeError(ValueError):
    """A number that is hardly ms since the epoch: it is in s, µs or ns, a date, or a duration without its unit."""

    def __init__(self, number: float, reason: str) -> None:
        super().__init__(f"{number} {reason}")
        self.reason = reason
        """What is wrong, to follow the value and the word "which"."""


def refuse_unclear_number(number: float, *, hint: str = "") -> None:
    """Raises `UnclearTimeError` if the number is hardly ms since the epoch; 0 and less is not judged.

    `hint` is told of a number that is too small for s, too.
    """
    if 0 < number < MIN_CLEAR_TIMESTAMP_MS:
        # Of this century, if it is in seconds.
        meant = _as_ms("s", number * 1_000) if number >= 1_000_000_000 else hint
        raise UnclearTimeError(number, "as ms since the epoch is in January 1970" + (meant and f"; {meant}"))
    if number > MAX_TIMESTAMP_MS:
        units = (("µs", number / 1_000), ("ns", number / 1_000_000))
        meant = next((_as_ms(unit, ms) for unit, ms in units if _FIRST_MEANT_MS < ms < _LAST_MEANT_MS), "")
        raise UnclearTimeError(number, "as ms since the epoch is after the year 9999" + (meant and f"; {meant}"))
    if _COMPACT_TIME.fullmatch(str(number)):
        year = (_EPOCH + timedelta(milliseconds=number)).year
        raise UnclearTimeError(number, f"as ms since the epoch is in the year {year}; give a time as ISO 8601")


def _as_ms(unit: str, ms: float) -> str:
    return f"in {unit} it is {iso_text(round(ms))}, which is {round(ms)} ms"


def parse_instant(text: str, *, now: int) -> int:
    """Parses a time to ms since the epoch, UTC: such a number, an ISO 8601 time, or a duration back from `now`.

    An ISO time without a zone is UTC. Raises `ValueError`: `UnclearTimeError` for a number that is hardly in ms, other
    than 0, the beginning of the epoch, and what `parse_duration` raises for the unit ``m``.
    """
    text = text.strip()
    if _DIGITS.fullmatch(text):
        refuse_unclear_number(int(text), hint="a duration needs a unit, as in 7d, and a date is written 2026-11-25")
        return int(text)
    try:
        return parse_iso_time(text)
    except ValueError:
        pass
    try:
        # Longer ago than the epoch is the beginning of time.
        return max(now - parse_duration(text), 0)
    except AmbiguousUnitError:
        raise
    except ValueError:
        raise ValueError(
            f"{text[:60]!r} is not a time; give ISO 8601 such as 2026-11-25T08:00Z, ms since the epoch, "
            "or a duration back from now, such as 90min, 24h or 7d"
        ) from None


def parse_iso_time(text: str) -> int:
    """Parses an ISO 8601 time, UTC if it names no zone, to ms since the epoch, UTC. Raises `ValueError`."""
    # RFC 3339 allows t and z as well.
    when = datetime.fromisoformat(text.strip().upper())
    return ((when if when.tzinfo else when.replace(tzinfo=UTC)) - _EPOCH) // timedelta(milliseconds=1)


def iso_text(ms: int) -> str:
    """Formats a time in ms since the epoch as ``2026-11-25T08:00:00Z``, cut to the second.

    One beyond the calendar is the number itself.
    """
    try:
        return f"{_EPOCH + timedelta(seconds=ms // 1_000):%Y-%m-%dT%H:%M:%S}Z"
    except (OverflowError, ValueError):
        return f"{ms} ms since the epoch"


def parse_bytes(text: str) -> int:
    """Parses a size to bytes: a number, alone or with kB, MB, GB, TB (1000s), KiB, MiB, GiB, TiB or K, M, G, T (1024s).

    Raises `ValueError`.
    """
    size = _SIZE.fullmatch(text)
    if size is None:
        raise ValueError(
            f"{text!r} is not a size; give a number of bytes, or one with a unit, such as 500MB, 2GB or 1.5GiB"
        )
    prefix, binary = (size[2] or "").lower(), bool(size[3])
    if not prefix:
        base = 1
    else:
        thousands = not binary and text.rstrip().lower().endswith("b")
        base = (1_000 if thousands else 1_024) ** (_POWERS.index(prefix) + 1)
    return round(float(size[1]) * base)


def size_text(size: int) -> str:
    """Formats a size in bytes as ``812 bytes``, ``4.1 kB`` or ``2.50 GB``: powers of 1000, three digits."""
    value, power = float(size), 0
    while value >= 999.5 and power < len(_UNITS) - 1:
        value /= 1_000
        power += 1
    if not power:
        return "1 byte" if size == 1 else f"{size} bytes"
    digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:.{digits}f} {_UNITS[power]}"
