"""How the dashboard is used: with a key, by keyboard, on a phone, in the dark, on an empty or a lost service."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import httpx
import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, expect
from starlette.applications import Starlette
from starlette.routing import Mount

from chainlog_async import ChainLog, Settings
from chainlog_async.entry.json_input import entry_from_mapping
from chainlog_async.server import create_app
from tests.support.browser import Service, Viewer, loaded, recent_entries, service
from tests.support.service import KEY, serving

pytestmark = pytest.mark.asyncio(loop_scope="session")

PHONE = 390


async def brightness(page: Page) -> int:
    """How bright the page's background is, 0 to 255."""
    colour: str = await page.evaluate("getComputedStyle(document.body).backgroundColor")
    return max(int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(","))


async def test_the_key_is_asked_for_once_and_kept_for_the_tab(tmp_path: Path, viewer: Viewer) -> None:
    """One question for all that was refused, told when the key is wrong; not again in this tab, but in another."""
    with service(tmp_path, key=KEY) as running:
        running.post(recent_entries(3))
        page = await viewer.open(running.url)
        dialog = page.get_by_role("dialog", name="API key")
        await page.get_by_label("Key", exact=True).fill("wrong")
        await page.keyboard.press("Enter")
        await expect(dialog).to_contain_text("did not accept this key")
        await page.get_by_label("Key", exact=True).fill(KEY)
        await page.keyboard.press("Enter")
        await loaded(page)
        await expect(dialog).to_be_hidden()
        await loaded(await reloaded(page))
        await expect(dialog).to_be_hidden()
        assert KEY not in page.url
        other = await page.context.new_page()
        await other.goto(running.url)
        await expect(other.get_by_role("dialog", name="API key")).to_be_visible()
        await other.get_by_role("button", name="Cancel").click()
        await expect(other.locator("#notices")).to_contain_text("needs an API key")


async def test_a_key_with_a_caller_shows_that_caller(tmp_path: Path, viewer: Viewer) -> None:
    """Its figures and requests are there; what is known of all callers together is said not to be."""
    keys = json.dumps([KEY, {"key": "own", "can": "read", "caller": "team-1"}])
    with service(tmp_path, CHAINLOG_SERVER__API_KEYS=keys) as running:
        running._headers = {"Authorization": f"Bearer {KEY}"}
        running.post(recent_entries(8))
        page = await viewer.open(f"{running.url}/?page=requests")
        await page.get_by_label("Key", exact=True).fill("own")
        await page.keyboard.press("Enter")
        await loaded(page)
        await expect(page.locator("tbody tr[data-id]")).to_have_count(2)
        await page.locator("#page-providers").click()
        await expect(page.locator("#providers")).to_contain_text("Your key sees one caller")
        await page.get_by_role("button", name="Sign out").click()
        await expect(page.get_by_role("dialog", name="API key")).to_be_visible()


async def reloaded(page: Page) -> Page:
    """The page, loaded again."""
    await page.reload()
    return page


async def test_everything_can_be_reached_by_keyboard(busy: Service, viewer: Viewer) -> None:
    """The first Tab shows a link past the controls; buttons answer to Enter and keep the focus afterwards."""
    page = await loaded(await viewer.open(busy.url))
    await page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the figures")
    await expect(skip).to_be_focused()
    await expect(skip).to_be_in_viewport()
    await page.keyboard.press("Enter")
    await expect(page.locator("#main")).to_be_focused()
    week = page.get_by_role("button", name="7d")
    await week.focus()
    await page.keyboard.press("Enter")
    await expect(week).to_have_attribute("aria-pressed", "true")
    await loaded(page)
    await expect(week).to_be_focused()
    assert "range=7d" in page.url
    unnamed = (
        "button:not([aria-label]):empty, input:not(#key):not(label input, [aria-label]), canvas:not([aria-labelledby])"
    )
    assert await page.locator(unnamed).count() == 0
    ids = await page.evaluate("[...document.querySelectorAll('[id]')].map((node) => node.id)")
    assert len(ids) == len(set(ids))


async def test_a_phone_shows_everything_on_short_pages(busy: Service, viewer: Viewer) -> None:
    """At 390 pixels no page is wider than the screen, and a list takes two lines for a request."""
    page = await loaded(await viewer.open(f"{busy.url}/?page=requests&caller=team-1", width=PHONE))
    await expect(page.locator("#request-rows tr.request")).to_have_count(20)
    row = await page.locator("#request-rows tr.request").first.bounding_box()
    assert row is not None
    assert row["height"] < 80
    await page.locator("#request-rows button.link").first.click()
    for name in ("requests", "overview", "costs", "providers", "sessions", "alerts", "health"):
        await page.locator(f"#page-{name}").click()
        await loaded(page)
        assert await page.evaluate("document.documentElement.scrollWidth") <= PHONE, name
        wide = await page.evaluate(
            "[...document.querySelectorAll('main *')]"
            ".filter((node) => node.getBoundingClientRect().right > innerWidth + 1)"
            ".filter((node) => !node.closest('.hidden, .scroll')).map((node) => node.outerHTML.slice(0, 80))"
        )
        assert wide == [], name


