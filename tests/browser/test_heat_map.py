"""The heat map shows how many requests took how long, and leads to them."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from playwright.async_api import Page, expect

from chainlog_async.usage.percentiles import UPPERS
from tests.support.browser import Service, Viewer, loaded

from .test_figures import NOTHING

pytestmark = pytest.mark.asyncio(loop_scope="session")

CELL = """
(canvas) => {
  const ratio = canvas.width / canvas.clientWidth;
  const pen = canvas.getContext("2d");
  for (let y = 8; y < canvas.clientHeight - 30; y += 2)
    for (let x = 60; x < canvas.clientWidth; x += 2)
      if (pen.getImageData(x * ratio, y * ratio, 1, 1).data[3]) return [x + 2, y + 1];
}
"""
"""A place within the first cell that has a colour."""


async def shown_bands(page: Page) -> dict[str, int]:
    """The sums of the heat map's bands, read from its table."""
    await page.get_by_role("button", name="Latency heat map as a table").click()
    table = page.locator("#heat-map table")
    names = (await table.locator("thead th").all_inner_texts())[1:]
    sums: Counter[str] = Counter()
    for row in await table.locator("tbody tr").all():
        for name, text in zip(names, await row.locator("td").all_inner_texts(), strict=True):
            sums[name] += int(text or 0)
    return {name: number for name, number in sums.items() if number}


def milliseconds(text: str) -> float:
    """What a duration such as "1.2 s" is in ms."""
    number, unit = text.split()
    return float(number.replace(",", "")) * {"ms": 1, "s": 1000}[unit]


@pytest.mark.parametrize("query", ["", "by=provider", "outcome=unanswered", "outcome=all"])
async def test_its_numbers_are_those_of_the_service(busy: Service, viewer: Viewer, query: str) -> None:
    """Each band counts the requests of the service's bins within it, of all groups together."""
    page = await loaded(await viewer.open(f"{busy.url}/?{query}"))
    outcome = query.partition("outcome=")[2] or "answered"
    (point,) = busy.get("v1/latency", outcome=outcome, bins="true")["points"]
    bins = point["latencyBins"]
    assert isinstance(bins, list)
    bands = await shown_bands(page)
    assert sum(bands.values()) == sum(one["requests"] for one in bins)
    expected: Counter[str] = Counter()
    for one in bins:
        inside = [
            name
            for name in bands
            for low, high in [map(milliseconds, name.split(f" {NOTHING} "))]
            if low * 0.99 <= one["minMs"] and one["maxMs"] <= high * 1.01
        ]
        expected[inside[0]] += one["requests"]
    assert bands == dict(expected)


@pytest.mark.parametrize("outcome", ["answered", "unanswered", "all"])
async def test_a_cell_tells_what_it_is_and_leads_to_its_requests(busy: Service, viewer: Viewer, outcome: str) -> None:
    """Hovering says when, how long and how many; a press lists just those requests."""
    page = await loaded(await viewer.open(f"{busy.url}/?outcome={outcome}"))
    canvas = page.locator("#heat-map canvas")
    await canvas.scroll_into_view_if_needed()
    x, y = await canvas.evaluate(CELL)
    await canvas.hover(position={"x": x, "y": y})
    tip = page.locator("#heat-map .tip")
    await expect(tip).to_be_visible()
    said = re.search(r"s: (\d+) of (\d+) \(", await tip.inner_text())
    assert said is not None
    await canvas.click(position={"x": x, "y": y})
    await expect(page.locator("#page-requests")).to_have_attribute("aria-current", "page")
    await expect(page.locator("#request-rows tr.request")).to_have_count(int(said[1]))
    assert "minLatencyMs" in page.url


async def test_the_page_has_the_services_bins(busy: Service, viewer: Viewer) -> None:
    """Its bins begin and end where those of the service do."""
    page = await loaded(await viewer.open(busy.url))
    bins = await page.locator("script[type=module]").evaluate("({src}) => new URL('core/bins.js', src).href")
    uppers = await page.evaluate(
        "async ([url, count]) => { const {longestOf} = await import(url);"
        " return Array.from({length: count}, (_, place) => longestOf(place)); }",
        [bins, len(UPPERS)],
    )
    assert uppers == list(UPPERS)


async def test_an_hour_of_it_is_counted_by_the_minute(busy: Service, viewer: Viewer) -> None:
    """It has as many requests as the range, whether or not the charts show groups."""
    for query in ("range=1h", "range=1h&by=provider"):
        page = await loaded(await viewer.open(f"{busy.url}/?{query}"))
        shown = await page.get_by_role("group", name="Requests", exact=True).locator(".figure").inner_text()
        failed = await page.locator("#groups [data-label=Errors]").all_inner_texts()
        assert sum((await shown_bands(page)).values()) == int(shown) - sum(map(int, failed))
