"""Pages of other origins: a browser lets none use the service, unless the settings name it."""

from __future__ import annotations

from pathlib import Path

import pytest

from chainlog_async.errors import SettingsError
from tests.support.service import KEY, entry, running, service_settings

ORIGIN = "https://tools.example.org"
PREFLIGHT = {
    "Origin": ORIGIN,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type,idempotency-key",
}


async def test_no_origin_is_allowed_by_default(tmp_path: Path) -> None:
    """Without the setting no answer lets a page of another origin read it, and its posts are refused."""
    async with running(service_settings(tmp_path)) as client:
        read = await client.get("/v1/names", headers={"Origin": ORIGIN})
        assert not [name for name in read.headers if name.startswith("access-control-")]
        assert (await client.post("/v1/logs", json=entry(), headers={"Origin": ORIGIN})).status_code == 403
        assert (await client.options("/v1/logs", headers=PREFLIGHT)).status_code == 405


async def test_a_named_origin_may_read_and_write(tmp_path: Path) -> None:
    """A page of an origin of the settings may do what a page of the service may; another one may not."""
    async with running(service_settings(tmp_path, server={"cors_origins": [ORIGIN]})) as client:
        asked = await client.options("/v1/logs", headers=PREFLIGHT)
        assert (asked.status_code, asked.headers["access-control-allow-origin"]) == (200, ORIGIN)
        posted = await client.post("/v1/logs", json=entry(), headers={"Origin": ORIGIN})
        assert (posted.status_code, posted.headers["access-control-allow-origin"]) == (202, ORIGIN)
        other = {"Origin": "https://elsewhere.example"}
        assert "access-control-allow-origin" not in (await client.get("/v1/names", headers=other)).headers
        assert (await client.post("/v1/logs", json=entry(), headers=other)).status_code == 403


async def test_a_page_can_read_why_it_has_no_access(tmp_path: Path) -> None:
    """The permission is given without a key; a request without one gets 401, which the page may read."""
    settings = service_settings(tmp_path, server={"cors_origins": [ORIGIN], "api_keys": [KEY]})
    async with running(settings) as client:
        assert (await client.options("/v1/logs", headers=PREFLIGHT)).status_code == 200
        refused = await client.get("/v1/names", headers={"Origin": ORIGIN})
        assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, ORIGIN)


@pytest.mark.parametrize(
    "origin", ["*", "tools.example.org", "https://tools.example.org/", "https://Tools.example.org"]
)
def test_an_origin_that_would_not_work_is_refused(tmp_path: Path, origin: str) -> None:
    """What a browser never sends, and any origin without a key, is a mistake in the settings."""
    with pytest.raises(SettingsError, match="cors_origins"):
        service_settings(tmp_path, server={"cors_origins": [origin]})


def test_any_origin_may_be_allowed_with_keys(tmp_path: Path) -> None:
    """With keys, `*` is a choice."""
    settings = service_settings(tmp_path, server={"cors_origins": ["*"], "api_keys": [KEY]})
    assert settings.server.cors_origins == ("*",)
