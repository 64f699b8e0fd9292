"""A storage engine of one screen that keeps everything in a list: the proof of the seam."""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from chainlog_async.entry.batch import Batch
from chainlog_async.entry.model import ENTRY_FIELDS, LATER_FIELDS
from chainlog_async.requests.model import LoggedAttempt, RequestLogRow
from chainlog_async.storage.base import BatchStorage, IgnoredEvents, StorageEvents, StorageFault


class RefusedRowError(Exception):
    """The engine's word for a row that it does not take."""


class MemoryDatabase:
    """What several storages and reads may share."""

    def __init__(self) -> None:
        self.rows: list[RequestLogRow] = []
        self.positions: dict[str, int] = {}
        self.rejected: list[tuple[Batch, str]] = []
        self.refused_models: set[str] = set()


class MemoryStorage(BatchStorage):
    """Batches go into a list."""

    def __init__(self, database: MemoryDatabase, path: Path) -> None:
        self.database = database
        self._path = path
        self._events: StorageEvents = IgnoredEvents()

    @property
    def is_stuck(self) -> bool:
        """Never."""
        return False

    @property
    def notes(self) -> tuple[str, ...]:
        """One."""
        return ("everything is lost with the process",)

    @property
    def damage_remedy(self) -> str:
        """Memory is not damaged."""
        return "buy another computer"

    def report_to(self, events: StorageEvents, on_reopen: Callable[[], Awaitable[None]]) -> None:
        """There is nothing to report but the size."""
        self._events = events

    async def start(self) -> Path:
        """Where the journal is."""
        return self._path

    async def commit(self, batch: Batch) -> None:
        """All rows or none."""
        position = self.database.positions.get(batch.writer_id, 0)
        if batch.end <= position:
            return
        rows = [_row(line, len(self.database.rows) + number) for number, line in enumerate(batch.lines.splitlines(), 1)]
        if batch.start < position or any(row.model in self.database.refused_models for row in rows):
            raise RefusedRowError("a row is refused")
        self.database.rows += rows
        self.database.positions[batch.writer_id] = batch.end

    async def reject(self, row: Batch, error: Exception) -> None:
        """Kept apart."""
        self.database.rejected.append((row, self.describe(error)))
        self.database.positions[row.writer_id] = row.end

    async def position(self, writer_id: str) -> int:
        """How far."""
        return self.database.positions.get(writer_id, 0)

    async def forget(self, writer_id: str) -> None:
        """Gone."""
        self.database.positions.pop(writer_id, None)

    async def interrupt(self, batch: Batch) -> int | None:
        """Nothing ever runs."""
        return await self.position(batch.writer_id)

    async def wait_until_idle(self) -> bool:
        """It is."""
        return True

    def classify(self, error: BaseException, batch: Batch | None = None) -> StorageFault:
        """The one error that it has."""
        return StorageFault.ROW if isinstance(error, RefusedRowError) else StorageFault.OTHER

    def describe(self, error: BaseException) -> str:
        """With its class."""
        return f"{error} ({type(error).__name__})"

    async def recover(self, fault: StorageFault) -> None:
        """There is nothing to do."""

    async def maintain(self, *, is_behind: bool) -> float:
        """There is nothing to do."""
        self._events.note_size(sum(len(row.model) for row in self.database.rows))
        return 1.0

    async def check_after_crash(self) -> None:
        """There is nothing to check."""

    async def aclose(self) -> None:
        """There is nothing to close."""


def _row(line: bytes, number: int) -> RequestLogRow:
    fields = dict(zip(ENTRY_FIELDS, json.loads(line), strict=False))
    trail = fields.get("attempt_trail")
    total = fields["total_tokens"]
    ttft, cost = fields.get("ttft_ms"), fields.get("cost_usd")
    return RequestLogRow(
        id=number,
        timestamp=fields["timestamp"],
        chain_name=fields["chain_name"],
        provider_id=fields["provider_id"],
        model=fields["model"],
        prompt_tokens=fields["prompt_tokens"],
        completion_tokens=fields["completion_tokens"],
        total_tokens=fields["prompt_tokens"] + fields["completion_tokens"] if total is None else total,
        latency_ms=math.floor(fields["latency_ms"] + 0.5),
        http_status=fields["http_status"],
        attempts=fields["attempts"],
        error_message=fields.get("error_message"),
        request_id=fields.get("request_id"),
        caller=fields.get("caller"),
        ttft_ms=None if ttft is None else math.floor(ttft + 0.5),
        cost_usd=None if cost is None else float(cost),
        streamed=fields.get("streamed"),
        cached_tokens=fields.get("cached_tokens"),
        metadata=fields.get("metadata"),
        attempt_trail=None if trail is None else [_attempt(attempt) for attempt in trail],
        **{name: fields.get(name) for name in LATER_FIELDS if name != "cost_source"},
        cost_source=None if cost is None else fields.get("cost_source") or "gateway",
    )


def _attempt(fields: dict[str, Any]) -> LoggedAttempt:
    has_cost = fields.get("cost_usd") is not None
    return LoggedAttempt(**fields | {"cost_source": fields.get("cost_source") or "gateway" if has_cost else None})
