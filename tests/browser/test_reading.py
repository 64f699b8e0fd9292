"""What is read stays where it is and can be read: rows under the live tail, dates of other years, long names."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from playwright.async_api import Locator, Page, expect

from tests.support.browser import Service, Viewer, loaded, recent_entries, service

pytestmark = pytest.mark.asyncio(loop_scope="session")

ROWS = "#request-rows tr.request"
DAY_MS = 86_400_000
CHRISTMAS = 1_703_505_600_000
"""Noon in Greenwich on 25 December 2023."""


async def place_of(locator: Locator) -> float:
    """How far it is from the top of the window."""
    box = await locator.bounding_box()
    assert box is not None
    return box["y"]


async def live(page: Page) -> Page:
    """Waits until the live tail follows."""
    await expect(page.locator("#live-state")).to_have_text("live")
    return await loaded(page)


async def test_the_live_tail_does_not_move_an_open_row(tmp_path: Path, viewer: Viewer) -> None:
    """While a row is open new requests are counted; once it is closed they are on the list."""
    with service(tmp_path) as running:
        *new, old, older = recent_entries(14)
        running.post([older, old])
        page = await live(await viewer.open(f"{running.url}/?page=requests&live=1&refresh=0"))
        row = page.locator(ROWS).first
        await row.locator("button.link").click()
        before = await place_of(page.locator(".details:not([hidden])"))
        running.post(list(reversed(new)))
        await expect(page.locator("#catch-up")).to_have_text("12 new requests")
        await expect(page.locator("#catch-up")).to_be_in_viewport()
        assert await place_of(page.locator(".details:not([hidden])")) == before
        await expect(page.locator(ROWS)).to_have_count(2)
        await row.locator("button.link").click()
        await page.locator("#search").focus()
        await expect(page.locator(ROWS)).to_have_count(14)
        await expect(page.locator("#catch-up")).to_have_count(0)


async def test_the_live_tail_does_not_move_rows_that_are_scrolled_to(tmp_path: Path, viewer: Viewer) -> None:
    """Further down nothing moves; the count is in sight, and a press on it leads to the new requests."""
    with service(tmp_path) as running:
        new, newer, *old = reversed(recent_entries(62))
        running.post(list(old[:60]))
        page = await live(await viewer.open(f"{running.url}/?page=requests&live=1&refresh=0"))
        await page.locator(ROWS).nth(40).scroll_into_view_if_needed()
        row = page.locator(f"{ROWS}[data-id='{await page.locator(ROWS).nth(40).get_attribute('data-id')}']")
        before = await place_of(row)
        now = int(time.time() * 1000)
        running.post([new | {"timestamp": now}, newer | {"timestamp": now + 1}])
        await expect(page.locator("#catch-up")).to_have_text("2 new requests")
        assert await place_of(row) == before
        await expect(page.locator(ROWS)).to_have_count(50)
        await page.locator("#catch-up").click()
        await expect(page.locator(ROWS)).to_have_count(52)
        await expect(page.locator(ROWS).first).to_be_in_viewport()


async def test_the_live_tail_keeps_the_order_and_the_range(tmp_path: Path, viewer: Viewer) -> None:
    """What is logged late stands where its time is, and what an import brings from before the range is left out."""
    with service(tmp_path) as running:
        newest, late, old, before = recent_entries(4)
        running.post([old, newest])
        page = await live(await viewer.open(f"{running.url}/?page=requests&live=1&refresh=0"))
        running.post([before | {"timestamp": CHRISTMAS}])
        running.post([late])
        await expect(page.locator(f"{ROWS} [data-label=Latency]")).to_have_text(["100 ms", "101 ms", "102 ms"])


async def test_a_refresh_does_not_move_rows_that_are_scrolled_to(tmp_path: Path, viewer: Viewer) -> None:
    """The figures are refreshed by themselves, the list only where nobody has scrolled into it."""
    with service(tmp_path) as running:
        first, *old = recent_entries(60)
        running.post(old)
        page = await loaded(await viewer.open(f"{running.url}/?page=requests&refresh=10"))
        await page.locator(ROWS).nth(40).scroll_into_view_if_needed()
        row = page.locator(f"{ROWS}[data-id='{await page.locator(ROWS).nth(40).get_attribute('data-id')}']")
        before = await place_of(row)
        running.post([first])
        async with page.expect_response("**/health"):
            pass
        assert await place_of(row) == before
        await expect(page.locator(ROWS)).to_have_count(50)


async def test_more_than_can_be_kept_is_loaded_anew(tmp_path: Path, viewer: Viewer) -> None:
    """When more came during a pause than the page keeps, the list has no gap afterwards."""
    with service(tmp_path) as running:
        *new, old = recent_entries(601)
        running.post([old])
        page = await live(await viewer.open(f"{running.url}/?page=requests&live=1&refresh=0"))
        await page.get_by_role("button", name="Pause").click()
        for first in (0, 200, 400):
            running.post(list(reversed(new))[first : first + 200])
        await page.get_by_role("button", name="Resume (more than 500 new)").click()
        await expect(page.locator(ROWS)).to_have_count(50)
        await expect(page.get_by_role("button", name="Load more")).to_be_visible()


def at_christmas() -> list[dict[str, object]]:
    """Requests of two days of 2023, the last of them refused."""
    entries = recent_entries(48)
    return [one | {"timestamp": CHRISTMAS - number * 3_600_000} for number, one in enumerate(entries)]


async def labels_of(page: Page, chart: str) -> list[str]:
    """The times that are written under a chart."""
    ticks: list[str] = await page.evaluate(
        "(id) => Chart.getChart(document.querySelector(`#chart-${id} canvas`)).scales.x.ticks"
        ".map(({label}) => [label].flat().join(' '))",
        chart,
    )
    return [tick for tick in ticks if tick]


async def test_dates_of_another_year_have_their_year(tmp_path: Path, viewer: Viewer) -> None:
    """On the list, in the providers' errors, and under charts of days and of hours, a past year is named."""
    with service(tmp_path) as running:
        running.post(at_christmas())
        view = "range=custom&from=2023-12-18T00:00Z&until=2023-12-31T00:00Z"
        page = await loaded(await viewer.open(f"{running.url}/?page=requests&{view}"))
        await expect(page.locator(f"{ROWS} th").first).to_contain_text("2023")
        await page.goto(f"{running.url}/?page=providers&{view}")
        await expect(page.locator("#providers [data-label='Last error']").first).to_contain_text("2023")
        days = await labels_of(page, "requests")
        assert days
        assert all("2023" in day for day in days)
        await page.goto(f"{running.url}/?range=custom&from=2023-12-25T06:00Z&until=2023-12-25T12:00Z")
        await loaded(page)
        hours = await labels_of(page, "latency")
        assert len(hours) > 2
        assert "Dec 25, 2023" in hours[0]
        assert not any("2023" in hour for hour in hours[1:])
        assert all(hour.split(" ")[0].endswith(":00") for hour in hours)
        await page.get_by_label("Times in").select_option("utc")
        await loaded(page)
        assert (await labels_of(page, "latency"))[0].startswith("6:00")
        assert "zone=utc" in page.url


