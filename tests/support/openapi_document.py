"""What the service says of itself in `/openapi.json`, read once."""

from __future__ import annotations

from pathlib import Path

import anyio
import httpx

from chainlog_async import ChainLog
from chainlog_async.server import create_app
from chainlog_async.settings import Settings

KEY = "key-of-the-test"
HEADERS = {"Authorization": f"Bearer {KEY}"}


async def _document() -> dict[str, object]:
    """The document, without a service: it does not depend on the log."""
    settings = Settings(db_path=Path("never-opened.db"), server={"api_keys": [KEY]})
    app = create_app(ChainLog(settings), already_running=True)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        document: dict[str, object] = (await client.get("/openapi.json", headers=HEADERS)).json()
    return document


DOCUMENT = anyio.run(_document)
