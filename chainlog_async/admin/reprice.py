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

from .reprice_sql import CHANGE, PLAN, STAGE, STAGED, UNSTAGE
from .session import open_for_admin, open_for_reading, write_slice

SLICE_IDS = 500
"""How many ids one transaction covers: few enough for a writer to wait only milliseconds."""

PLANNED_IDS = 20 * SLICE_IDS
"""How many ids are counted at once, which takes no lock."""

LOCK_PAUSE_S = 0.1
"""Pause between two tries while another process holds the lock, in seconds."""

_IDS = """
SELECT COALESCE(MIN(id), 1) - 1, COALESCE(MAX(id), 0)
FROM request_logs WHERE id >= COALESCE((SELECT MIN(id) FROM request_logs WHERE timestamp >= ?), 0)
"""


class RepricedModel(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What changes for one model."""

    provider_id: str
    model: str
    rows: int
    """Requests whose cost changes, or that of an attempt."""
    before_usd: float
    """What they cost before; those without a cost count as 0."""
    after_usd: float
    unanswered_usd: float = 0.0
    """By how much that changes which was spent on tries that did not answer."""


ModelChange = tuple[str, str, int, int, int, int]
"""Provider, model, requests, their cost before and after, and by how much that of tries changes, in nano-dollars."""


async def plan_repricing(
    path: str | Path, since: int, *, busy_timeout_ms: int = 5_000, on_progress: Progress = no_progress
) -> list[RepricedModel]:
    """Returns by model what `reprice` would change from `since` (ms, UTC) on. Raises `DatabaseError`."""
    changes: list[ModelChange] = []
    async with open_for_reading(path, busy_timeout_ms=busy_timeout_ms) as connection:
        first, last = await _ids(connection, since)
        for after in range(first, last, PLANNED_IDS):
            until = min(after + PLANNED_IDS, last)
            span = {"after": after, "until": until, "since": since}
            for provider, model, *numbers in await connection.execute_fetchall(PLAN, span):
                rows, before, cost, unanswered = map(int, numbers)
                changes.append((str(provider), str(model), rows, before, cost, unanswered))
            on_progress("comparing costs", until - first, last - first)
    return repriced_models(changes)


def repriced_models(changes: Iterable[ModelChange]) -> list[RepricedModel]:
    """Adds up by model."""
    sums: dict[tuple[str, str], list[int]] = {}
    for provider, model, *more in changes:
        sums[provider, model] = [a + b for a, b in zip(sums.get((provider, model), [0] * 4), more, strict=True)]
    return [
        RepricedModel(
            provider_id=provider,
            model=model,
            rows=rows,
            before_usd=before / 1e9,
            after_usd=after / 1e9,
            unanswered_usd=unanswered / 1e9,
        )
        for (provider, model), (rows, before, after, unanswered) in sorted(sums.items())
    ]


async def reprice(
    path: str | Path, since: int, *, busy_timeout_ms: int = 5_000, on_progress: Progress = no_progress
) -> int:
    """Changes the cost of the requests from `since` (ms, UTC) on, of their attempts, and all sums of it.

    Returns how many requests changed. In transactions of `SLICE_IDS` ids, each followed by a pause in which others can
    write; ids of which nothing changes take no lock. After a kill the next call does the rest. Waits while another
    process holds the lock. Raises `DatabaseError`.
    """
    changed = 0
    async with open_for_admin(path, busy_timeout_ms=busy_timeout_ms) as connection:
        await connection.execute_fetchall(STAGED)
        first, last = await _ids(connection, since)
        for after in range(first, last, SLICE_IDS):
            until = min(after + SLICE_IDS, last)
            await connection.execute_fetchall(STAGE, {"after": after, "until": until, "since": since})
            ((count,),) = await connection.execute_fetchall("SELECT changes()")
            if count:
                changed += await _change(connection)
            on_progress("changing costs", until - first, last - first)
    return changed


async def _change(connection: aiosqlite.Connection) -> int:
    """Changes what is staged, as soon as no other process holds the lock."""
    while True:
        try:
            async with write_slice(connection):
                await connection.execute_fetchall(CHANGE)
                ((count,),) = await connection.execute_fetchall("SELECT changes()")
        except sqlite3.Error as error:
            if classify(error) is not StorageFault.BUSY:
                raise
            await anyio.sleep(LOCK_PAUSE_S)
        else:
            await connection.execute_fetchall(UNSTAGE)
            return int(count)


async def _ids(connection: aiosqlite.Connection, since: int) -> tuple[int, int]:
    ((first, last),) = await connection.execute_fetchall(_IDS, (since,))
    return int(first), int(last)
