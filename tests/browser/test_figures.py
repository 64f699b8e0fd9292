"""The dashboard shows the numbers that the service gives."""

from __future__ import annotations

import pytest
from playwright.async_api import Locator, Page, expect

from tests.support.browser import Service, Viewer, loaded
from tests.support.traces import llmperf_totals, needs_llmperf

from .conftest import RECENT

pytestmark = pytest.mark.asyncio(loop_scope="session")


def card(page: Page, title: str) -> Locator:
    """The number on a card."""
    return page.get_by_role("group", name=title, exact=True).locator(".figure")


async def as_table(page: Page, chart: str) -> dict[str, list[str]]:
    """The chart read as a table: for each series its values, the newest first."""
    await page.locator(f"#chart-{chart}").get_by_role("button", name="as a table").click()
    table = page.locator(f"#chart-{chart} table")
    names = await table.locator("thead th").all_inner_texts()
    rows = await table.locator("tbody tr").all()
    cells = [await row.locator("td").all_inner_texts() for row in rows]
    return {name: [row[place] for row in cells] for place, name in enumerate(names[1:])}


async def test_the_cards_are_the_services_own_totals(busy: Service, viewer: Viewer) -> None:
    """Requests, tokens, rates, cost and percentiles on the cards are those of /v1/usage and /v1/latency."""
    page = await loaded(await viewer.open(busy.url))
    (usage,) = busy.get("v1/usage")["points"]
    (latency,) = busy.get("v1/latency")["points"]
    assert usage["requests"] == RECENT
    await expect(card(page, "Requests")).to_have_text(str(usage["requests"]))
    await expect(card(page, "Tokens")).to_have_attribute("title", f"{usage['totalTokens']:,}")
    await expect(card(page, "Cost")).to_have_text("$0.30")
    await expect(card(page, "Error rate")).to_have_text("10 %")
    await expect(card(page, "429 rate")).to_have_text("10 %")
    percentiles = latency["latencyMs"]
    assert isinstance(percentiles, dict)
    shown = [f"{round(percentiles[name])} ms" for name in ("p50", "p95", "p99")]
    await expect(card(page, "Latency")).to_have_text(shown)
    await expect(card(page, "Waiting entries")).to_have_text("0")
    await expect(card(page, "Dropped entries")).to_have_text("0")


async def test_latency_is_of_answers_and_of_failures_when_asked_for(busy: Service, viewer: Viewer) -> None:
    """The cards and charts show percentiles of answered requests, and those of the others at a click."""
    page = await loaded(await viewer.open(busy.url))
    (answered,) = busy.get("v1/latency")["points"]
    (unanswered,) = busy.get("v1/latency?outcome=unanswered")["points"]
    for name, point in (("Answered", answered), ("Unanswered", unanswered), ("Answered", answered)):
        await (
            page.get_by_role("group", name="Latency of which requests")
            .get_by_role("button", name=name, exact=True)
            .click()
        )
        percentiles = point["latencyMs"]
        assert isinstance(percentiles, dict)
        shown = [f"{round(percentiles[percentile])} ms" for percentile in ("p50", "p95", "p99")]
        await expect(card(page, "Latency")).to_have_text(shown)
    assert "outcome" not in page.url


async def test_a_chart_can_be_read_as_a_table_of_the_same_numbers(busy: Service, viewer: Viewer) -> None:
    """Grouped by provider, each value of the chart is the service's for that provider and step."""
    page = await loaded(await viewer.open(f"{busy.url}/?by=provider"))
    shown = await as_table(page, "requests")
    assert {name: sum(map(int, values)) for name, values in shown.items()} == {
        "groq": 100,
        "cerebras": 100,
        "openai": 100,
    }
    await page.get_by_role("button", name="Chain", exact=True).click()
    await expect(page.locator("#chart-requests thead")).to_contain_text("default")


@needs_llmperf
async def test_a_real_trace_shows_its_own_counts(busy: Service, viewer: Viewer) -> None:
    """A range of 2023 shows the trace's 2,845 requests and 392 refusals, and each provider's own count."""
    page = await loaded(await viewer.open(f"{busy.url}/?by=provider"))
    await page.get_by_role("button", name="Custom").click()
    await page.get_by_label("From").fill("2023-12-01T00:00")
    await page.get_by_label("Until").fill("2024-02-01T00:00")
    totals = llmperf_totals()
    await expect(card(page, "Requests")).to_have_text("2,845")
    assert "from=2023-11-30T23%3A00%3A00.000Z" in page.url
    await expect(page.get_by_role("group", name="429 rate")).to_contain_text("392 ended with 429")
    await expect(card(page, "429 rate")).to_have_text("13.8 %")
    tokens = sum(total[1] for total in totals.values())
    await expect(card(page, "Tokens")).to_have_attribute("title", f"{tokens:,}")
    shown = await as_table(page, "requests")
    counts = {name: sum(int(value.replace(",", "")) for value in values) for name, values in shown.items()}
    assert counts == {provider: total[0] for provider, total in totals.items()}


async def test_providers_are_shown_with_how_often_they_refuse(busy: Service, viewer: Viewer) -> None:
    """Each provider's row has its tries and its refusals, waterfalls included, as /v1/providers/health gives them."""
    page = await loaded(await viewer.open(busy.url))
    health = {row["providerId"]: row for row in busy.get("v1/providers/health")["providers"]}
    assert health["groq"]["attempts"] != 100
    for provider, row in health.items():
        shown = page.locator("#providers tbody tr").filter(has=page.get_by_role("rowheader", name=str(provider)))
        await expect(shown.locator("[data-label=Attempts]")).to_have_text(str(row["attempts"]))
        await expect(shown.locator("[data-label^=Refusals]")).to_contain_text(f"({row['rateLimited']})")


async def test_a_series_can_be_switched_off(busy: Service, viewer: Viewer) -> None:
    """A press on a name in a legend takes that series out of every chart, and a second one brings it back."""
    page = await loaded(await viewer.open(f"{busy.url}/?by=provider"))
    legend = page.locator("#chart-tokens .legend").get_by_role("button", name="groq")
    await legend.click()
    await expect(legend).to_have_attribute("aria-pressed", "false")
    assert "groq" not in await as_table(page, "requests")
    await legend.click()
    await expect(page.locator("#chart-requests thead")).to_contain_text("groq")
