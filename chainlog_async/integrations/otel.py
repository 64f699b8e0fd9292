"""Requests from the spans of any program that is instrumented with OpenTelemetry: `SpanIntake`."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path
from typing import Final

import anyio

from chainlog_async.chainlog import ChainLog
from chainlog_async.common.cancellation import run_in_thread
from chainlog_async.common.log_throttle import LogThrottle
from chainlog_async.entry.model import RequestLogEntry
from chainlog_async.errors import ChainlogError, ClosedError, ForkedError, InvalidEntryError, QueueFullError
from chainlog_async.requests.filter import RequestFilter
from chainlog_async.settings import Settings

from ._otel import json_decoding
from ._otel.claude_code import entry_of_event
from ._otel.decoded import Decoded, UndecodableError
from ._otel.joining import HOLD_S, SpanJoin
from ._otel.span import Span
from .spool import SpanSpool

__all__ = ["Decoded", "SpanIntake", "UndecodableError", "log_entries_of", "traces_of"]

RETRY_S: Final = 1.0
"""Pause before an entry is submitted again for which the queue had no room, in seconds."""

RECOVERY_S: Final = 30.0
"""How long the start may look which recovered calls are in the log already, in seconds."""

_ENTRIES_AT_ONCE: Final = 500
_PAGE: Final = 500

logger = logging.getLogger(__name__)


def spool_folder(settings: Settings) -> Path | None:
    """Returns where spans wait: beside the journal, and nowhere without one."""
    if not settings.journal:
        return None
    if settings.journal_path is not None:
        return settings.journal_path.with_name(settings.journal_path.name + ".spans")
    return settings.db_path.with_name(settings.db_path.name + ".spans")


class SpanIntake:
    """Takes spans in, holds each call until its parent should have come, and logs it as one entry.

    Spans that wait are in memory and in a file, so that a kill loses none; the next `start` goes on with them. A thread
    logs the calls. Thread-safe but for `start`.
    """

    def __init__(self, chainlog: ChainLog) -> None:
        self._chainlog = chainlog
        self._hold_s = HOLD_S
        self._join = SpanJoin(hold_s=HOLD_S)
        folder = spool_folder(chainlog.settings)
        self._spool = None if folder is None else SpanSpool(folder, rotate_s=HOLD_S)
        self._changed = threading.Condition()
        """Guards everything here."""
        self._refused: deque[RequestLogEntry] = deque()
        """Entries for which the queue had no room."""
        self._logged_before: frozenset[str] = frozenset()
        """Ids of requests that a killed process logged, but whose spans it left."""
        self._thread: threading.Thread | None = None
        self._is_closing = False
        self._starting = anyio.Lock()
        self._throttle = LogThrottle()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """While the log is open: goes on with what a killed process left, and logs what waits at the end."""
        async with anyio.create_task_group() as tasks:
            if await run_in_thread(self._has_left):
                # Not awaited, as it waits for the database.
                tasks.start_soon(self.start)
            try:
                yield
            finally:
                tasks.cancel_scope.cancel()
                await run_in_thread(self.close)

    async def start(self) -> None:
        """Goes on with what a killed process left, and begins to log. Called again, does nothing."""
        async with self._starting:
            if self._thread is not None:
                return
            left = await run_in_thread(self._recover)
            if left:
                self._logged_before = await self._logged_of(left)
                logger.info("%d spans wait that a process left which was killed; their calls are logged now", len(left))
                with self._changed:
                    self._join.add(left, time.monotonic())
            self._is_closing = False
            self._thread = threading.Thread(target=self._run, name="chainlog spans", daemon=True)
            self._thread.start()

    def take(self, body: bytes, *, is_protobuf: bool) -> Decoded:
        """Decodes spans and holds them; they survive a kill once this has returned. Call it in a thread.

        Raises `UndecodableError`, `MissingExtraError`, and `QueueFullError` when the log has no room.
        """
        decoded = traces_of(body, is_protobuf=is_protobuf)
        if not decoded.spans:
            return decoded
        with self._changed:
            if self._refused:
                raise QueueFullError("the queue is full, and calls of earlier spans wait for room")
            now_s = time.monotonic()
            if self._spool is not None:
                try:
                    self._spool.append(decoded.spans, now_s)
                except OSError as error:
                    self._throttle.warn(
                        "spans that wait for their parents are in memory only, a kill would lose them", str(error)
                    )
            self._join.add(decoded.spans, now_s)
            self._changed.notify()
        return decoded

    def close(self) -> None:
        """Logs every call that waits, as it is known by now. Blocks until that is done."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        with self._changed:
            if self._spool is not None:
                self._spool.close()

    # -- the thread ---------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._is_closing:
                    self._changed.wait(self._pause_s())
                is_last = self._is_closing
            try:
                self._log_due(float("inf") if is_last else time.monotonic())
            except (ClosedError, ForkedError):
                # What waits stays in the files, for the next start.
                return
            if is_last:
                return

    def _pause_s(self) -> float | None:
        if self._refused:
            return RETRY_S
        times = [due_s] if (due_s := self._join.next_due_s()) is not None else []
        if self._spool is not None and (last_s := self._spool.next_discard_s()) is not None:
            times.append(last_s + self._hold_s)
        return max(min(times) - time.monotonic(), 0.001) if times else None

    def _log_due(self, now_s: float) -> None:
        while True:
            with self._changed:
                entries = [*self._refused, *islice(self._join.due(now_s), _ENTRIES_AT_ONCE)]
                self._refused.clear()
            if not entries:
                break
            self._submit(deque(entries))
            if self._refused:
                return
        with self._changed:
            if self._spool is not None:
                self._spool.discard(now_s - self._hold_s)

    def _submit(self, entries: deque[RequestLogEntry]) -> None:
        while entries:
            if entries[0].request_id not in self._logged_before:
                try:
                    self._chainlog.submit(entries[0])
                except InvalidEntryError as error:
                    self._throttle.warn("a call that spans tell of cannot be stored", str(error))
                except QueueFullError:
                    with self._changed:
                        self._refused = entries
                    return
            entries.popleft()

    # -- what a killed process left -----------------------------------------------------------------------------------

    def _has_left(self) -> bool:
        return self._spool is not None and self._spool.has_left()

    def _recover(self) -> list[Span]:
        if self._spool is None:
            return []
        try:
            return self._spool.recover(time.monotonic())
        except OSError as error:
            logger.warning("spans that a killed process left cannot be read: %s", error)
            return []

    async def _logged_of(self, left: list[Span]) -> frozenset[str]:
        """Returns the ids of requests in the log from the time of these spans, once all journals are in it."""
        ends = [span.end_ns // 1_000_000 for span in left if span.call is not None]
        if not ends:
            return frozenset()
        found: set[str] = set()
        where = RequestFilter(start=min(ends), end=max(ends) + 1)
        try:
            with anyio.fail_after(RECOVERY_S):
                await self._chainlog.flush()
                cursor: str | None = None
                while True:
                    page = await self._chainlog.usage.find_requests(where, limit=_PAGE, cursor=cursor)
                    found.update(row.request_id for row in page.requests if row.request_id)
                    cursor = page.next_cursor
                    if cursor is None:
                        break
        except (TimeoutError, ChainlogError) as error:
            logger.warning("calls whose spans a killed process left may be logged twice: %s", error)
        return frozenset(found)


def traces_of(body: bytes, *, is_protobuf: bool) -> Decoded:
    """Decodes a request of spans. Raises `UndecodableError`, and `MissingExtraError` for protobuf without the extra."""
    if not body:
        return Decoded()
    if is_protobuf:
        from ._otel import protobuf_decoding

        return protobuf_decoding.decode_traces(body)
    return json_decoding.decode_traces(body)


def log_entries_of(body: bytes, *, is_protobuf: bool) -> list[RequestLogEntry]:
    """Returns the requests that log records tell of. Raises `UndecodableError`, and `MissingExtraError`."""
    if not body:
        return []
    if is_protobuf:
        from ._otel import protobuf_decoding

        return [entry_of_event(event) for event in protobuf_decoding.decode_logs(body)]
    return [entry_of_event(event) for event in json_decoding.decode_logs(body)]