async def test_axe_finds_nothing(busy: Service, viewer: Viewer) -> None:
    """On no page, with a request open and the filters too, in the light and in the dark, and with more contrast."""
    axe = Axe()
    enhanced = ["color-contrast-enhanced"]
    # What the dark changes is the contrast.
    for scheme, contrast, rules in (
        ("light", False, None),
        ("dark", False, ["color-contrast"]),
        ("light", True, enhanced),
        ("dark", True, enhanced),
    ):
        url = f"{busy.url}/?page=requests&requestId=request-6&compare=1"
        page = await loaded(await viewer.open(url, scheme=scheme, contrast=contrast))
        await page.locator("#request-rows button.link").click()
        await page.locator("#filter-button").click()
        for name in ("requests", "overview", "costs", "providers", "sessions", "alerts", "health"):
            if name != "requests":
                await page.locator(f"#page-{name}").click()
                await loaded(page)
            only = {"runOnly": rules} if rules else {}
            found = await axe.run(page, options={"resultTypes": ["violations"], **only})
            assert found.violations_count == 0, (name, scheme, contrast, found.generate_report())


async def test_dark_and_light_follow_the_system_until_one_is_chosen(busy: Service, viewer: Viewer) -> None:
    """In the dark the page is dark; the button makes it light, and it is still light after loading it again."""
    page = await loaded(await viewer.open(busy.url, scheme="dark"))
    assert await brightness(page) < 40
    await page.get_by_role("button", name="Light or dark").click()
    assert await brightness(page) > 220
    await loaded(await reloaded(page))
    assert await brightness(page) > 220


async def test_an_empty_log_tells_how_to_send_the_first_entry(tmp_path: Path, viewer: Viewer) -> None:
    """The command that is shown works as it stands, and after it the page has figures."""
    with service(tmp_path) as running:
        page = await viewer.open(running.url)
        command = shlex.split(await page.locator("#first-curl pre").inner_text())
        assert command[:4] == ["curl", "-X", "POST", f"{running.url}/v1/logs"]
        async with httpx.AsyncClient(trust_env=False, verify=False) as client:
            reply = await client.post(command[3], content=command[command.index("-d") + 1])
        assert reply.json()["accepted"] == 1
        running.mark_committed()
        await expect(page.get_by_role("group", name="Requests", exact=True).locator(".figure")).to_have_text("1")
        await expect(page.locator("#first-curl")).to_have_count(0)


async def test_a_service_that_is_gone_is_told_and_found_again(tmp_path: Path, viewer: Viewer) -> None:
    """The page says that the service does not answer and what to look at; once it is back, the figures are, too."""
    with service(tmp_path) as running:
        running.post(recent_entries(3))
        page = await loaded(await viewer.open(running.url))
        running.stop()
        await page.get_by_role("button", name="Refresh now").click()
        await expect(page.locator("#notices")).to_contain_text("chainlog serve")
        await expect(page.locator("#health-dot")).to_have_attribute("title", "no response")
        with service(tmp_path, port=running.port):
            await page.get_by_role("button", name="Try again").click()
            await expect(page.locator("#notices")).to_be_empty()
            await expect(page.locator("#health-dot")).to_have_attribute("title", "ok")


async def test_it_works_under_a_path_of_a_gateway(tmp_path: Path, viewer: Viewer) -> None:
    """In a gateway that mounts the service at /chainlog, the page finds its figures there."""
    async with ChainLog(Settings(db_path=tmp_path / "log.db")) as chainlog:
        for entry in recent_entries(5):
            chainlog.submit(entry_from_mapping(entry))
        await chainlog.flush()
        gateway = Starlette(routes=[Mount("/chainlog", app=create_app(chainlog, already_running=True))])
        async with serving(gateway) as client:
            page = await loaded(await viewer.open(str(client.base_url.join("/chainlog"))))
            await expect(page.get_by_role("group", name="Requests", exact=True).locator(".figure")).to_have_text("5")
            await page.goto("about:blank")


async def test_a_service_without_time_zones_is_asked_in_utc(tmp_path: Path, viewer: Viewer) -> None:
    """Where the service does not know the browser's zone, the figures come all the same."""
    with service(tmp_path, PYTHONTZPATH="") as running:
        running.post(recent_entries(3))
        page = await loaded(await viewer.open(running.url))
        await expect(page.get_by_role("group", name="Requests", exact=True).locator(".figure")).to_have_text("3")
        await expect(page.locator("#notices")).to_be_empty()
