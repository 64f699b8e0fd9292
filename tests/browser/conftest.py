"""One browser for all tests of a process, and a service with data that they share."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright, expect

from tests.support.browser import FLAGS, PATIENCE_MS, Service, Viewer, find_browser, recent_entries, service
from tests.support.traces import LLMPERF, llmperf_entries

RECENT = 300


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """The browser. Without one the tests are skipped, but in CI, which says REQUIRE_BROWSER=1."""
    program = find_browser()
    if program is None and not os.environ.get("REQUIRE_BROWSER"):
        pytest.skip("no Chromium or Chrome is installed: run `make browser`, or set CHROMIUM to its path")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=FLAGS)
        expect.set_options(timeout=PATIENCE_MS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def viewer(browser: Browser) -> AsyncIterator[Viewer]:
    """Opens pages; a script that fails, or tries what the policy forbids, fails the test."""
    viewer = Viewer(browser)
    yield viewer
    await viewer.close()
    assert viewer.faults == []


@pytest.fixture(scope="session")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with 300 requests of the last 20 hours, and the real trace of 2023 where it is at hand."""
    with service(tmp_path_factory.mktemp("busy")) as running:
        running.post(recent_entries(RECENT))
        if LLMPERF.exists():
            running.post(list(llmperf_entries()))
        yield running
