"""Filters and ranges hold for everything that is shown, and one that cannot be answered says so where it is seen."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlencode

import pytest
from playwright.async_api import Page, Request, Route, expect

from tests.support.browser import Service, Viewer, loaded, recent_entries, service

pytestmark = pytest.mark.asyncio(loop_scope="session")

ROWS = "#request-rows tr.request"
OPEN = "#request-rows .details:not([hidden])"
NOTICE = "#notices .bad"
TOO_LONG = "x" * 1001


async def statuses(page: Page) -> set[str]:
    """The statuses on the list."""
    return set(await page.locator(f"{ROWS} .status").all_inner_texts())


def id_of(running: Service, request_id: str) -> str:
    """The id of the row of that request."""
    (request,) = running.get("v1/requests", requestId=request_id)["requests"]
    return str(request["id"])


async def choose_status(page: Page, status: str) -> None:
    """Chooses the status that the list is filtered by, and leaves the panel open."""
    if not await page.locator("#filter-panel").is_visible():
        await page.locator("#filter-button").click()
    await page.locator("#filter-status").select_option(status)


async def test_names_are_picked_left_out_and_turned_round(busy: Service, viewer: Viewer) -> None:
    """A press on a name filters by it, a second name adds to it, a chip turns round, and Back undoes each of these."""
    page = await loaded(await viewer.open(f"{busy.url}/?by=provider"))
    figure = page.get_by_role("group", name="Requests", exact=True).locator(".figure")
    await page.locator("#groups").get_by_role("button", name="groq").click()
    await expect(figure).to_have_text("100")
    await expect(page.locator("#chip-provider-groq")).to_have_text("provider = groq")
    await page.locator("#filter-button").click()
    await page.get_by_role("button", name="provider is openai").click()
    await expect(figure).to_have_text("200")
    assert "provider=groq&provider=openai" in page.url
    await page.get_by_role("button", name="caller is not team-1").click()
    (usage,) = busy.get("v1/usage", provider=["groq", "openai"], notCaller="team-1")["points"]
    await expect(figure).to_have_text(str(usage["requests"]))
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Remove the filter caller team-1").click()
    await page.get_by_role("button", name="Remove the filter provider openai").click()
    await page.locator("#chip-provider-groq").click()
    await expect(figure).to_have_text("200")
    assert "notProvider=groq" in page.url
    await page.go_back()
    await expect(figure).to_have_text("100")
    await page.locator("#page-requests").click()
    await expect(page.locator(f"{ROWS} [data-label=Provider]").first).to_have_text("groq")
    await page.go_back()
    await expect(page.locator("#page-overview")).to_have_attribute("aria-current", "page")
    await page.get_by_role("button", name="Clear", exact=True).click()
    await expect(figure).to_have_text("300")


async def test_single_requests_are_found_by_bounds_and_a_view_is_saved(busy: Service, viewer: Viewer) -> None:
    """Bounds and a search narrow the list to what the service finds; a saved view leads back to them."""
    page = await loaded(await viewer.open(f"{busy.url}/?page=requests"))
    await page.locator("#filter-button").click()
    bounds = {"minLatencyMs": "120", "maxLatencyMs": "200", "minTokens": "150", "minAttempts": "2"}
    for name, value in bounds.items():
        await page.locator(f"#filter-{name}").fill(value)
        await page.locator(f"#filter-{name}").press("Tab")
    found = busy.get("v1/requests", **bounds, **{"from": "24h"})["requests"]
    assert 0 < len(found) < 50
    await expect(page.locator(ROWS)).to_have_count(len(found))
    await page.locator("#view-name").fill("slow ones")
    await page.locator("#save-view").click()
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Clear", exact=True).click()
    await expect(page.locator(ROWS)).to_have_count(50)
    await page.locator("#filter-button").click()
    await page.get_by_role("link", name="slow ones").click()
    await expect(page.locator(ROWS)).to_have_count(len(found))


async def test_an_open_row_that_the_filters_leave_out_is_closed(busy: Service, viewer: Viewer) -> None:
    """Filters that are chosen while a row is open hold for it too: it stays open only if they let it through."""
    page = await loaded(await viewer.open(f"{busy.url}/?page=requests"))
    await page.locator(ROWS).filter(has_text="200").first.locator("button.link").click()
    await expect(page.locator(OPEN)).to_have_count(1)
    await choose_status(page, "429")
    await expect(page.locator(ROWS)).to_have_count(30)
    assert await statuses(page) == {"429"}
    await expect(page.locator(".details:not([hidden])")).to_have_count(0)
    assert "open=" not in page.url
    await page.keyboard.press("Escape")
    await page.locator(ROWS).nth(3).locator("button.link").click()
    await choose_status(page, "4xx")
    await expect(page.locator("#filter-status")).to_have_value("4xx")
    await loaded(page)
    await expect(page.locator(OPEN)).to_have_count(1)


async def test_a_row_that_a_link_opens_is_shown_apart_from_a_list_without_it(busy: Service, viewer: Viewer) -> None:
    """The list is what the filters say, in its order; the linked request stands above it and says why."""
    linked = id_of(busy, "request-6")
    other = await loaded(await viewer.open(f"{busy.url}/?page=requests&status=429&open={linked}"))
    await expect(other.locator("#apart")).to_contain_text("request-6")
    await expect(other.locator("#apart")).to_contain_text("the filters leave it out")
    await expect(other.locator(ROWS)).to_have_count(30)
    assert await statuses(other) == {"429"}
    await other.get_by_role("button", name="Close").click()
    await expect(other.locator("#apart")).to_be_empty()
    assert "open=" not in other.url
    unknown = await loaded(await viewer.open(f"{busy.url}/?page=requests&open=99999999"))
    await expect(unknown.locator("#apart")).to_contain_text("not in the log")


async def test_a_linked_row_is_shown_once_wherever_it_is(busy: Service, viewer: Viewer) -> None:
    """A request of a further page is apart until that page is loaded, and from then on in its place."""
    linked = id_of(busy, "request-60")
    other = await loaded(await viewer.open(f"{busy.url}/?page=requests&open={linked}"))
    await expect(other.locator("#apart")).to_contain_text("further back")
    await other.get_by_role("button", name="Load more").click()
    await expect(other.locator(OPEN)).to_contain_text("request-60")
    await expect(other.locator("#apart")).to_be_empty()
    assert await other.locator(f"#details-{linked}").count() == 1


async def test_a_linked_row_outside_the_range_says_so(tmp_path: Path, viewer: Viewer) -> None:
    """A link that is followed days later still shows its request, and that the range does not reach it."""
    with service(tmp_path) as running:
        new, old = recent_entries(2)
        running.post([new, old | {"timestamp": int(str(old["timestamp"])) - 5 * 86_400_000}])
        page = await loaded(await viewer.open(f"{running.url}/?page=requests&open=2"))
        await expect(page.locator("#apart")).to_contain_text("outside the range")
        await expect(page.locator(ROWS)).to_have_count(1)


async def test_the_providers_follow_the_filters_that_can_apply(busy: Service, viewer: Viewer) -> None:
    """By provider and model the table is narrowed; chain and caller have no attempts of their own: a note says so."""
    page = await loaded(await viewer.open(f"{busy.url}/?page=providers&provider=groq"))
    await expect(page.locator("#providers tbody th")).to_have_text(["groq"])
    await page.goto(f"{busy.url}/?page=providers&model=gpt-4o-mini")
    await expect(page.locator("#providers tbody th")).to_have_text(["openai"])
    await expect(page.locator("#providers-note")).not_to_contain_text("does not apply")
    await page.goto(f"{busy.url}/?page=providers&notCaller=team-1")
    await expect(page.locator("#providers-note")).to_contain_text("The filter of caller does not apply here")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("status", "teapot"),
        ("minLatencyMs", "-5"),
        ("minLatencyMs", "fast"),
        ("error", TOO_LONG),
        ("requestId", TOO_LONG),
    ],
)
async def test_a_bad_filter_of_the_list_costs_the_list_alone(
    busy: Service, viewer: Viewer, name: str, value: str
) -> None:
    """The reason is in sight and at the filter, and one press clears that filter and leaves the others."""
    page = await loaded(
        await viewer.open(f"{busy.url}/?{urlencode({name: value, 'provider': 'groq', 'page': 'requests'})}")
    )
    await expect(page.locator(NOTICE)).to_be_in_viewport()
    await expect(page.locator(NOTICE)).to_contain_text(name)
    await expect(page.locator("#requests")).to_contain_text(f"cannot be listed: {name} is")
    await expect(page.locator(f"#chip-{name}")).to_have_attribute("aria-invalid", "true")
    await expect(page.get_by_role("button", name="Try again")).to_have_count(0)
    await page.locator(NOTICE).get_by_role("button", name="Clear this filter").click()
    await expect(page.locator(ROWS)).to_have_count(50)
    await expect(page.locator("#notices")).to_be_empty()
    assert name not in page.url
    assert "provider=groq" in page.url


async def test_a_bad_filter_of_everything_can_be_cleared_and_leaves_the_time_zone(
    busy: Service, viewer: Viewer
) -> None:
    """Where nothing can be shown the way out is in sight; afterwards charts still begin at the browser's midnight."""
    page = await viewer.open(f"{busy.url}/?chain={TOO_LONG}")
    await expect(page.locator(NOTICE)).to_contain_text("chain is")
    zones: list[str] = []
    page.on("request", lambda request: zones.extend(_zone_of(request)))
    await page.locator(NOTICE).get_by_role("button", name="Clear this filter").click()
    await expect(page.locator("#groups tbody tr")).to_have_count(3)
    await expect(page.locator("#notices")).to_be_empty()
    assert set(zones) == {"Europe/Berlin"}