async def test_an_old_log_opens_on_its_own_time(tmp_path: Path, viewer: Viewer) -> None:
    """Whoever opens an imported log sees its requests at once; an empty range says where the newest one is."""
    with service(tmp_path) as running:
        running.post(at_christmas())
        page = await loaded(await viewer.open(running.url))
        figure = page.get_by_role("group", name="Requests", exact=True).locator(".figure")
        await expect(figure).to_have_text("48")
        assert "range=all" in page.url
        await page.get_by_role("button", name="24h").click()
        await expect(page.locator("#notices")).to_contain_text("The newest request is of Dec 25, 2023")
        await page.locator("#show-newest").click()
        await expect(figure).to_have_text("25")


async def test_yesterday_is_a_day_of_the_shown_zone(tmp_path: Path, viewer: Viewer) -> None:
    """From midnight to midnight, and it can be compared with the day before; new requests are not in it."""
    midnight = int(time.time()) // 86_400 * 86_400_000
    with service(tmp_path) as running:
        at = [midnight - 2 * 86_400_000, midnight - 86_400_000 - 1, midnight - 86_400_000, midnight - 1, midnight]
        running.post([{**one, "timestamp": ms} for one, ms in zip(recent_entries(5), at, strict=True)])
        page = await loaded(await viewer.open(f"{running.url}/?zone=utc"))
        await page.get_by_role("button", name="Yesterday").click()
        figure = page.get_by_role("group", name="Requests", exact=True).locator(".figure")
        await expect(figure).to_have_text("2")
        assert "range=yesterday" in page.url
        await page.locator("#page-requests").click()
        await expect(page.locator(ROWS)).to_have_count(2)
        await page.get_by_role("button", name="Custom").click()
        assert "range=custom" in page.url
        await expect(page.locator(ROWS)).to_have_count(2)


