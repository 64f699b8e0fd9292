"""Makes the pictures of the dashboard for the README: `make screenshots`."""

from __future__ import annotations

import asyncio
import math
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from playwright.async_api import async_playwright

from tests.support.browser import FLAGS, HOUR_MS, Viewer, find_browser, loaded, service
from tests.support.cli import ROOT, until

FOLDER = ROOT / "docs" / "images"
COUNT = 6000
DAYS = 7
DEMO_COUNT = 480
"""As many requests as the demo's clients send in a minute."""

PROVIDERS = [
    ("groq", "llama-3.1-8b-instant", 290, 0.12, 0.06),
    ("cerebras", "llama-3.3-70b", 420, 0.08, 0.65),
    ("openai", "gpt-4o-mini", 880, 0.012, 0.35),
    ("anthropic", "claude-haiku-4.5", 1050, 0.02, 2.4),
    ("openrouter", "llama-3.3-70b:free", 1900, 0.22, 0),
]
"""Provider, model, usual latency in ms, how often it refuses, dollars for a million tokens."""


def made_up_entries() -> list[dict[str, object]]:
    """A week of a gateway with five providers, busier by day, and an hour in which one of them refused a lot."""
    chance = random.Random(429)
    now = time.time_ns() // 1_000_000
    entries: list[dict[str, object]] = []
    while len(entries) < COUNT:
        age = chance.random() * DAYS * 24
        hour = (now / HOUR_MS - age) % 24
        if chance.random() < 0.25 + 0.75 * math.sin(math.pi * hour / 24) ** 4:
            entries.append(_made_up(chance, round(now - age * HOUR_MS), outage=30 < age < 33))
    return entries


def _made_up(chance: random.Random, timestamp: int, *, outage: bool) -> dict[str, object]:
    first = chance.choices(range(len(PROVIDERS)), [6, 3, 3, 2, 1])[0]
    trail: list[dict[str, object]] = []
    for place in range(3):
        trail.append(_try(chance, (first + place) % len(PROVIDERS), outage=outage))
        if trail[-1]["http_status"] == 200:
            break
    last = trail[-1]
    answered = last["http_status"] == 200
    prompt, completion = (chance.randint(80, 4000), chance.randint(10, 900)) if answered else (0, 0)
    latency = sum(float(str(attempt["latency_ms"])) for attempt in trail)
    price = next(price for provider, *_, price in PROVIDERS if provider == last["provider_id"])
    return {
        "timestamp": timestamp,
        "chain_name": chance.choices(["default", "fast", "long-context"], [6, 3, 1])[0],
        "provider_id": last["provider_id"],
        "model": last["model"],
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "cached_tokens": prompt // 3 if chance.random() < 0.4 else 0,
        "latency_ms": latency,
        "http_status": last["http_status"],
        "attempts": len(trail),
        "error_message": last.get("error_message"),
        "request_id": f"req_{chance.getrandbits(40):010x}",
        "caller": chance.choice(["team-search", "team-support", "nightly-batch", "alice"]),
        "ttft_ms": latency * chance.uniform(0.2, 0.4) if answered else None,
        "cost_usd": (prompt + 4 * completion) * price / 1e6,
        "streamed": chance.random() < 0.6,
        "metadata": {"region": "eu-west", "tier": "pro"},
        "attempt_trail": trail,
    }


def _try(chance: random.Random, place: int, *, outage: bool) -> dict[str, object]:
    provider, model, usual, refuses, _ = PROVIDERS[place]
    tried: dict[str, object] = {"provider_id": provider, "model": model}
    if chance.random() < (0.85 if outage and provider in {"groq", "cerebras", "openai"} else refuses):
        error = f"Rate limit reached for model {model}: limit 30 requests per minute"
        return tried | {"http_status": 429, "latency_ms": chance.randint(20, 90), "error_message": error}
    latency = round(chance.lognormvariate(math.log(usual), 0.45))
    if chance.random() < 0.02:
        error = "upstream connect error or disconnect/reset before headers"
        return tried | {"http_status": 503, "latency_ms": latency, "error_message": error}
    return tried | {"http_status": 200, "latency_ms": latency}


async def take(viewer: Viewer, url: str) -> None:
    """Takes one picture in the light, of the figures, and one in the dark, of a request that waterfalled."""
    page = await loaded(await viewer.open(f"{url}/?range=7d&by=provider"))
    await page.screenshot(path=FOLDER / "dashboard-light.png")
    page = await loaded(await viewer.open(f"{url}/?page=requests&range=7d&status=429", scheme="dark"))
    await page.locator("#request-rows button.link").first.click()
    await page.locator(".details:not([hidden]) .trail").wait_for()
    await page.screenshot(path=FOLDER / "dashboard-dark.png")
    page = await loaded(await viewer.open(f"{url}/?by=provider", width=390))
    await page.screenshot(path=Path(tempfile.gettempdir()) / "dashboard-phone.png", full_page=True)


async def take_demo(viewer: Viewer, dashboard: str) -> None:
    """Takes one picture of the demo: the requests that are coming in."""
    page = await loaded(await viewer.open(f"{dashboard}?page=requests&range=1h&live=1"))
    await page.locator("#live-state", has_text="live").wait_for()
    # Until one of those in the picture fell over to another provider.
    await page.locator("#request-rows tr.request:nth-child(-n+16) .again").first.wait_for()
    await page.screenshot(path=FOLDER / "demo.png")


@contextmanager
def demo(folder: Path) -> Iterator[str]:
    """The URL of the dashboard of a demo that has been running for about a minute, for as long as the block lasts."""
    command = [sys.executable, "-m", "examples.demo", "--port", "0", "--db", str(folder / "demo.db")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().removeprefix("The dashboard").strip()
            until(lambda: httpx.get(f"{url}health", trust_env=False).json()["accounting"]["written"] >= DEMO_COUNT)
            yield url
        finally:
            process.send_signal(signal.SIGINT)


async def main() -> None:
    """Runs a service with made-up requests and the demo, looks at them, and leaves the pictures in docs/images."""
    FOLDER.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        service(Path(folder)) as running,
        demo(Path(folder)) as demo_dashboard,
    ):
        running.post(made_up_entries())
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=find_browser(), args=FLAGS)
            viewer = Viewer(browser)
            await take(viewer, running.url)
            await take_demo(viewer, demo_dashboard)
            await viewer.close()
            await browser.close()
    for fault in viewer.faults:
        sys.stderr.write(f"{fault}\n")


if __name__ == "__main__":
    asyncio.run(main())
