"""Paths with a slash at their end."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.openapi_document import DOCUMENT
from tests.support.service import KEY, entry, running, service_settings, settled

PATHS = [
    path
    for path, methods in DOCUMENT["paths"].items()  # type: ignore[attr-defined]  # an object
    if "{" not in path and "get" in methods and path != "/v1/requests/stream"
]


async def test_a_slash_at_the_end_changes_nothing(tmp_path: Path) -> None:
    """Every path of the service is answered with and without it, in place and not by a redirect."""
    async with running(service_settings(tmp_path)) as client:
        assert (await client.post("/v1/logs/", json=entry())).status_code == 202
        await settled(client)
        assert len(PATHS) > 12
        for path in (*PATHS, "/v1/requests/1"):
            for method in ("GET", "HEAD"):
                replies = [await client.request(method, path + slash) for slash in ("", "/")]
                assert [reply.status_code for reply in replies] == [200, 200], path
                assert replies[0].headers["content-type"] == replies[1].headers["content-type"]
        for path in ("/v1/stats/providers", "/v1/stats/chains", "/v1/requests"):
            assert (await client.get(f"{path}/?")).json() == (await client.get(path)).json()
        assert (await client.get("/v1/requests/?limit=0")).json()["error"]["param"] == "limit"


@pytest.mark.parametrize("path", ["/health", "/health/"])
async def test_health_needs_no_key_with_or_without_it(tmp_path: Path, path: str) -> None:
    """The one path without a key has none with a slash either; the others still do."""
    async with running(service_settings(tmp_path, server={"api_keys": [KEY]})) as client:
        assert (await client.get(path)).json()["status"] == "ok"
        assert (await client.get("/v1/statistics/")).status_code == 401