async def test_dates_of_this_year_and_of_today_stay_short(busy: Service, viewer: Viewer) -> None:
    """What the reader knows is not repeated: no year in the last 24 hours, and no day where it is today's."""
    page = await loaded(await viewer.open(f"{busy.url}/?page=requests"))
    year = str(time.localtime().tm_year)
    days = await page.locator(f"{ROWS} th").all_inner_texts()
    in_this_year = [day for day in days if str(int(year) - 1) not in day]
    assert in_this_year
    assert not any(year in day for day in in_this_year)


def long(name: str) -> str:
    """A name of 256 characters without a place to break it."""
    return (name + "-" + "x" * 256)[:256]


async def with_long_names(running: Service) -> None:
    """Fills a service with names as long as they may be, twelve of each kind, and an unbroken error."""
    running.post(
        [
            one
            | {
                "chain_name": long(f"chain-{number}"),
                "provider_id": long(f"provider-{number}"),
                "model": long(f"model-{number}"),
                "caller": long(f"caller-{number}"),
                "request_id": long(f"request-{number}"),
                "error_message": "e" * 500,
                "http_status": 500,
                "attempts": 1,
                "attempt_trail": None,
            }
            for number, one in enumerate(recent_entries(12))
        ]
    )


OUTSIDE = """
[...document.querySelectorAll('body *')]
  .filter((node) => node.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
  .filter((node) => !node.closest('.hidden, .scroll, nav, .filters, .controls, option, [popover]'))
  .map((node) => node.outerHTML.slice(0, 120))
"""


@pytest.mark.parametrize("width", [390, 1280])
async def test_the_longest_names_break_nothing(tmp_path: Path, viewer: Viewer, width: int) -> None:
    """With 256 characters in every name nothing leaves the page; names lose their middle, and can be read in full."""
    with service(tmp_path) as running:
        await with_long_names(running)
        page = await loaded(await viewer.open(f"{running.url}/?by=model", width=width))
        await expect(page.locator("#legend .entry")).to_have_count(10)
        name = long("model-0")
        shown = page.locator("#groups").get_by_title(name).first
        await expect(shown).to_contain_text("model-0-xxx")
        await expect(shown).to_contain_text("…xxx")
        await page.locator("#chart-requests").get_by_role("button", name="as a table").click()
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        assert await page.evaluate(OUTSIDE) == []
        await page.locator("#page-requests").click()
        await loaded(page)
        await page.locator(ROWS).first.locator("button.link").click()
        await expect(page.locator(".details:not([hidden])")).to_contain_text(long("request-0"))
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        assert await page.evaluate(OUTSIDE) == []


BAR = """
(() => {
  const chart = Chart.getChart(document.querySelector('#chart-requests canvas'));
  const place = chart.data.datasets[0].data.findIndex(({y}) => y);
  const {x, y} = chart.getDatasetMeta(0).data[place].getCenterPoint();
  return [x, y];
})()
"""
TOOLTIP = """
(() => {
  const {tooltip, width} = Chart.getChart(document.querySelector('#chart-requests canvas'));
  if (!(tooltip.opacity > 0 && tooltip.dataPoints.length)) return null;
  const {element} = tooltip.dataPoints[0];
  return [tooltip.width, width, tooltip.x, tooltip.x + tooltip.width, element.x];
})()
"""


async def test_a_tooltip_of_long_names_fits_its_chart(tmp_path: Path, viewer: Viewer) -> None:
    """What a chart says of a step is no wider than the chart, and beside the step."""
    with service(tmp_path) as running:
        await with_long_names(running)
        page = await loaded(await viewer.open(f"{running.url}/?by=model"))
        canvas = page.locator("#chart-requests canvas")
        await canvas.scroll_into_view_if_needed()
        x, y = await page.evaluate(BAR)
        await canvas.hover(position={"x": x, "y": y})
        shown = await (await page.wait_for_function(TOOLTIP)).json_value()
        width, widest, left, right, bar = shown
        assert width < widest
        assert not left < bar < right


async def test_a_long_message_stays_in_its_notice(busy: Service, viewer: Viewer) -> None:
    """An error that repeats what was asked, without a place to break it, widens nothing."""
    page = await viewer.open(f"{busy.url}/?chain={'x' * 1001}", width=390)
    await expect(page.locator("#notices .bad")).to_contain_text("chain is")
    assert await page.evaluate("document.documentElement.scrollWidth") <= 390
    assert await page.evaluate(OUTSIDE) == []
