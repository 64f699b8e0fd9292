"""Entries that PostgreSQL refused: see `admin.rejected`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import asyncpg

from chainlog_async.admin.rejected import (
    DeletePlan,
    DeleteReport,
    RejectedEntry,
    RetryReport,
    StillRejected,
    deletion_plan,
    rejected_entry,
)
from chainlog_async.common.progress import Progress
from chainlog_async.entry.json_input import entry_from_mapping, json_value
from chainlog_async.entry.repair import encode_storable
from chainlog_async.errors import InvalidEntryError
from chainlog_async.storage.base import StorageFault
from chainlog_async.storage.postgres.errors import classify, describe
from chainlog_async.storage.postgres.url import PostgresUrl

from .session import Session, open_session

LIST = "SELECT id, rejected_at, error, entry FROM rejected_entries ORDER BY id DESC LIMIT $1"
IDS = "SELECT id FROM rejected_entries ORDER BY id"
ENTRY = "SELECT entry FROM rejected_entries WHERE id = $1"
SIZES = "SELECT id, rejected_at, octet_length(entry) FROM rejected_entries WHERE id = ANY ($1)"
RETRY = "SELECT retry_rejected($1, $2::text::jsonb)::integer"
DELETE = "SELECT delete_rejected($1)"

NO_SUCH = "there is no rejected entry with that id"


async def list_rejected(url: PostgresUrl, limit: int | None) -> list[RejectedEntry]:
    """See `admin.rejected.list_rejected`."""
    async with open_session(url, "rejected") as session, session.transaction(reading=True):
        return [rejected_entry(row) for row in await session.fetch(LIST, limit)]


async def retry_rejected(
    url: PostgresUrl, ids: Sequence[int] | None, redact: Callable[[str], str], on_progress: Progress
) -> RetryReport:
    """See `admin.rejected.retry_rejected`."""
    written: list[int] = []
    failed: list[StillRejected] = []
    async with open_session(url, "rejected retry") as session:
        if ids is None:
            async with session.transaction(reading=True):
                ids = [cast("int", number) for (number,) in await session.fetch(IDS)]
        for done, number in enumerate(ids):
            on_progress("retrying", done, len(ids))
            problem = await _retry(session, number, redact)
            if problem is None:
                written.append(number)
            else:
                failed.append(StillRejected(number, problem))
    return RetryReport(database=url.shown, written=tuple(written), failed=tuple(failed))


async def plan_deletion(url: PostgresUrl, ids: Sequence[int]) -> DeletePlan:
    """See `admin.rejected.plan_deletion`."""
    async with open_session(url, "rejected delete") as session, session.transaction(reading=True):
        rows = cast("list[tuple[int, int, int]]", await session.fetch(SIZES, list(ids)))
    return deletion_plan(url.shown, ids, {number: (rejected_at, size) for number, rejected_at, size in rows})


async def delete_rejected(url: PostgresUrl, ids: Sequence[int]) -> DeleteReport:
    """See `admin.rejected.delete_rejected`."""
    async with open_session(url, "rejected delete") as session, session.transaction():
        gone = {number for (number,) in await session.fetch(DELETE, list(ids))}
    return DeleteReport(
        database=url.shown,
        deleted=tuple(number for number in ids if number in gone),
        missing=tuple(number for number in ids if number not in gone),
    )


async def _retry(session: Session, number: int, redact: Callable[[str], str]) -> str | None:
    """Why the entry stays rejected; None when it does not. Raises the driver's errors that are not the row's fault."""
    try:
        async with session.transaction():
            rows = await session.fetch(ENTRY, number)
            if not rows:
                return NO_SUCH
            line = encode_storable(entry_from_mapping(json_value(str(rows[0][0]))), redact)
            return None if await session.number(RETRY, number, f"[{line.decode()}]") else NO_SUCH
    except InvalidEntryError as error:
        return str(error)
    except asyncpg.PostgresError as error:
        if classify(error) is not StorageFault.ROW:
            raise
        return describe(error)