def _zone_of(request: Request) -> list[str]:
    return ["Europe/Berlin" if "tz=Europe%2FBerlin" in request.url else "other"] if "step=" in request.url else []


async def test_a_number_that_is_none_is_refused_at_its_field(busy: Service, viewer: Viewer) -> None:
    """What cannot be a latency is not asked for: the field says why, and the list stays until it is mended."""
    page = await loaded(await viewer.open(f"{busy.url}/?page=requests"))
    await page.locator("#filter-button").click()
    field, fault = page.locator("#filter-minLatencyMs"), page.locator("#filter-minLatencyMs-fault")
    for wrong in ("-5", "e", "1e13"):
        await field.press_sequentially(wrong)
        await field.press("Tab")
        await expect(fault).not_to_be_empty()
        await expect(fault).to_be_in_viewport()
        await expect(page.locator(ROWS)).to_have_count(50)
        assert "minLatencyMs" not in page.url
        await field.press("ControlOrMeta+a")
        await field.press("Delete")
    await field.fill("390.5")
    await field.press("Enter")
    await expect(page.locator(ROWS)).to_have_count(9)
    await expect(fault).to_be_empty()


@pytest.mark.parametrize(
    ("view", "title", "remedy"),
    [
        ("from=2024-02-01T00:00Z&until=2024-01-01T00:00Z", "From is after Until", "Swap them"),
        ("from=2024-01-01T00:00Z&until=2024-01-01T00:00Z", "From and Until are the same", "Show the last 24 hours"),
        ("from=7", "From is not a time", "Show the last 24 hours"),
        ("until=yesterday", "Until is not a time", "Show the last 24 hours"),
        ("from=1066-10-14T00:00Z", "From is before 1970", "Show the last 24 hours"),
        ("from=1990-01-01T00:00Z", "refused what the page asked for", "Show the last 24 hours"),
    ],
)
async def test_a_range_that_is_none_is_named_not_guessed(
    busy: Service, viewer: Viewer, view: str, title: str, remedy: str
) -> None:
    """No other range is shown in its place without a word; one press leads to one that has figures."""
    page = await viewer.open(f"{busy.url}/?{view}")
    await expect(page.locator(NOTICE)).to_contain_text(title)
    await expect(page.locator("#cards .card")).to_have_count(0)
    await page.locator(NOTICE).get_by_role("button", name=remedy).click()
    await expect(page.locator("#notices")).to_be_empty()
    await loaded(page)


