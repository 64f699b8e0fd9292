"""Computes the cost of requests again from the table of prices, while a gateway writes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path

import aiosqlite
import anyio
import msgspec

from chainlog_async.common.progress import Progress, no_progress
from chainlog_async.storage.base import StorageFault
from chainlog_async.storage.sqlite.errors import classify

from .session import open_for_admin, open_for_reading, write_slice

SLICE_IDS = 500
"""How many ids one transaction covers: few enough for a writer to wait only milliseconds."""

READ_IDS = 20 * SLICE_IDS
"""How many ids are compared at once, which takes no lock."""

LOCK_PAUSE_S = 0.1
"""Pause between two tries while another process holds the lock, in seconds."""

# The cost of a provider or a gateway stays; one of the table, and none, may change.
_CHANGED = """
FROM request_logs AS logged CROSS JOIN priced_requests AS priced USING (id)
WHERE logged.id > :after AND logged.id <= :until AND logged.timestamp >= :since
  AND (logged.cost_usd IS NULL OR cost_source = 'table') AND nano IS NOT NULL AND nano IS NOT cost_nano
"""
_PLAN = f"""
SELECT provider_id, model, COUNT(*), COALESCE(SUM(cost_nano), 0), SUM(nano) {_CHANGED} GROUP BY 1, 2
"""
_CHANGE = f"""
UPDATE request_logs SET cost_usd = changed.nano / 1e9, cost_source = 'table'
FROM (SELECT logged.id AS id, nano {_CHANGED}) AS changed WHERE changed.id = request_logs.id
"""  # noqa: S608  # constants of this module
_NEXT = f"SELECT logged.id {_CHANGED} ORDER BY logged.id LIMIT 1"
_IDS = """
SELECT COALESCE(MIN(id), 1) - 1, COALESCE(MAX(id), 0)
FROM request_logs WHERE id >= COALESCE((SELECT MIN(id) FROM request_logs WHERE timestamp >= ?), 0)
"""


class RepricedModel(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What changes for one model."""

    provider_id: str
    model: str
    rows: int
    """Requests whose cost changes."""
    before_usd: float
    """What they cost before; those without a cost count as 0."""
    after_usd: float


async def plan_repricing(
    path: str | Path, since: int, *, busy_timeout_ms: int = 5_000, on_progress: Progress = no_progress
) -> list[RepricedModel]:
    """Returns by model what `reprice` would change from `since` (ms, UTC) on. Raises `DatabaseError`."""
    changes: list[tuple[str, str, int, int, int]] = []
    async with open_for_reading(path, busy_timeout_ms=busy_timeout_ms) as connection:
        first, last = await _ids(connection, since)
        for after in range(first, last, READ_IDS):
            until = min(after + READ_IDS, last)
            span = {"after": after, "until": until, "since": since}
            for provider, model, *numbers in await connection.execute_fetchall(_PLAN, span):
                rows, before, cost = map(int, numbers)
                changes.append((str(provider), str(model), rows, before, cost))
            on_progress("comparing costs", until - first, last - first)
    return repriced_models(changes)


def repriced_models(changes: Iterable[tuple[str, str, int, int, int]]) -> list[RepricedModel]:
    """Adds up by model: provider, model, requests, and their cost before and after, in nano-dollars."""
    sums: dict[tuple[str, str], tuple[int, int, int]] = {}
    for provider, model, *more in changes:
        rows, before, after = (a + b for a, b in zip(sums.get((provider, model), (0, 0, 0)), more, strict=True))
        sums[provider, model] = (rows, before, after)
    return [
        RepricedModel(provider_id=provider, model=model, rows=rows, before_usd=before / 1e9, after_usd=after / 1e9)
        for (provider, model), (rows, before, after) in sorted(sums.items())
    ]


async def reprice(
    path: str | Path, since: int, *, busy_timeout_ms: int = 5_000, on_progress: Progress = no_progress
) -> int:
    """Changes the cost of the requests from `since` (ms, UTC) on, and of all sums of it. Returns how many changed.

    In transactions of `SLICE_IDS` ids, each followed by a pause in which others can write; requests that need no change
    take no lock. After a kill the next call does the rest. Waits while another process holds the lock. Raises
    `DatabaseError`.
    """
    changed = 0
    async with open_for_admin(path, busy_timeout_ms=busy_timeout_ms) as connection:
        first, last = await _ids(connection, since)
        after = first
        while after < last:
            span = {"after": after, "until": min(after + READ_IDS, last), "since": since}
            after = span["until"]
            for (found,) in await connection.execute_fetchall(_NEXT, span):
                after = min(found - 1 + SLICE_IDS, last)
                changed += await _change(connection, {"after": found - 1, "until": after, "since": since})
            on_progress("changing costs", after - first, last - first)
    return changed


async def _change(connection: aiosqlite.Connection, span: dict[str, int]) -> int:
    """Changes one slice, as soon as no other process holds the lock."""
    while True:
        try:
            async with write_slice(connection):
                await connection.execute_fetchall(_CHANGE, span)
                ((count,),) = await connection.execute_fetchall("SELECT changes()")
        except sqlite3.Error as error:
            if classify(error) is not StorageFault.BUSY:
                raise
            await anyio.sleep(LOCK_PAUSE_S)
        else:
            return int(count)


async def _ids(connection: aiosqlite.Connection, since: int) -> tuple[int, int]:
    ((first, last),) = await connection.execute_fetchall(_IDS, (since,))
    return int(first), int(last)
