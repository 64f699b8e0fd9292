"""Every number of every page is the one that the service gives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

import pytest
from playwright.async_api import Locator, Page, expect

from tests.support.browser import HOUR_MS, Service, Viewer, loaded, recent_entries, service
from tests.support.traces import llmperf_totals, needs_llmperf
from tests.support.writing import until

from .conftest import RECENT

pytestmark = pytest.mark.asyncio(loop_scope="session")

NOTHING = "\N{EN DASH}"
"""What a chart shows of a step without a value."""

PERCENTILES = ("p50", "p95", "p99")


def card(page: Page, title: str) -> Locator:
    """The number on a card."""
    return page.get_by_role("group", name=title, exact=True).locator(".figure")


def row_of(page: Page, table: str, name: str) -> Locator:
    """The row of a table that begins with that name."""
    return page.locator(f"#{table} tbody tr").filter(has=page.get_by_role("rowheader", name=name, exact=True))


def two_digits(ms: object) -> str:
    """A percentile as it is shown: its bins are wider than a third digit."""
    value = float(f"{float(str(ms)):.2g}")
    return f"{value:g} ms" if value < 1000 else f"{value / 1000:g} s"


def dollars(usd: object) -> str:
    """An amount as it is shown."""
    value = float(str(usd))
    return f"${value:.2f}" if value >= 0.1 or value == 0 else f"${value:#.2g}"


async def as_table(page: Page, chart: str) -> dict[str, list[str]]:
    """The chart read as a table: for each series its values, the newest first."""
    await page.locator(f"#chart-{chart}").get_by_role("button", name="as a table").click()
    table = page.locator(f"#chart-{chart} table")
    names = await table.locator("thead th").all_inner_texts()
    rows = await table.locator("tbody tr").all()
    cells = [await row.locator("td").all_inner_texts() for row in rows]
    return {name: [row[place] for row in cells] for place, name in enumerate(names[1:])}


async def test_the_overview_is_the_services_own_totals(busy: Service, viewer: Viewer) -> None:
    """Cards, the table of groups and the charts are those of /v1/usage and /v1/latency."""
    page = await loaded(await viewer.open(f"{busy.url}/?by=caller"))
    (usage,) = busy.get("v1/usage")["points"]
    (latency,) = busy.get("v1/latency")["points"]
    assert usage["requests"] == RECENT
    await expect(card(page, "Requests")).to_have_text(str(usage["requests"]))
    await expect(card(page, "Tokens").locator("[title]")).to_have_attribute("title", f"{usage['totalTokens']:,}")
    await expect(card(page, "Cost")).to_have_text(dollars(usage["costUsd"]))
    await expect(card(page, "Error rate")).to_have_text("10 %")
    await expect(card(page, "429 rate")).to_have_text("10 %")
    percentiles = latency["latencyMs"]
    assert isinstance(percentiles, dict)
    for name in PERCENTILES:
        await expect(card(page, f"Latency {name}")).to_have_text(two_digits(percentiles[name]))
    speeds = {point["name"]: point["latencyMs"] for point in busy.get("v1/latency", by="caller")["points"]}
    for point in busy.get("v1/usage", by="caller")["points"]:
        row = row_of(page, "groups", str(point["name"]))
        for label, value in (("Requests", "requests"), ("Errors", "errors"), ("429", "rateLimited")):
            await expect(row.locator(f"[data-label='{label}']")).to_have_text(str(point[value]))
        await expect(row.locator("[data-label=Cost]")).to_have_text(dollars(point["costUsd"]))
        speed = speeds[point["name"]]
        assert isinstance(speed, dict)
        await expect(row.locator("[data-label=p95]")).to_have_text(two_digits(speed["p95"]))
    shown = await as_table(page, "requests")
    sums = {name: sum(map(int, (value for value in values if value != NOTHING))) for name, values in shown.items()}
    assert sums == {f"team-{number}": RECENT // 4 for number in range(4)}


async def test_latency_is_of_the_requests_and_the_percentile_that_are_chosen(busy: Service, viewer: Viewer) -> None:
    """Percentiles are of answered requests, and of the others at a click; grouped charts show the chosen one."""
    page = await loaded(await viewer.open(busy.url))
    for name, outcome in (("Unanswered", "unanswered"), ("Answered", "answered")):
        (point,) = busy.get("v1/latency", outcome=outcome)["points"]
        await page.get_by_role("group", name="Latency of which").get_by_role("button", name=name, exact=True).click()
        percentiles = point["latencyMs"]
        assert isinstance(percentiles, dict)
        for percentile in PERCENTILES:
            await expect(card(page, f"Latency {percentile}")).to_have_text(two_digits(percentiles[percentile]))
    assert "outcome" not in page.url
    await page.locator("#by-provider").click()
    await page.locator("#percentile-p99").click()
    await expect(page.locator("#chart-latency h3")).to_have_text("Latency, p99")


async def test_the_period_before_is_compared(tmp_path: Path, viewer: Viewer) -> None:
    """Each card says how it changed, in words and colour; groups are sorted by how much their errors rose."""
    day = 86_400_000
    with service(tmp_path) as running:
        now = recent_entries(40)
        before = [one | {"timestamp": int(str(one["timestamp"])) - day - HOUR_MS} for one in recent_entries(20)]
        fine = {"http_status": 200, "error_message": None, "attempts": 1, "attempt_trail": None}
        worse = [one | {"http_status": 500, "caller": "nightly", "error_message": "overloaded"} for one in now[:8]]
        running.post(
            [*(one | fine for one in now[8:]), *worse, *(one | fine | {"caller": "nightly"} for one in before)]
        )
        page = await loaded(await viewer.open(f"{running.url}/?compare=1&by=caller"))
        await expect(card(page, "Requests")).to_contain_text("+100 %")
        await expect(page.locator("#groups tbody th").first).to_have_text("nightly")
        await expect(row_of(page, "groups", "nightly").locator("[data-label='Errors ±']")).to_have_text("new")
        await expect(row_of(page, "groups", "nightly").locator("[data-label='Errors ±'] .bad")).to_have_count(1)
        datasets = (
            "Chart.getChart(document.querySelector('#chart-requests canvas')).data.datasets.map(({label}) => label)"
        )
        assert "Period before" in await page.evaluate(datasets)
        await row_of(page, "groups", "nightly").locator("[data-label=Errors] a").click()
        await expect(page.locator("#request-rows tr.request")).to_have_count(8)
        await expect(page.locator("#errors")).to_contain_text("8 of the 8 requests listed have an error")


async def test_what_caches_saved_is_the_services_own_figure(tmp_path: Path, viewer: Viewer) -> None:
    """The page of costs shows what caches saved, and how many tokens it leaves out for want of a price."""
    with service(tmp_path, CHAINLOG_PRICES="true") as running:
        cached = {"prompt_tokens": 9000, "cached_tokens": 8000, "cache_write_tokens": 2, "cost_usd": None}
        entries = [one | cached | {"http_status": 200} for one in recent_entries(30)]
        names = {"provider_id": "openai", "model": "gpt-4o-mini"}
        running.post([*(one | names for one in entries[5:]), *(one | {"model": "new"} for one in entries[:5])])
        saved = cast("dict[str, float]", running.get("v1/cache-savings")["savings"])
        assert saved["savedUsd"] > 0
        assert saved["unpricedTokens"] == 5 * 8002
        page = await loaded(await viewer.open(f"{running.url}/?page=costs"))
        await expect(card(page, "Saved by caches")).to_have_text(dollars(saved["savedUsd"]))
        told = f"without {saved['unpricedTokens']:,} tokens of models without a price"
        await expect(page.get_by_role("group", name="Saved by caches")).to_contain_text(told)


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
    await expect(card(page, "Tokens").locator("[title]")).to_have_attribute("title", f"{tokens:,}")
    shown = await as_table(page, "requests")
    counts = {
        name: sum(int(value.replace(",", "")) for value in values if value != NOTHING) for name, values in shown.items()
    }
    assert counts == {provider: total[0] for provider, total in totals.items()}


async def test_costs_are_those_of_the_service(busy: Service, viewer: Viewer) -> None:
    """The cost of each model and day, what was spent for nothing, the cached share, and models without a price."""
    page = await loaded(await viewer.open(f"{busy.url}/?page=costs"))
    (usage,) = busy.get("v1/usage")["points"]
    await expect(card(page, "Cost")).to_have_text(dollars(usage["costUsd"]))
    await expect(card(page, "Per 1,000 requests")).to_have_text("$1.00")
    await expect(card(page, "Not answered")).to_have_text("$0.00")
    await expect(card(page, "Cached share")).to_have_text("0 %")
    for point in busy.get("v1/usage", by="model")["points"]:
        row = row_of(page, "spending", str(point["name"]))
        await expect(row.locator("[data-label=Cost]")).to_have_text(dollars(point["costUsd"]))
        await expect(row.locator("[data-label=Requests]")).to_have_text(str(point["requests"]))
    await expect(page.locator("#budgets")).to_contain_text("No budget is set")
    await expect(page.locator("#unpriced-section")).to_be_hidden()
    await page.locator("#by-day").click()
    await expect(page.locator("#spending thead th").first).to_contain_text("Day")
    days = await page.locator("#spending [data-label=Requests]").all_inner_texts()
    assert sum(map(int, days)) == RECENT


async def test_providers_are_shown_with_how_often_they_refuse(busy: Service, viewer: Viewer) -> None:
    """Each provider's row has its tries and its refusals, waterfalls included, as /v1/providers/health gives them."""
    page = await loaded(await viewer.open(f"{busy.url}/?page=providers"))
    health = {row["providerId"]: row for row in busy.get("v1/providers/health")["providers"]}
    assert health["groq"]["attempts"] != 100
    for provider, row in health.items():
        shown = row_of(page, "attempts", str(provider))
        await expect(shown.locator("[data-label=Attempts]")).to_have_text(str(row["attempts"]))
        await expect(shown.locator("[data-label^=Refusals]")).to_contain_text(f"({row['rateLimited']})")


