"""The dashboard's page and files over HTTP: who gets them, and what a browser is told about them."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from chainlog_async import ChainLog
from chainlog_async.server import create_app
from chainlog_async.server.routes.dashboard import STATIC_MEDIA_TYPES
from tests.support.service import KEY, running, service_settings, serving

STATIC = Path(__file__).resolve().parents[3] / "chainlog_async" / "server" / "static"


def links_of(page: str) -> list[str]:
    """What the page loads."""
    return re.findall(r'(?:src|href)="([^"#]+)"', page)


async def test_the_page_and_its_files_need_no_key(tmp_path: Path) -> None:
    """With keys set the page and all it loads are still anybody's, for they hold no data; the data is not."""
    async with running(service_settings(tmp_path, server={"api_keys": [KEY]})) as client:
        page = await client.get("/")
        assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        links = links_of(page.text)
        assert len(links) > 5
        for link in links:
            assert (await client.get(link)).status_code == 200, link
        assert (await client.get("/v1/stats/summary")).status_code == 401
        assert (await client.get("/static/../v1/stats/summary")).status_code == 401


async def test_every_file_is_served_as_what_it_is(tmp_path: Path) -> None:
    """Each file comes byte for byte with its media type, compressed for whoever takes that; Chart.js comes, too."""
    async with running(service_settings(tmp_path)) as client:
        folder = links_of((await client.get("/")).text)[0].rpartition("/")[0]
        for file in STATIC.rglob("*.*"):
            if file.name == "index.html":
                continue
            name = file.relative_to(STATIC).as_posix()
            reply = await client.get(f"{folder}/{name}", headers={"Accept-Encoding": "identity"})
            assert reply.content == file.read_bytes()
            assert reply.headers["content-type"] == STATIC_MEDIA_TYPES[file.suffix[1:]]
        zipped = await client.send(client.build_request("GET", f"{folder}/chart.js"), stream=True)
        body = b"".join([chunk async for chunk in zipped.aiter_raw()])
        assert zipped.headers["content-encoding"] == "gzip"
        assert b"Chart.js v4" in gzip.decompress(body)[:200]
        assert len(body) < 300_000


async def test_no_module_waits_for_another_to_ask_for_it(tmp_path: Path) -> None:
    """The page names every module, so that a browser fetches them all at once; and names none that is not there."""
    async with running(service_settings(tmp_path)) as client:
        links = links_of((await client.get("/")).text)
    named = {"/".join(link.split("/")[2:]) for link in links if link.endswith(".js")}
    assert named == {script.relative_to(STATIC).as_posix() for script in STATIC.rglob("*.js")} | {"chart.js"}


async def test_all_that_a_browser_loads_at_first_is_small(tmp_path: Path) -> None:
    """The page and everything that it names take less than 300 kB over the network."""
    async with running(service_settings(tmp_path)) as client:
        page = await client.get("/")
        whole = len(page.content)
        for link in links_of(page.text):
            reply = await client.send(client.build_request("GET", link), stream=True)
            whole += len(b"".join([chunk async for chunk in reply.aiter_raw()]))
    assert whole < 300_000


async def test_files_are_kept_for_ever_and_the_page_is_not(tmp_path: Path) -> None:
    """The page is asked for again each time, at the price of a 304; files live under a digest and never change."""
    async with running(service_settings(tmp_path)) as client:
        page = await client.get("/")
        again = await client.get("/", headers={"If-None-Match": page.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert page.headers["cache-control"] == "no-cache"
        link = next(link for link in links_of(page.text) if link.endswith("app.js"))
        assert "immutable" in (await client.get(link)).headers["cache-control"]
        old = await client.get("/static/0123456789abcdef/app.js")
        assert (old.status_code, old.headers["cache-control"]) == (200, "no-cache")


@pytest.mark.parametrize(
    "path", ["/static/x/nothing.js", "/static/x/index.html", "/static/", "/static/x/%2e%2e/app.js"]
)
async def test_what_is_not_a_file_is_not_there(tmp_path: Path, path: str) -> None:
    """A name that is not one of the files gives 404 in the shape of every other error."""
    async with running(service_settings(tmp_path)) as client:
        reply = await client.get(path)
    assert (reply.status_code, reply.json()["error"]["code"]) == (404, "not_found")


async def test_the_browser_is_told_to_run_nothing_else(tmp_path: Path) -> None:
    """No inline script or style, no other site, no frame around it, no string as markup; and the page keeps to it."""
    async with running(service_settings(tmp_path)) as client:
        page = await client.get("/")
    policy = dict(part.split(" ", 1) for part in page.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert {policy[name] for name in ("script-src", "style-src", "connect-src")} == {"'self'"}
    assert policy["frame-ancestors"] == "'none'"
    assert policy["require-trusted-types-for"] == "'script'"
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["referrer-policy"] == "no-referrer"
    assert not re.search(r"<style|<script(?![^>]* src=)|\son\w+=|\sstyle=|https?:", page.text)


async def test_under_a_path_of_a_gateway_every_link_leads_there(tmp_path: Path) -> None:
    """Mounted at /chainlog, the page's links are relative, and the page is there with and without the last slash."""
    async with ChainLog(service_settings(tmp_path, server={"api_keys": [KEY]})) as chainlog:
        gateway = Starlette(routes=[Mount("/chainlog", app=create_app(chainlog, already_running=True))])
        async with serving(gateway) as client:
            page = await client.get("/chainlog", follow_redirects=True)
            assert page.url.path == "/chainlog/"
            for link in links_of(page.text):
                assert (await client.get(page.url.join(link))).status_code == 200, link
            assert (await client.get("/chainlog/v1/stats/summary")).status_code == 401


def test_nothing_in_the_scripts_makes_markup_of_a_string() -> None:
    """No script of the page has a way to turn text into markup or code."""
    ways = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment|\beval\b|Function\("
    )
    for script in STATIC.rglob("*.js"):
        assert not re.search(ways, script.read_text(encoding="utf-8")), script.name
