"""Computes costs in PostgreSQL again: see `admin.reprice`."""

from __future__ import annotations

from typing import cast

from chainlog_async.admin.reprice import ModelChange, RepricedModel, repriced_models
from chainlog_async.admin.session import pause_for_writers
from chainlog_async.common.progress import Progress
from chainlog_async.storage.postgres.url import PostgresUrl

from .session import Session, open_session

SLICE_IDS = 2_000
"""How many ids one transaction covers: nobody adds up totals meanwhile."""

PLANNED_SLICES = 20
"""How many of them are counted at once."""

PLAN = """
SELECT provider_id, model, count(*), sum(old_nano), sum(new_nano), sum(more_unanswered)
FROM repriced_requests($1, $2, $3) GROUP BY 1, 2
"""
CHANGE = "SELECT reprice($1, $2, $3)"
IDS = "SELECT COALESCE(min(id), 1) - 1, COALESCE(max(id), 0) FROM request_logs WHERE timestamp >= $1"


async def plan_repricing(url: PostgresUrl, since: int, on_progress: Progress) -> list[RepricedModel]:
    """See `admin.reprice.plan_repricing`."""
    changes: list[ModelChange] = []
    async with open_session(url, "reprice") as session:
        first, last = await _ids(session, since)
        step = PLANNED_SLICES * SLICE_IDS
        for after in range(first, last, step):
            until = min(after + step, last)
            async with session.transaction(reading=True):
                found = await session.fetch(PLAN, after, until, since)
            changes += cast("list[ModelChange]", found)
            on_progress("comparing costs", until - first, last - first)
    return repriced_models(changes)


async def reprice(url: PostgresUrl, since: int, on_progress: Progress) -> int:
    """See `admin.reprice.reprice`."""
    changed = 0
    async with open_session(url, "reprice") as session:
        first, last = await _ids(session, since)
        for after in range(first, last, SLICE_IDS):
            until = min(after + SLICE_IDS, last)
            count = await session.call(CHANGE, after, until, since)
            changed += count
            on_progress("changing costs", until - first, last - first)
            if count:
                await pause_for_writers()
    return changed


async def _ids(session: Session, since: int) -> tuple[int, int]:
    async with session.transaction(reading=True):
        ((first, last),) = await session.fetch(IDS, since)
    return cast("int", first), cast("int", last)
