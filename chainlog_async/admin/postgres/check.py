"""Checks totals, usage and rollups in PostgreSQL against the rows and what was pruned: see `admin.check`.

What is compared is what readers see: what is folded and what is not, together. PostgreSQL looks after its files itself.
"""

from __future__ import annotations

from time import monotonic

import asyncpg

from chainlog_async.admin.check import CheckReport
from chainlog_async.admin.verify.differences import Findings
from chainlog_async.common.clock import DAY_MS
from chainlog_async.common.progress import Progress
from chainlog_async.storage.base import StorageFault
from chainlog_async.storage.postgres.errors import classify, describe
from chainlog_async.storage.postgres.url import PostgresUrl

from .session import Session, open_session
from .verify import (
    compare_all_time,
    compare_attempts,
    compare_older,
    compare_rollups,
    compare_tags,
    compare_totals,
    compare_usage,
)
from .verify_sql import COUNT_PRUNED, LAST_TIME, NEXT_TIME, Rows, first_whole_bucket

COUNT = "SELECT count(*) FROM request_logs"
DROPPED = "SELECT partition, day FROM dropped_days ORDER BY day"


async def check(url: PostgresUrl, *, quick: bool, on_progress: Progress) -> CheckReport:
    """See `admin.check.check_database`. With `quick`, usage is not compared day by day."""
    began = monotonic()
    findings = Findings()
    damage: list[str] = []
    rows = pruned = None
    async with open_session(url, "check") as session:
        try:
            async with session.transaction(reading=True):
                await _compare(session, findings, on_progress, quick=quick)
                rows, pruned = await session.number(COUNT), await session.number(COUNT_PRUNED)
        except asyncpg.PostgresError as error:
            if classify(error) is not StorageFault.DAMAGED:
                raise
            damage.append(f"the totals cannot be compared: {describe(error)}")
    return CheckReport(
        database=url.shown,
        ok=not damage and not findings.count,
        quick=quick,
        rows=rows,
        pruned_rows=pruned,
        damage=tuple(damage),
        differences=findings.listed,
        wrong_numbers=findings.count,
        seconds=round(monotonic() - began, 3),
    )


async def _compare(session: Session, findings: Findings, on_progress: Progress, *, quick: bool) -> None:
    on_progress("summing totals", 0, None)
    dropped = [(str(name), int(str(day))) for name, day in await session.fetch(DROPPED)]
    all_rows = Rows(tuple(name for name, _ in dropped))
    findings.add(await compare_totals(session, all_rows))
    findings.add(await compare_all_time(session))
    if quick:
        return
    since = await first_whole_bucket(session, dropped)
    if since:
        findings.add(await compare_older(session, all_rows, since))
    last = await session.number(LAST_TIME)
    first: int | None = None
    while True:
        ((found,),) = await session.fetch(NEXT_TIME, since)
        if found is None:
            return
        time = int(str(found))
        first = time if first is None else first
        until = (time // DAY_MS + 1) * DAY_MS
        on_progress("comparing usage, days", (time - first) // DAY_MS, max(last - first, 0) // DAY_MS + 1)
        for compare in (compare_usage, compare_attempts, compare_tags):
            findings.add(await compare(session, max(since, time // DAY_MS * DAY_MS), until))
        findings.add(await compare_rollups(session, time // DAY_MS * DAY_MS))
        since = until
