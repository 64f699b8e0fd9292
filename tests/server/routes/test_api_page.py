"""``GET /docs``: the page about the HTTP API."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from chainlog_async import ChainLog
from chainlog_async.server import create_app
from chainlog_async.server.routes.api_page import page_of
from tests.support.openapi_document import DOCUMENT
from tests.support.service import KEY, running, service_settings, serving


async def test_the_page_needs_no_key_and_runs_nothing(tmp_path: Path) -> None:
    """Anybody gets it, with a policy that allows its style sheet and no script, and its style sheet is there."""
    async with running(service_settings(tmp_path, server={"api_keys": [KEY]})) as client:
        page = await client.get("/docs")
        assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert "script-src" not in page.headers["content-security-policy"]
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert "<script" not in page.text
        (style,) = re.findall(r'<link rel="stylesheet" href="([^"]+)"', page.text)
        assert (await client.get(f"/{style}")).headers["content-type"] == "text/css; charset=utf-8"
        assert (await client.get("/docs/")).text.count('"../static/') == 1


@pytest.mark.parametrize("end", ["", "/"])
async def test_links_are_relative(tmp_path: Path, end: str) -> None:
    """Where the service is mounted under a path, what the page links to is under that path."""
    app = create_app(ChainLog(service_settings(tmp_path)), already_running=True)
    async with serving(Starlette(routes=[Mount("/log", app)])) as client:
        page = await client.get(f"/log/docs{end}")
        links = re.findall(r'href="([^"#]+)"', page.text)
        assert len(links) == 3
        for link in links:
            assert (await client.get(str(page.url.join(link)))).status_code == 200, link


def test_every_route_and_schema_is_on_the_page() -> None:
    """Each has a place, links within the page lead somewhere, and nothing that is not markup looks like it."""
    page = page_of(DOCUMENT, ".")
    places = re.findall(r' id="([^"]+)"', page)
    assert len(places) == len(set(places))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(places)
    for path, methods in DOCUMENT["paths"].items():  # type: ignore[attr-defined]  # an object
        assert path in page
        assert {operation["operationId"] for operation in methods.values()} <= set(places)
    for name in DOCUMENT["components"]["schemas"]:  # type: ignore[index]  # an object
        assert f"schema-{name}" in places


def test_what_the_document_says_is_escaped() -> None:
    """A description with markup is shown as it is written."""
    info = {"version": "<b>", "description": "`<script>`"}
    page = page_of({"info": info, "tags": [], "paths": {}, "components": {"schemas": {}}}, ".")
    assert "<script" not in page
    assert "<code>&lt;script&gt;</code>" in page
