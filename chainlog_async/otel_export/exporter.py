"""The task that follows the database and sends each request once or, after a failure or a kill, once more."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import anyio

from chainlog_async.common.cancellation import run_in_thread
from chainlog_async.common.log_throttle import LogThrottle
from chainlog_async.errors import ChainlogError, SettingsError
from chainlog_async.requests.model import RequestLogRow
from chainlog_async.statistics import OtelExportCounts

from .position import ExportPosition
from .sender import Sender, Verdict, compressed
from .spans import Json, is_own, request_of, spans_of

if TYPE_CHECKING:
    from chainlog_async.settings import Settings
    from chainlog_async.usage_aggregator import UsageAggregator

POLL_S: Final = 1.0
"""How often the database is asked for new requests when there were none, in seconds."""

TAKE_OVER_S: Final = 5.0
"""How often a process looks whether the one that exports has ended, in seconds."""

MAX_REQUESTS: Final = 500
"""Requests in one batch."""

MAX_BATCH_SPANS: Final = 2_000
"""Spans in one batch; a request with more attempts than that is a batch of its own."""

FIRST_PAUSE_S: Final = 1.0
MAX_PAUSE_S: Final = 60.0
"""Pauses after a failure, in seconds: each is twice the one before, up to the longest."""


class OtelExporter:
    """The export of one process. Nothing that fails here is raised: it is logged, and tried again."""

    def __init__(self, settings: Settings, usage: UsageAggregator, version: str) -> None:
        """Raises `SettingsError` for a log that another service keeps, which can export it itself."""
        if settings.engine == "remote":
            raise SettingsError("otel_export is for the service that keeps the log; set it there, not beside db_url")
        self._usage = usage
        self._version = version
        self._service = settings.otel_export.service_name
        self._sender = Sender(settings.otel_export, version)
        self._position = ExportPosition(settings)
        self._after_id = 0
        self._limit = MAX_REQUESTS
        self._failures_in_a_row = 0
        self._requests = self._spans = self._rejected = self._refused = self._failures = self._pending = 0
        self._is_exporting = False
        self._last_error: str | None = None
        self._throttle = LogThrottle()
        self._running = anyio.CancelScope()

    async def load(self) -> None:
        """Makes ready what the first batch needs. Raises `MissingExtraError`."""
        await self._sender.load()

    async def run(self) -> None:
        """Runs until `stop`, or until it is cancelled."""
        try:
            with self._running:
                while True:
                    try:
                        pause_s = await self._step()
                    except (ChainlogError, OSError) as error:
                        pause_s = self._failed(str(error))
                    except Exception as error:  # noqa: BLE001  # whatever is wrong with the export, the log goes on
                        pause_s = self._failed(type(error).__name__)
                    await anyio.sleep(pause_s)
        finally:
            self._is_exporting = False
            with anyio.CancelScope(shield=True):
                await run_in_thread(self._position.release)
                await self._sender.aclose()

    def stop(self) -> None:
        """Ends `run`. What is just being sent is sent again at the next start."""
        self._running.cancel()

    def counts(self) -> OtelExportCounts:
        """What was sent so far."""
        return OtelExportCounts(
            is_exporting=self._is_exporting,
            requests=self._requests,
            spans=self._spans,
            rejected_spans=self._rejected,
            refused_requests=self._refused,
            failures=self._failures,
            pending=self._pending,
            last_error=self._last_error,
        )

    def note(self) -> str | None:
        """What an operator should know; None while everything is sent."""
        if not self._failures_in_a_row:
            return None
        return f"requests are not exported to otel_export.endpoint at present; {self._pending} wait: {self._last_error}"

    async def _step(self) -> float:
        """Sends one batch. Returns the pause before the next one, in seconds."""
        if not self._is_exporting:
            if not await run_in_thread(self._position.take):
                return TAKE_OVER_S
            stored = await run_in_thread(self._position.read)
            self._after_id = await self._usage.get_newest_id() if stored is None else stored
            await run_in_thread(self._position.write, self._after_id)
            self._is_exporting = True
        rows = await self._usage.get_requests_after(self._after_id, limit=self._limit)
        newest_id = await self._usage.get_newest_id()
        self._pending = max(newest_id - self._after_id, 0)
        if not rows:
            if newest_id < self._after_id:
                # Another database is in its place.
                await self._go_on_after(0)
            return POLL_S
        return await self._send(rows)

    async def _send(self, rows: Sequence[RequestLogRow]) -> float:
        body, sent, spans = await run_in_thread(self._batch_of, rows)
        if body is None:
            await self._go_on_after(rows[sent - 1].id)
            return 0.0
        answer = await self._sender.send(body)
        if answer.verdict is Verdict.AGAIN:
            pause_s = self._failed(answer.reason)
            return pause_s if answer.retry_after_s is None else max(answer.retry_after_s, pause_s)
        if answer.verdict is Verdict.UNFIT and sent > 1:
            self._limit = max(sent // 2, 1)
            return 0.0
        if answer.verdict is Verdict.UNFIT:
            self._refused += 1
            self._last_error = answer.reason
            self._throttle.warn("the endpoint of otel_export refused a request for good", answer.reason)
        else:
            self._requests += sent
            self._spans += spans
            self._limit = min(self._limit * 2, MAX_REQUESTS)
        if answer.rejected_spans:
            self._rejected += answer.rejected_spans
            reason = f"{answer.rejected_spans} of {spans}: {answer.reason or 'it gave no reason'}"
            self._throttle.warn("the endpoint of otel_export rejected spans", reason)
        self._failures_in_a_row = 0
        await self._go_on_after(rows[sent - 1].id)
        return 0.0

    def _batch_of(self, rows: Sequence[RequestLogRow]) -> tuple[bytes | None, int, int]:
        """Returns a body, how many of the requests it covers, and its spans; None for a body without any."""
        spans: list[Json] = []
        covered = 0
        for row in rows:
            if not is_own(row):
                of_row = spans_of(row)
                if spans and len(spans) + len(of_row) > MAX_BATCH_SPANS:
                    break
                spans += of_row
            covered += 1
        if not spans:
            return None, covered, 0
        return compressed(request_of(spans, service=self._service, version=self._version)), covered, len(spans)

    async def _go_on_after(self, row_id: int) -> None:
        await run_in_thread(self._position.write, row_id)
        self._pending = max(self._pending - (row_id - self._after_id), 0)
        self._after_id = row_id

    def _failed(self, reason: str) -> float:
        """Notes a failure. Returns the pause after it, in seconds."""
        self._failures += 1
        self._last_error = reason
        pause_s = min(FIRST_PAUSE_S * 2.0 ** min(self._failures_in_a_row, 10), MAX_PAUSE_S)
        self._failures_in_a_row += 1
        self._throttle.warn("requests are not exported at present; trying again", reason)
        # Spread out, because all processes of a cluster lose the same endpoint at once.
        return pause_s * random.uniform(0.75, 1.0)
