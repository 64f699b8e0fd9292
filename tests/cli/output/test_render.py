"""How numbers, times and texts look to people."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from chainlog_async.cli.output.render import age, count_text, duration, plain, utc_text
from chainlog_async.cli.output.table import Column, Table

NOW = 1_700_000_000_000


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "0 ms"),
        (999, "999 ms"),
        (999.6, "1.00 s"),
        (1530, "1.53 s"),
        (59_994, "59.99 s"),
        (59_999, "1 min 00 s"),
        (125_000, "2 min 05 s"),
        (3_599_600, "1 h 00 min"),
        (3_720_000, "1 h 02 min"),
        (1e10, "2,777 h 47 min"),
    ],
)
def test_durations(ms: float, text: str) -> None:
    """A duration has the unit that fits it, and never 60 of anything."""
    assert duration(ms) == text


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (NOW, "now"),
        (NOW - 1_000, "1 s ago"),
        (NOW - 59_999, "59 s ago"),
        (NOW - 180_000, "3 min ago"),
        (NOW - 7_200_000, "2 h ago"),
        (NOW - 90_000_000_000, "1,041 d ago"),
        (NOW + 120_000, "in 2 min"),
        (None, ""),
    ],
)
def test_ages(ms: int | None, text: str) -> None:
    """How long ago something was is said in one unit; a clock that is ahead is no error."""
    assert age(ms, now=NOW) == text


@pytest.mark.parametrize(
    ("ms", "text"),
    [(0, "1970-01-01 00:00:00"), (-1, "1969-12-31 23:59:59"), (10**17, str(10**17)), (None, "never")],
)
def test_instants(ms: int | None, text: str) -> None:
    """A time is in UTC; one that no calendar has is shown as its number."""
    assert utc_text(ms) == text


def test_texts_keep_what_is_harmless() -> None:
    """Letters of every script, emoji and their joiners stay; what drives a terminal becomes an escape."""
    harmless = "ünïcödé 日本語 👨\u200d👩\u200d👧 क\u200cष [bold]"
    assert plain(harmless) == harmless
    assert plain("\x00\x1b\x7f\x9b\u2028\u202e\ud800\U000e0041") == r"\x00\x1b\x7f\x9b\u2028\u202e\ud800\U000e0041"


def test_nouns_follow_their_numbers() -> None:
    """One entry, two entries."""
    assert [count_text(n, "entry", "entries") for n in (0, 1, 1234)] == ["0 entries", "1 entry", "1,234 entries"]


def test_a_table_that_grows_stays_aligned() -> None:
    """Rows that are printed later are never narrower than the ones before."""
    console = Console(file=io.StringIO(), width=100_000)
    table = Table(console, [Column("name"), Column("count", right=True), Column("end")])
    table.print([("a long name", "1", "x")])
    table.print([("short", "12", "y")], header=False)
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().splitlines() == [
        "name         count  end",
        "───────────  ─────  ───",
        "a long name      1  x",
        "short           12  y",
    ]