async def test_dates_that_are_typed_in_any_order_need_no_guess(busy: Service, viewer: Viewer) -> None:
    """With Until chosen first, the page waits for From, says so, and then shows what was meant."""
    page = await loaded(await viewer.open(f"{busy.url}/?page=requests"))
    await page.get_by_role("button", name="Custom").click()
    await page.get_by_label("Until").fill("2024-02-01T00:00")
    await expect(page.locator(NOTICE)).to_contain_text("From is after Until")
    await expect(page.locator("#figures")).to_have_attribute("data-stale", "")
    await page.get_by_label("From").fill("2023-12-01T00:00")
    await expect(page.locator("#notices")).to_be_empty()
    await expect(page.locator("#figures")).not_to_have_attribute("data-stale", "")
    assert "from=2023-11-30T23%3A00" in page.url
    assert "until=2024-01-31T23%3A00" in page.url


async def test_an_error_is_in_sight_of_who_reads_the_list(tmp_path: Path, viewer: Viewer) -> None:
    """Whoever has scrolled down to the list sees why it does not change."""
    with service(tmp_path) as running:
        running.post(recent_entries(60))
        page = await loaded(await viewer.open(f"{running.url}/?page=requests"))
        running.stop()
        await page.locator(ROWS).last.scroll_into_view_if_needed()
        await choose_status(page, "429")
        await expect(page.locator(NOTICE)).to_contain_text("cannot be reached")
        await page.keyboard.press("Escape")
        await expect(page.locator(NOTICE)).to_be_in_viewport(ratio=1)
        await page.mouse.wheel(0, 700)
        await expect(page.locator(NOTICE)).to_be_in_viewport(ratio=1)


async def test_a_service_that_fails_for_a_while_is_asked_again(tmp_path: Path, viewer: Viewer) -> None:
    """After a 503 the page says so and needs no hand: it asks again until there are figures."""
    failures = [503, 503]

    async def answer(route: Route) -> None:
        if not failures:
            await route.continue_()
            return
        body = {"error": {"message": "the disk is away", "type": "server_error", "param": None, "code": "x"}}
        await route.fulfill(status=failures.pop(), json=body)

    with service(tmp_path) as running:
        running.post(recent_entries(3))
        page = await loaded(await viewer.open(f"{running.url}/?page=requests&refresh=0"))
        await page.route("**/v1/names", answer)
        await page.get_by_role("button", name="Refresh now").click()
        await expect(page.locator(NOTICE)).to_contain_text("the disk is away")
        await expect(page.locator("#notices")).to_be_empty()
        assert not failures
