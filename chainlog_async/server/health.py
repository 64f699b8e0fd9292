"""``GET /health``: how the service is, for whoever asks."""

from __future__ import annotations

import os
import time

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import chainlog_async
from chainlog_async.errors import ClosedError
from chainlog_async.server.replies import json_reply
from chainlog_async.service import ChainLog


def health_route(chainlog: ChainLog) -> Route:
    """The route that tells status, version, uptime in seconds, reasons, notes, and the accounting of entries."""
    started = time.monotonic()
    folder = f"{chainlog.settings.db_path.absolute().parent}{os.sep}"

    async def get_health(_request: Request) -> Response:
        health = chainlog.health()
        content = {
            "status": health.status,
            "version": chainlog_async.__version__,
            "uptime": round(time.monotonic() - started, 3),
            "reasons": health.reasons,
            "notes": health.notes,
            "accounting": _accounting(chainlog),
        }
        # Nobody needs a key for this, so it does not tell where on the machine the database is.
        shown = _without(folder, content)
        return json_reply(shown, status=503 if health.status == "failed" else 200)

    return Route("/health", get_health)


def _accounting(chainlog: ChainLog) -> object:
    try:
        return msgspec.to_builtins(chainlog.statistics())
    except ClosedError:
        return None


def _without(folder: str, value: object) -> object:
    if isinstance(value, str):
        return value.replace(folder, "")
    if isinstance(value, dict):
        return {key: _without(folder, item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without(folder, item) for item in value]
    return value
