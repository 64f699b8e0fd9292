"""The list of requests: filters, pages, what a row opens to, and the live tail."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from anyio import to_thread
from playwright.async_api import Page, expect

from chainlog_async.requests.paging import SCAN_BUDGET
from tests.support.browser import (
    HOSTILE,
    HOSTILE_SCRIPT,
    Service,
    Viewer,
    hostile_entry,
    loaded,
    recent_entries,
    service,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")

ROWS = "#request-rows tr.request"
REQUIRED = ("timestamp", "chain_name", "provider_id", "model", "latency_ms", "http_status")


async def statuses(page: Page) -> set[str]:
    """The statuses on the list."""
    return set(await page.locator(f"{ROWS} .status").all_inner_texts())


async def choose_status(page: Page, status: str) -> None:
    """Chooses the status that the list is filtered by."""
    await page.locator("#filter-button").click()
    await page.locator("#filter-status").select_option(status)


async def test_a_filter_narrows_the_list_and_stands_in_the_url(busy: Service, viewer: Viewer) -> None:
    """A chosen status shows those requests alone, here, in another browser with the same URL, and not after Back."""
    page = await loaded(await viewer.open(f"{busy.url}/?page=requests"))
    assert await statuses(page) == {"200", "429"}
    await choose_status(page, "429")
    await expect(page.locator(ROWS)).to_have_count(30)
    assert await statuses(page) == {"429"}
    assert "status=429" in page.url
    other = await loaded(await viewer.open(page.url))
    assert await statuses(other) == {"429"}
    await page.go_back()
    await expect(page.locator(ROWS)).to_have_count(50)
    assert "status" not in page.url


async def test_the_list_goes_on_where_it_ended(busy: Service, viewer: Viewer) -> None:
    """`Load more` adds the next requests, none twice, until there are no more."""
    page = await loaded(await viewer.open(f"{busy.url}/?page=requests&caller=team-1"))
    await page.get_by_role("button", name="Load more").click()
    await expect(page.locator(ROWS)).to_have_count(75)
    ids = [await row.get_attribute("data-id") for row in await page.locator(ROWS).all()]
    assert len(set(ids)) == 75
    await expect(page.get_by_role("button", name="Load more")).to_have_count(0)


async def test_a_row_opens_to_every_try_by_keyboard(busy: Service, viewer: Viewer) -> None:
    """Enter on a row shows each try of the chain; the URL then shows the same row opened to somebody else."""
    page = await loaded(await viewer.open(f"{busy.url}/?page=requests&requestId=request-6"))
    row = page.locator(f"{ROWS} button.link")
    await row.focus()
    await page.keyboard.press("Enter")
    await expect(row).to_have_attribute("aria-expanded", "true")
    tries = page.locator(".details:not([hidden]) .trail li")
    await expect(tries).to_have_count(2)
    await expect(tries.first).to_contain_text("429")
    await expect(tries.first).to_contain_text("slow down")
    await expect(page.locator(".details:not([hidden]) .trail .span")).to_have_count(2)
    raw = page.locator(".details:not([hidden]) .raw")
    await raw.locator("summary").click()
    assert (
        json.loads(await raw.locator("pre").inner_text())
        == busy.get("v1/requests", requestId="request-6")["requests"][0]
    )
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await page.get_by_role("button", name="Copy curl").click()
    copied = await page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith(f"curl -H 'Authorization: Bearer KEY' {busy.url}/v1/requests/")
    opened = page.url.replace("requestId=request-6&", "").replace("&requestId=request-6", "")
    other = await loaded(await viewer.open(opened + "&status=429"))
    await expect(other.locator(".details:not([hidden])")).to_contain_text("request-6")
    await page.keyboard.press("Escape")
    await expect(row).to_have_attribute("aria-expanded", "false")


async def test_the_list_is_sorted_cut_and_saved_as_it_is_wanted(busy: Service, viewer: Viewer) -> None:
    """A press on a head sorts what is loaded; columns are chosen and kept; all that match are saved."""
    page = await loaded(await viewer.open(f"{busy.url}/?page=requests&caller=team-1"))
    await page.get_by_role("button", name="Latency", exact=True).click()
    latencies = [int(text.split()[0]) for text in await page.locator(f"{ROWS} [data-label=Latency]").all_inner_texts()]
    assert latencies == sorted(latencies, reverse=True)
    await expect(page.locator("#sorted-note")).to_contain_text("50 requests")
    await page.get_by_role("button", name="Columns").click()
    await page.get_by_label("Request id").check()
    await expect(page.locator("#request-list thead")).to_contain_text("Request id")
    await page.get_by_label("Chain").uncheck()
    await expect(page.locator("#request-list thead")).not_to_contain_text("Chain")
    await page.reload()
    await loaded(page)
    await expect(page.locator("#request-list thead")).to_contain_text("Request id")
    async with page.expect_download() as saving:
        await page.get_by_role("button", name="JSON lines").click()
    download = await saving.value
    lines = (await to_thread.run_sync(Path(await download.path()).read_text)).splitlines()
    assert len(lines) == 75
    assert {json.loads(line)["caller"] for line in lines} == {"team-1"}


async def test_errors_are_counted_by_their_message_and_lead_to_their_requests(busy: Service, viewer: Viewer) -> None:
    """Above the list is what went wrong, most often first; a press on a message shows those requests alone."""
    page = await loaded(await viewer.open(f"{busy.url}/?page=requests"))
    await expect(page.locator("#errors")).to_contain_text("5 of the 50 requests listed have an error (10 %)")
    await page.locator("#errors li button").first.click()
    await expect(page.locator(ROWS)).to_have_count(30)
    assert "error=slow+down" in page.url
    await page.keyboard.press("j")
    await page.keyboard.press("j")
    await expect(page.locator(f"{ROWS} button.link").nth(1)).to_be_focused()
    await page.keyboard.press("k")
    await expect(page.locator(f"{ROWS} button.link").first).to_be_focused()
    await page.keyboard.press("/")
    await expect(page.locator("#search")).to_be_focused()
    await page.keyboard.type("request-12")
    await page.keyboard.press("Enter")
    await expect(page.locator(ROWS)).to_have_count(1)


async def test_filters_that_let_nothing_through_can_be_cleared(busy: Service, viewer: Viewer) -> None:
    """Where nothing passes the page says so and offers to clear the filters, which brings the requests back."""
    page = await loaded(await viewer.open(f"{busy.url}/?page=requests&error=no+such+text"))
    await expect(page.locator("#requests-empty")).to_contain_text("No requests in this range match the filters.")
    await page.locator("#requests-empty").get_by_role("button").click()
    await expect(page.locator(ROWS)).to_have_count(50)
    assert "error" not in page.url


async def test_a_rare_filter_is_searched_a_stretch_at_a_time(tmp_path: Path, viewer: Viewer) -> None:
    """When a search has looked far enough the page says how far back it came, and goes on from there when asked."""
    with service(tmp_path) as running:
        *common, rare = recent_entries(SCAN_BUDGET + 100)
        plain = [{name: row[name] for name in REQUIRED} for row in common]
        running.post([*plain, rare | {"error_message": "a needle"}])
        page = await loaded(await viewer.open(f"{running.url}/?page=requests&error=needle"))
        await expect(page.locator("#more-note")).to_contain_text("Searched back to")
        await page.get_by_role("button", name="Search further back").click()
        await expect(page.locator(ROWS)).to_have_count(1)
        await expect(page.locator("#more-note")).to_be_empty()


async def test_nothing_of_an_entry_becomes_markup(tmp_path: Path, viewer: Viewer) -> None:
    """Names and texts full of markup are shown letter for letter, wherever they stand on any page."""
    with service(tmp_path) as running:
        running.post([hostile_entry()])
        page = await loaded(await viewer.open(f"{running.url}/?page=requests"))
        await page.locator(f"{ROWS} button.link").click()
        detail = page.locator(".details:not([hidden])")
        await expect(detail).to_contain_text(HOSTILE_SCRIPT)
        await expect(detail.locator("pre").last).to_contain_text("</script>")
        for place in ("#request-rows", ".trail", "#errors"):
            await expect(page.locator(place)).to_contain_text("document.title")
        await page.locator("#filter-button").click()
        await page.get_by_role("button", name=f"provider is {HOSTILE_SCRIPT}", exact=True).click()
        await page.keyboard.press("Escape")
        await loaded(page)
        await expect(page.locator(ROWS)).to_have_count(1)
        await page.locator("#page-providers").click()
        await expect(page.locator("#providers")).to_contain_text("document.title")
        await page.locator("#page-overview").click()
        for group in ("provider", "model", "caller"):
            await page.locator(f"#by-{group}").click()
            hostile = HOSTILE_SCRIPT if group == "provider" else HOSTILE
            await expect(page.locator("#legend").get_by_title(f"{hostile}: filter by")).to_have_count(1)
            await expect(page.locator("#groups").get_by_title(f"{hostile}: show only")).to_have_count(1)
        assert await page.title() == "chainlog"
        assert await page.locator("main img, main script, #filters img, header script").count() == 0


async def test_the_live_tail_can_be_paused(tmp_path: Path, viewer: Viewer) -> None:
    """New requests come up by themselves; paused, they are counted, and shown once it goes on."""
    with service(tmp_path) as running:
        first, second, third, old = recent_entries(4)
        running.post([old])
        page = await loaded(await viewer.open(f"{running.url}/?page=requests&live=1&refresh=0"))
        await expect(page.locator("#live-state")).to_have_text("live")
        running.post([third])
        await expect(page.locator(ROWS)).to_have_count(2)
        await page.get_by_role("button", name="Pause").click()
        running.post([second, first])
        await page.get_by_role("button", name="Resume (2 new)").wait_for()
        await expect(page.locator(ROWS)).to_have_count(2)
        await page.get_by_role("button", name="Resume").click()
        await expect(page.locator(ROWS)).to_have_count(4)
        await page.get_by_role("button", name="Live tail").click()
        await expect(page.get_by_role("button", name="Pause")).to_have_count(0)
        assert "live" not in page.url