async def test_alerts_and_health_are_those_of_the_service(busy: Service, viewer: Viewer) -> None:
    """An alert that fires says so with what was measured; every counter of the log is shown."""
    page = await loaded(await viewer.open(f"{busy.url}/?page=health"))
    counters = {name: str(value) for name, value in busy.get("v1/statistics").items()}
    await expect(card(page, "Written entries").locator("[title]")).to_have_attribute(
        "title", f"{int(counters['written']):,}"
    )
    await expect(card(page, "Submitted entries").locator("[title]")).to_have_attribute(
        "title", f"{int(counters['submitted']):,}"
    )
    await expect(card(page, "Waiting entries")).to_have_text("0")
    await expect(card(page, "Dropped entries")).to_have_text("0")
    await expect(page.locator("#health")).to_contain_text("ok")
    await page.locator("#page-alerts").click()
    await expect(page.locator("#alerts")).to_contain_text("No alert is set")
    await expect(page.locator("#episodes")).to_contain_text("No alert has fired")


def seconds(ms: object) -> str:
    """A duration as it is shown, from 1 to 60 s."""
    value = float(str(ms)) / 1000
    return f"{round(value, 2 if value < 9.995 else 1):g} s"


async def test_sessions_budgets_and_alerts_are_those_of_the_service(tmp_path: Path, viewer: Viewer) -> None:
    """Each session's sums, what is spent and left of a budget, and what an alert measured."""
    alert = {"name": "failing", "when": "error_rate by provider > 5 % for 24h", "min_requests": 1}
    budget = {"name": "all-of-us", "limit_usd": 0.5, "per": "month", "zone": "UTC"}
    with service(
        tmp_path,
        CHAINLOG_BUDGETS=json.dumps([budget]),
        CHAINLOG_ALERTS=json.dumps([alert]),
        CHAINLOG_ALERT_INTERVAL_MS="1000",
    ) as running:
        entries = recent_entries(60)
        running.post([one | {"session_id": f"talk-{n % 3}", "cached_tokens": 1} for n, one in enumerate(entries)])
        page = await loaded(await viewer.open(f"{running.url}/?page=sessions"))
        sessions = running.get("v1/sessions")["sessions"]
        assert {one["sessionId"] for one in sessions} == {"talk-0", "talk-1", "talk-2"}
        for one in sessions:
            row = page.locator("#session-list tbody tr").filter(has_text=str(one["sessionId"]))
            for label, value in (("Requests", "requests"), ("Errors", "errors"), ("Tokens", "totalTokens")):
                await expect(row.locator(f"[data-label='{label}']")).to_have_text(f"{one[value]:,}")
            await expect(row.locator("[data-label=Cost]")).to_have_text(dollars(one["costUsd"]))
            await expect(row.locator("[data-label='Time in requests']")).to_have_text(seconds(one["latencyMs"]))
            percent = 100 * float(str(one["cachedShare"]))
            await expect(row.locator("[data-label=Cached]")).to_have_text(f"{percent:.{2 if percent < 1 else 1}f} %")
        await page.locator("#page-costs").click()
        (spent,) = running.get("v1/budgets")["budgets"]
        shown = row_of(page, "budget-list", "all-of-us")
        await expect(shown.locator("[data-label=Spent]")).to_contain_text(f"{dollars(spent['spentUsd'])} of $0.50")
        await expect(shown.locator("[data-label=Left]")).to_have_text(dollars(spent["leftUsd"]))
        await until(lambda: has_fired(running))
        await page.locator("#page-alerts").click()
        ((rule,), history) = (running.get("v1/alerts")[part] for part in ("alerts", "history"))
        firing = cast("list[dict[str, object]]", rule["firing"])
        assert firing
        for one in firing:
            await expect(page.locator("#rules")).to_contain_text(f"{one['group']} {one['value']}")
            episode = page.locator("#episodes-table tbody tr").filter(has_text=str(one["group"]))
            await expect(episode.locator("[data-label=Measured]")).to_have_text(str(one["value"]))
        await expect(page.locator("#episodes-table tbody tr")).to_have_count(len(history))


def has_fired(running: Service) -> bool:
    """Whether the alert has fired for every provider with errors."""
    failing = [one for one in running.get("v1/usage", by="provider")["points"] if one["errors"]]
    return len(running.get("v1/alerts")["history"]) == len(failing)
