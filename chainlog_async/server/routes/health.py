"""``GET /health`` and ``GET /v1/statistics``: the health of the service, and its counters."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

import chainlog_async
from chainlog_async.chainlog import ChainLog
from chainlog_async.common.cancellation import run_in_thread
from chainlog_async.errors import ClosedError
from chainlog_async.server.http.operation import Operation
from chainlog_async.server.http.parameters import ParsedParameters
from chainlog_async.server.http.responses import json_reply
from chainlog_async.server.paths import HEALTH_PATH
from chainlog_async.statistics import Statistics


class HealthReply(msgspec.Struct, frozen=True):
    """The health of the service."""

    status: Literal["ok", "degraded", "failed"]
    version: str
    uptime: float
    """In seconds."""
    reasons: tuple[str, ...]
    """Why it is not ok, with the remedy."""
    notes: tuple[str, ...]
    """Notes that do not affect the status."""
    accounting: Statistics | None
    """None before the log is open."""


class HealthEndpoints:
    """What the service reports about itself."""

    def __init__(self, chainlog: ChainLog) -> None:
        self._chainlog = chainlog
        self._started = time.monotonic()
        self._database = chainlog.settings.db_path.absolute()
        # Where the log is kept on another machine, errors name that one.
        url = chainlog.settings.db_url
        self._hidden = {} if url is None else {url.shown: "db_url"}
        self._is_complete = False

    def operations(self) -> list[Operation]:
        """Returns the routes."""
        return [
            Operation(HEALTH_PATH, self.get_health, HealthReply, other_answers={503: HealthReply}, needs="nothing"),
            Operation("/v1/statistics", self.get_statistics, Statistics, needs="read_all"),
        ]

    async def get_health(self, _request: Request, _parameters: ParsedParameters) -> Response:
        """Health of the service, without an API key; 503 when an operator needs to act."""
        health = self._chainlog.health()
        content = HealthReply(
            health.status,
            chainlog_async.__version__,
            round(time.monotonic() - self._started, 3),
            health.reasons,
            health.notes,
            self._accounting(),
        )
        # Answered without a key, so it must not reveal the folder of the database, nor that of the file behind a link,
        # which SQLite's errors name, nor another machine.
        if not self._is_complete:
            self._hidden |= dict.fromkeys(await run_in_thread(_folders_of, self._database), "")
            self._is_complete = True
        shown = _without(self._hidden, msgspec.to_builtins(content))
        return json_reply(shown, status=503 if health.status == "failed" else 200)

    async def get_statistics(self, _request: Request, _parameters: ParsedParameters) -> Response:
        """Counters of this process: submitted == written + pending + everything dropped."""
        return json_reply(self._chainlog.statistics())

    def _accounting(self) -> Statistics | None:
        try:
            return self._chainlog.statistics()
        except ClosedError:
            return None


def _folders_of(path: Path) -> list[str]:
    names = {f"{place.parent}{os.sep}" for place in (path, path.resolve())}
    return sorted(names - {os.sep}, key=len, reverse=True)


def _without(hidden: Mapping[str, str], value: object) -> object:
    """Replaces texts wherever they occur."""
    if isinstance(value, str):
        return functools.reduce(lambda text, one: text.replace(one, hidden[one]), hidden, value)
    if isinstance(value, dict):
        return {key: _without(hidden, item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without(hidden, item) for item in value]
    return value
