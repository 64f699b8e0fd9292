"""A browser, services to look at, and what they are filled with."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
from playwright.async_api import Browser, BrowserContext, Page

from .cli import Cli, until

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
ON_A_MAC = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"

PATIENCE_MS = 20_000
"""How long a state is waited for, in ms, before a test fails."""

HOSTILE = '<img src=x onerror="document.title=1">'
HOSTILE_SCRIPT = '"></option></select><script>document.title=2</script>'
HOUR_MS = 3_600_000
PROVIDERS = [("groq", "llama-3.1-8b"), ("cerebras", "llama-3.3-70b"), ("openai", "gpt-4o-mini")]


def find_browser() -> str | None:
    """The browser that CHROMIUM names, or the first one that is installed, or None."""
    candidates = [os.environ.get("CHROMIUM"), *map(shutil.which, NAMES), ON_A_MAC]
    return next((path for path in candidates if path and Path(path).exists()), None)


class Viewer:
    """Opens pages, each in a browser profile of its own, and notes what goes wrong in any of them."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._contexts: list[BrowserContext] = []
        self.faults: list[str] = []

    async def open(self, url: str, *, width: int = 1280, scheme: str = "light", contrast: bool = False) -> Page:
        """A page at that URL, as wide as given, on a system that prefers `light` or `dark`, or more contrast."""
        context = await self._browser.new_context(viewport={"width": width, "height": 900}, timezone_id="Europe/Berlin")
        self._contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        context.on("page", self._watch)
        page = await context.new_page()
        await page.emulate_media(
            color_scheme="dark" if scheme == "dark" else "light", contrast="more" if contrast else "no-preference"
        )
        await page.goto(url)
        return page

    async def close(self) -> None:
        """Closes every page."""
        for context in self._contexts:
            await context.close()

    def _watch(self, page: Page) -> None:
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("dialog", lambda dialog: self.faults.append(f"a dialog said {dialog.message}"))
        page.on("console", lambda message: self._note(message.text))

    def _note(self, text: str) -> None:
        # A refused or failed request is logged as an error, too; some tests are about those.
        if "Content Security Policy" in text or "Trusted" in text:
            self.faults.append(text)


async def loaded(page: Page) -> Page:
    """Waits until the figures of the view are on the page."""
    await page.locator("#figures[data-page]:not([aria-busy], [data-stale])").wait_for()
    return page


class Service:
    """A service in a process of its own, in a folder with its database."""

    def __init__(self, cli: Cli, *, key: str | None = None, port: int = 0) -> None:
        self._cli = cli
        self._headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        if key is not None:
            (cli.folder / "config.yaml").write_text(f"settings: {{server: {{api_keys: [{key}]}}}}\n")
        self._process = cli.start("serve", "--port", str(port))
        self.url = self._first_line().removeprefix("chainlog listens on ").strip()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.url.rpartition(":")[2])

    def get(self, path: str, **parameters: str | float | list[str]) -> dict[str, list[dict[str, object]]]:
        """What the service answers."""
        reply = httpx.get(f"{self.url}/{path}", params=parameters, headers=self._headers, trust_env=False, verify=False)
        assert reply.status_code == 200, reply.text
        answer: dict[str, list[dict[str, object]]] = reply.json()
        return answer

    def post(self, entries: list[dict[str, object]]) -> None:
        """Sends entries and waits until they are in the database."""
        reply = httpx.post(f"{self.url}/v1/logs", json=entries, headers=self._headers, trust_env=False, verify=False)
        assert reply.json() == {"accepted": len(entries), "rejected": []}
        self.mark_committed()

    def mark_committed(self) -> None:
        """Waits until everything that was sent is in the database."""
        until(
            lambda: not httpx.get(f"{self.url}/health", trust_env=False, verify=False).json()["accounting"]["pending"]
        )

    def stop(self) -> None:
        """Ends the process."""
        self._process.terminate()
        self._process.communicate(timeout=20)

    def _first_line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().decode()
        assert line, self._process.communicate()[1].decode()
        return line


@contextmanager
def service(folder: Path, *, key: str | None = None, port: int = 0, **environment: str) -> Iterator[Service]:
    """A service for as long as the block lasts."""
    cli = Cli(folder)
    cli._env.update(environment)
    try:
        yield Service(cli, key=key, port=port)
    finally:
        cli.end()


def recent_entries(count: int) -> list[dict[str, object]]:
    """Requests of the last 20 hours, the newest first: every tenth is refused for good, every seventh waterfalls."""
    now = time.time_ns() // 1_000_000
    return [_recent(number, now - number * 20 * HOUR_MS // count) for number in range(count)]


def _recent(number: int, timestamp: int) -> dict[str, object]:
    provider, model = PROVIDERS[number % 3]
    refused = number % 10 == 9
    first = _attempt("groq", "llama-3.1-8b", 429, 40, "slow down")
    last = _attempt(provider, model, 429 if refused else 200, 100 + number, "slow down" if refused else None)
    trail = [first, last] if number % 7 == 6 else [last]
    return {
        "timestamp": timestamp,
        "chain_name": "default" if number % 2 else "fast",
        "provider_id": provider,
        "model": model,
        "prompt_tokens": 0 if refused else 100 + number,
        "completion_tokens": 0 if refused else 20,
        "latency_ms": 100 + number,
        "http_status": 429 if refused else 200,
        "attempts": len(trail),
        "error_message": "slow down" if refused else None,
        "request_id": f"request-{number}",
        "caller": f"team-{number % 4}",
        "ttft_ms": 30 + number % 50,
        "cost_usd": 0.001,
        "attempt_trail": trail,
    }


def _attempt(provider: str, model: str, status: int, latency: int, error: str | None) -> Mapping[str, object]:
    found = {"provider_id": provider, "model": model, "http_status": status, "latency_ms": latency}
    return found if error is None else found | {"error_message": error}


def hostile_entry() -> dict[str, object]:
    """A request every text of which tries to become markup."""
    return {
        "chain_name": HOSTILE,
        "provider_id": HOSTILE_SCRIPT,
        "model": HOSTILE,
        "latency_ms": 5,
        "http_status": 500,
        "error_message": HOSTILE_SCRIPT,
        "request_id": HOSTILE,
        "caller": HOSTILE,
        "metadata": {HOSTILE: HOSTILE_SCRIPT},
        "attempt_trail": [
            {"provider_id": HOSTILE_SCRIPT, "model": HOSTILE, "http_status": 500, "error_message": HOSTILE}
        ],
    }
