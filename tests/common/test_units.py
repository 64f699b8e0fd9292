"""Durations and sizes as people write them."""

from __future__ import annotations

import re

import pytest

from chainlog_async.common.units import (
    AmbiguousUnitError,
    UnclearTimeError,
    iso_text,
    parse_bytes,
    parse_duration,
    parse_instant,
    size_text,
)

DAY_MS = 86_400_000


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("30d", 30 * DAY_MS),
        ("2w", 14 * DAY_MS),
        ("12h", 12 * 3_600_000),
        ("1min", 60_000),
        ("90 min", 5_400_000),
        ("1h30min", 5_400_000),
        ("1mo", 30 * DAY_MS),
        ("6MO", 180 * DAY_MS),
        ("1mo1d", 31 * DAY_MS),
        ("45s", 45_000),
        ("250ms", 250),
        ("1d12h", 36 * 3_600_000),
        ("1.5 H", 5_400_000),
    ],
)
def test_a_duration_is_read(text: str, ms: int) -> None:
    """Numbers with units add up to milliseconds."""
    assert parse_duration(text) == ms


@pytest.mark.parametrize(
    "text", ["", "30", "d", "30 days", "-1d", "1d,2h", "1e3s", "d30", "1d 2", "٣d", "9" * 40 + "d"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    """A number without a unit, an unknown unit and anything else is an error that shows how it is done."""
    with pytest.raises(ValueError, match="such as 90min, 12h, 30d or 2w"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("1m", "1min or 1mo?"),
        ("1M", "1min or 1mo?"),
        (" 6 m ", "6min or 6mo?"),
        ("1h30m", "30min or 30mo?"),
        ("1d1m", "1min or 1mo?"),
        ("1.5m", r"1\.5min or 1\.5mo?"),
    ],
)
def test_minutes_are_not_taken_for_months(text: str, question: str) -> None:
    """The unit m is refused with a question, as a duration and as a time: to a person it may mean a month."""
    with pytest.raises(AmbiguousUnitError, match=question.replace("?", r"\?")):
        parse_duration(text)
    with pytest.raises(AmbiguousUnitError, match=question.replace("?", r"\?")):
        parse_instant(text, now=0)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1048576", 1_048_576),
        ("2GB", 2 * 10**9),
        ("2 gb", 2 * 10**9),
        ("500 kB", 500_000),
        ("1.5GiB", 3 * 2**29),
        ("2G", 2 * 2**30),
        ("7B", 7),
        ("1T", 2**40),
        ("10MiB", 10 * 2**20),
    ],
)
def test_a_size_is_read(text: str, size: int) -> None:
    """MB are millions, MiB and M are 1024 times 1024."""
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "GB", "2 bytes", "-1", "2GiBB", "5i", "5ib", "1e9", "0x10", "2,5GB", "9" * 40])
def test_what_is_no_size_is_refused(text: str) -> None:
    """Anything else is an error that shows how it is done."""
    with pytest.raises(ValueError, match=r"such as 500MB, 2GB or 1\.5GiB"):
        parse_bytes(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1_000, "1.00 kB"),
        (12_345, "12.3 kB"),
        (999_499, "999 kB"),
        (999_500, "1.00 MB"),
        (2_500_000_000, "2.50 GB"),
        (10**16, "10000 TB"),
    ],
)
def test_a_size_is_shown_in_three_figures(size: int, text: str) -> None:
    """It is as short as a person wants it."""
    assert size_text(size) == text


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("0", 0),
        ("1764057600000", 1_764_057_600_000),
        ("253402300799999", 253_402_300_799_999),
        ("2025-11-25", 1_764_028_800_000),
        ("2025-11-25T08:00", 1_764_057_600_000),
        ("2025-11-25 08:00:00.250", 1_764_057_600_250),
        ("2025-11-25T08:00Z", 1_764_057_600_000),
        ("2025-11-25t08:00:00z", 1_764_057_600_000),
        ("2025-11-25t09:00:00+01:00", 1_764_057_600_000),
        ("2025-11-25T09:00:00+01:00", 1_764_057_600_000),
        ("1969-12-31T23:59:59.9996Z", -1),
        ("0001-01-01T00:00:00+14:00", -62_135_647_200_000),
        ("24h", 10_000 * DAY_MS - DAY_MS),
        (" 7d ", 10_000 * DAY_MS - 7 * DAY_MS),
        ("0s", 10_000 * DAY_MS),
    ],
)
def test_a_time_is_read(text: str, ms: int) -> None:
    """A number of ms, an ISO time, UTC where no zone is said, and a duration back from now, are a time."""
    assert parse_instant(text, now=10_000 * DAY_MS) == ms


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("7", "7 as ms since the epoch is in January 1970; a duration needs a unit, as in 7d"),
        ("2023", "a date is written 2026-11-25"),
        ("20231127", "a date is written 2026-11-25"),
        ("1703638574", "is in January 1970; in s it is 2023-12-27T00:56:14Z, which is 1703638574000 ms"),
        ("2678399999", "which is 2678399999000 ms"),
        ("1703638574000000", "after the year 9999; in µs it is 2023-12-27T00:56:14Z, which is 1703638574000 ms"),
        ("1712031500000000000", "after the year 9999; in ns it is 2024-04-02T04:18:20Z"),
        ("253402300800000", "after the year 9999"),
        ("9" * 16, "after the year 9999"),
        ("20261125080000", "in the year 2612; give a time as ISO 8601"),
    ],
)
def test_a_number_that_is_not_in_ms_is_refused(text: str, words: str) -> None:
    """Seconds, a duration without its unit, and a date without its dashes are not January 1970."""
    with pytest.raises(UnclearTimeError, match=re.escape(words)):
        parse_instant(text, now=10_000 * DAY_MS)
    assert parse_instant("2678400000", now=0) == 31 * DAY_MS


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1_764_057_600_999, "2025-11-25T08:00:00Z"),
        (-1, "1969-12-31T23:59:59Z"),
        (2**62, f"{2**62} ms since the epoch"),
    ],
)
def test_a_time_is_shown_as_iso_8601(ms: int, text: str) -> None:
    """In UTC, to the second; one that no calendar has as its number."""
    assert iso_text(ms) == text


@pytest.mark.parametrize("text", ["", "now", "-1", "-24h", "9" * 31, "25.11.2025", "1e3", "٣", "8h ago"])
def test_what_is_no_time_is_refused(text: str) -> None:
    """Anything else is an error that shows how it is done."""
    with pytest.raises(ValueError, match="such as 2026-11-25T08:00Z"):
        parse_instant(text, now=0)


def test_longer_ago_than_the_epoch_is_the_beginning_of_time() -> None:
    """No duration leads to a time that nothing can hold."""
    for age in ("99999999999999d", "999999999999999mo", "3000w"):
        assert parse_instant(age, now=1_700_000_000_000) == 0
