"""Windows are cut where a time zone's clock says so, and into pieces that cover them once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainlog_async.common.clock import HOUR_MS, QUARTER_MS
from chainlog_async.usage.dimensions import WIDTHS
from chainlog_async.usage.rollup_plan import plan_rollups
from chainlog_async.usage.time_window import MAX_STEPS, STEPS, Step, Window

ZONES = ["UTC", "Europe/Berlin", "America/Sao_Paulo", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Apia"]

times = st.integers(1_000_000_000_000, 2_000_000_000_000)


def ms(when: datetime) -> int:
    """In ms since the epoch."""
    return int(when.timestamp()) * 1_000


@given(start=times, length=st.integers(1, 20 * 86_400_000), step=st.sampled_from(STEPS), zone=st.sampled_from(ZONES))
def test_edges_cover_the_window_in_order(start: int, length: int, step: Step, zone: str) -> None:
    """From at most a quarter of an hour before it to at most one after, and each midnight of the zone is an edge."""
    window = Window(start=start, end=start + length, step=step, zone=zone)
    edges = window.edges()
    assert edges == sorted(set(edges))
    assert all(edge % QUARTER_MS == 0 for edge in edges)
    assert start - QUARTER_MS < edges[0] <= start
    assert start + length <= edges[-1] < start + length + QUARTER_MS
    day = datetime.fromtimestamp(edges[0] / 1_000, ZoneInfo(zone)).date() + timedelta(days=1)
    midnight = ms(datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)))
    assert midnight in edges or midnight > edges[-1]


@pytest.mark.parametrize(
    ("day", "zone", "hours"),
    [
        ((2026, 3, 29), "Europe/Berlin", 23),
        ((2026, 10, 25), "Europe/Berlin", 25),
        ((2026, 4, 5), "Australia/Lord_Howe", 24.5),
        ((2018, 11, 4), "America/Sao_Paulo", 23),
    ],
)
def test_a_day_is_as_long_as_its_clocks_make_it(day: tuple[int, int, int], zone: str, hours: float) -> None:
    """Also where they change at midnight, or by half an hour."""
    noon = datetime(*day, 12, tzinfo=ZoneInfo(zone))
    window = Window(start=ms(noon - timedelta(days=2)), end=ms(noon + timedelta(days=2)), step="1d", zone=zone)
    edges = window.edges()
    (length,) = [later - edge for edge, later in pairwise(edges) if edge <= ms(noon) < later]
    assert length == hours * HOUR_MS


@pytest.mark.parametrize(
    ("window", "words"),
    [
        (Window(start=5, end=5 - QUARTER_MS), "the earlier one first"),
        (
            Window(start=10**12 + 5, end=10**12),
            "ends at 2001-09-09T01:46:40Z, before it starts at 2001-09-09T01:46:40Z",
        ),
        (Window(start=4_070_908_800_000, end=10**12), "before it starts at 2099-01-01T00:00:00Z"),
        (Window(start=0, end=10**9, zone="Nowhere"), "time zone 'Nowhere' is unknown; give a name such as"),
        (Window(start=0, end=10**9, zone="europe/berln"), "did you mean Europe/Berlin?"),
        (Window(start=0, end=10**9, zone="x" * 1_000), "is unknown"),
        (Window(start=-1, end=10), "from 1970 to 9999"),
        (Window(start=0, end=10**18), "from 1970 to 9999"),
        (Window(start=5, end=5), "when it starts"),
        (Window(start=0, end=10**12, step="15m"), f"{MAX_STEPS:,} is the most"),
        (Window(start=0, end=10**9, step="1d", zone="Mars/Olympus"), "time zone 'Mars/Olympus' is unknown"),
        (
            Window(start=0, end=10**9, step="1d", zone="Europe"),
            "time zone 'Europe' is unknown; give a name such as Europe/Berlin",
        ),
        (Window(start=0, end=10**9, step="1d", zone="../../etc/passwd"), "is unknown"),
        (Window(start=0, end=10**9, step="7m"), "step is '7m'"),  # type: ignore[arg-type]  # that is the point
    ],
)
def test_a_window_that_cannot_be_is_refused(window: Window, words: str) -> None:
    """With the value and what to give instead."""
    with pytest.raises(ValueError, match=words):
        window.edges()


@given(
    start=times,
    length=st.integers(1, 3 * 86_400_000),
    step=st.sampled_from([None, *STEPS]),
    zone=st.sampled_from(ZONES),
    data=st.data(),
)
def test_pieces_cover_each_quarter_of_an_hour_once(
    start: int, length: int, step: Step | None, zone: str, data: st.DataObject
) -> None:
    """In its own step, and only what is rolled up is taken for rolled up."""
    edges = Window(start=start, end=start + length, step=step, zone=zone).edges()
    possible = [(width, time) for width in WIDTHS for time in range(edges[0] // width * width, edges[-1], width)]
    rolled_up = data.draw(st.sets(st.sampled_from(possible)))
    quarters: list[tuple[int, int]] = []
    for point, width, since, until in plan_rollups(edges, rolled_up):
        quarters += [(point, time) for time in range(since, until, QUARTER_MS)]
        if width:
            assert {(width, time) for time in range(since, until, width)} <= rolled_up
    assert quarters == [
        (point, time) for point in range(len(edges) - 1) for time in range(edges[point], edges[point + 1], QUARTER_MS)
    ]


def test_whole_days_are_one_piece_each() -> None:
    """Where days are rolled up, a month of them takes one piece a step, and one piece without steps."""
    first = ms(datetime(2026, 5, 1, tzinfo=UTC))
    rolled_up = {(86_400_000, first + day * 86_400_000) for day in range(31)}
    edges = Window(start=first, end=first + 31 * 86_400_000, step="1d").edges()
    assert plan_rollups(edges, rolled_up) == [(day, 86_400_000, edges[day], edges[day + 1]) for day in range(31)]
    assert plan_rollups([edges[0], edges[-1]], rolled_up) == [(0, 86_400_000, edges[0], edges[-1])]


@pytest.mark.parametrize("hour", range(24))
def test_a_day_of_any_whole_hour_is_a_few_spans(hour: int) -> None:
    """Once all is rolled up: at most seven, and four where days begin a multiple of four hours off those of UTC."""
    days = range(0, 48 * HOUR_MS, QUARTER_MS)
    rolled_up = {(width, start) for width in WIDTHS for start in days if start % width == 0}
    pieces = plan_rollups((hour * HOUR_MS, (hour + 24) * HOUR_MS), rolled_up)
    assert 0 not in {width for _, width, _, _ in pieces}
    assert sum((until - since) // width for _, width, since, until in pieces) <= (7 if hour % 4 else 4)
