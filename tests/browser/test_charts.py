"""Charts are a way into the log: a press or a drag on one leads to what it shows."""

from __future__ import annotations

from itertools import pairwise
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.async_api import Page, expect

from tests.support.browser import Service, Viewer, loaded

pytestmark = pytest.mark.asyncio(loop_scope="session")

ROWS = "#request-rows tr.request"
BAR = """
([chart, label]) => {
  const drawn = Chart.getChart(document.querySelector(`#chart-${chart} canvas`));
  const at = drawn.data.datasets.findIndex((one) => one.label === label);
  const place = drawn.data.datasets[at].data.findIndex(({y}) => y);
  const {x, y} = drawn.getDatasetMeta(at).data[place].getCenterPoint();
  return [x, y];
}
"""


async def bar_of(page: Page, chart: str, series: str) -> tuple[float, float]:
    """The middle of the first bar of a series, in its chart."""
    await page.locator(f"#chart-{chart} canvas").scroll_into_view_if_needed()
    x, y = await page.evaluate(BAR, [chart, series])
    return x, y


async def test_a_press_on_a_chart_leads_to_what_it_shows(busy: Service, viewer: Viewer) -> None:
    """A bar of errors leads to those requests of that time; a bar or a name of a group filters by it."""
    page = await loaded(await viewer.open(busy.url))
    x, y = await bar_of(page, "errors", "429")
    await page.locator("#chart-errors canvas").click(position={"x": x, "y": y})
    await expect(page.locator("#page-requests")).to_have_attribute("aria-current", "page")
    assert "status=429" in page.url
    assert "range=custom" in page.url
    await expect(page.locator(f"{ROWS} .status").first).to_have_text("429")
    await page.go_back()
    await page.locator("#by-provider").click()
    await expect(page.locator("#legend .entry")).to_have_count(3)
    x, y = await bar_of(page, "requests", "openai")
    await page.locator("#chart-requests canvas").click(position={"x": x, "y": y})
    await expect(page.locator("#chip-provider-openai")).to_be_visible()
    await page.go_back()
    await page.locator("#only-all-groq").click()
    await expect(page.locator("#chip-provider-groq")).to_be_visible()
    await page.locator("#page-overview").click()
    await page.get_by_role("link", name="Error rate: show more").click()
    (groq,) = busy.get("v1/usage", provider="groq")["points"]
    await expect(page.locator(ROWS)).to_have_count(int(str(groq["errors"])))


async def test_a_drag_over_a_chart_chooses_its_range(busy: Service, viewer: Viewer) -> None:
    """The range is that of the steps that were touched, and Back leads to the one before."""
    page = await loaded(await viewer.open(busy.url))
    box = await page.locator("#chart-tokens canvas").bounding_box()
    await page.locator("#chart-tokens").scroll_into_view_if_needed()
    box = await page.locator("#chart-tokens canvas").bounding_box()
    assert box is not None
    await page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 80)
    await page.mouse.down()
    await page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 90)
    await page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + 90)
    await expect(page.locator("#chart-tokens .shade")).to_be_visible()
    await page.mouse.up()
    await expect(page.get_by_label("From")).to_be_visible()
    assert "range=custom" in page.url
    shown = parse_qs(urlsplit(page.url).query)
    (usage,) = busy.get("v1/usage", **{name: shown[name][0] for name in ("from", "until")})["points"]
    assert 0 < int(str(usage["requests"])) < 150
    await expect(page.get_by_role("group", name="Requests", exact=True).locator(".figure")).to_have_text(
        str(usage["requests"])
    )
    await page.go_back()
    assert "range" not in page.url


async def test_an_hour_is_shown_by_the_minute(busy: Service, viewer: Viewer) -> None:
    """Bars of a minute add up to what the service counts, in total and by group."""
    page = await loaded(await viewer.open(f"{busy.url}/?range=1h&by=provider"))
    requests = "Chart.getChart(document.querySelector('#chart-requests canvas'))"
    bars = await page.evaluate(
        f"{requests}.data.datasets.map(({{label, data}}) => [label, data.map(({{x, y}}) => [x, y])])"
    )
    xs = [x for x, _ in bars[0][1]]
    assert {second - first for first, second in pairwise(xs)} == {60_000}
    sums = {name: sum(y or 0 for _, y in values) for name, values in bars}
    window = {"from": str(int(xs[0])), "until": str(int(xs[-1]))}
    assert sums == {one["name"]: one["requests"] for one in busy.get("v1/usage", by="provider", **window)["points"]}


async def test_a_series_can_be_hidden_and_scales_and_lines_tell_the_truth(busy: Service, viewer: Viewer) -> None:
    """One legend hides a series in every chart; lines are straight and broken at gaps; the scale may be logarithmic."""
    page = await loaded(await viewer.open(f"{busy.url}/?by=provider"))
    labels = "Object.values(Chart.instances).map(({data}) => data.datasets.map(({label}) => label).join())"
    await page.get_by_role("button", name="groq in the charts").click()
    assert set(await page.evaluate(labels)) == {"cerebras,openai"}
    await page.get_by_role("button", name="groq in the charts").click()
    assert "groq" in (await page.evaluate(labels))[0]
    await page.get_by_role("button", name="Log scale").click()
    await loaded(page)
    latency = "Chart.getChart(document.querySelector('#chart-latency canvas'))"
    assert await page.evaluate(f"{latency}.scales.y.type") == "logarithmic"
    lines = await page.evaluate(f"{latency}.data.datasets.map(({{tension, spanGaps}}) => [tension, spanGaps])")
    assert all(line == [0, False] for line in lines)
    edges = await page.evaluate(f"{latency}.scales.x.ticks.map(({{value}}) => new Date(value).getMinutes())")
    assert set(edges) == {0}
