"""The ways to hand over the record of a request, each behind the same few methods; runs in a process of its own."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from functools import partial
from importlib import import_module
from logging.handlers import QueueHandler, QueueListener
from pathlib import Path
from typing import Any

from benchmarks.harness.common import INSERT_ROW, Row, entry_of
from benchmarks.harness.databases import make_database, open_plainly
from benchmarks.harness.releases import BEFORE
from chainlog_async import ChainLog, RequestLogEntry
from chainlog_async.settings import Settings

Record = Any
"""What a contender hands over: an entry, a span, a log record, a coroutine, a row."""


class Caller(ABC):
    """One way to hand over a record, set up as its documentation says, its transport replaced by nothing at all."""

    hand_over: Callable[[Record], object]
    """Hands over a finished record: what is called once per request."""

    def __init__(self, folder: Path, waiting: int) -> None:
        self._path = folder / "log.db"
        self._waiting = waiting
        """Most records that will wait at once."""

    @abstractmethod
    async def open(self) -> None:
        """Makes it ready. Raises `ModuleNotFoundError` when the peer is not installed."""

    @abstractmethod
    def build(self, row: Row) -> Record:
        """A finished record of the request."""

    def build_and_hand_over(self, row: Row) -> object:
        """From the values of the request to a record that is handed over."""
        return self.hand_over(self.build(row))

    @abstractmethod
    async def drain(self) -> None:
        """Returns when nothing waits any more."""

    def hold(self) -> None:  # noqa: B027  # some have nothing to hold
        """From now on, what is handed over waits."""

    def let_go(self) -> None:  # noqa: B027  # some have nothing to hold
        """The end of `hold`."""

    async def close(self) -> None:  # noqa: B027  # some have neither
        """Ends threads and tasks."""


class Chainlog(Caller):
    """This library."""

    journal: bool

    async def open(self) -> None:
        settings = Settings(
            db_path=self._path,
            journal=self.journal,
            max_queue_size=max(self._waiting, 100_000),
            max_queue_bytes=4 * 2**30,
            # After the memory was measured, a million entries wait.
            shutdown_timeout_ms=0,
        )
        self._stack = AsyncExitStack()
        self._log = await self._stack.enter_async_context(ChainLog(settings))
        self.hand_over = self._log.log_request
        self._lock = open_plainly(self._path)

    def build(self, row: Row) -> RequestLogEntry:
        return entry_of(row)

    async def drain(self) -> None:
        await self._log.flush()
        statistics = self._log.statistics()
        if statistics.written != statistics.submitted:
            raise AssertionError(f"entries are missing: {statistics}")

    def hold(self) -> None:
        self._lock.execute("BEGIN IMMEDIATE")

    def let_go(self) -> None:
        self._lock.execute("ROLLBACK")

    async def close(self) -> None:
        self._lock.close()
        await self._stack.aclose()


class ChainlogWithJournal(Chainlog):
    """As it is by default."""

    journal = True


class ChainlogInMemory(Chainlog):
    """Without the journal: what waits is lost by a kill, as with every peer here but the INSERT."""

    journal = False


class Insert(Caller):
    """The original's way: a synchronous INSERT, committed at once, on the event loop."""

    async def open(self) -> None:
        await make_database(self._path)
        self._connection = open_plainly(self._path)
        self.hand_over = partial(self._connection.execute, INSERT_ROW)

    def build(self, row: Row) -> Row:
        return (row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7], row[8], row[9], row[10])

    async def drain(self) -> None:
        return

    async def close(self) -> None:
        self._connection.close()


class StandardLogging(Caller):
    """The standard library's QueueHandler, with a listener that takes the records out."""

    async def open(self) -> None:
        records: queue.Queue[logging.LogRecord] = queue.Queue(-1)
        handler = QueueHandler(records)
        self._gate = threading.Event()
        self._gate.set()
        self._listener = QueueListener(records, _Gate(self._gate))
        self._listener.start()
        self._records = records
        self._logger = logging.getLogger("requests")
        self._logger.setLevel(logging.INFO)
        self._logger.propagate = False
        self._logger.addHandler(handler)
        self.hand_over = handler.emit

    def build(self, row: Row) -> logging.LogRecord:
        return self._logger.makeRecord(
            "requests", logging.INFO, __file__, 0, "request", (), None, "build", _attributes(row)
        )

    def build_and_hand_over(self, row: Row) -> None:
        self._logger.info("request", extra=_attributes(row))

    async def drain(self) -> None:
        while not self._records.empty():  # noqa: ASYNC110  # the standard library's queue sets no event
            await asyncio.sleep(0.001)

    def hold(self) -> None:
        self._gate.clear()

    def let_go(self) -> None:
        self._gate.set()

    async def close(self) -> None:
        self._listener.stop()


class _Gate(logging.Handler):
    """Where the listener puts the records: nowhere, while the gate is open."""

    def __init__(self, gate: threading.Event) -> None:
        super().__init__()
        self._gate = gate

    def emit(self, record: logging.LogRecord) -> None:
        self._gate.wait()


class OpenTelemetry(Caller):
    """OpenTelemetry's BatchSpanProcessor; its exporter drops what it gets."""

    async def open(self) -> None:
        trace = import_module("opentelemetry.sdk.trace")
        self._exporter = _exporter()
        self._processor = import_module("opentelemetry.sdk.trace.export").BatchSpanProcessor(self._exporter)
        provider = trace.TracerProvider()
        # Spans for `hand_over` are made by a provider without a processor: they are ended, and not handed over yet.
        self._spans = provider.get_tracer("gateway")
        logged = trace.TracerProvider()
        logged.add_span_processor(self._processor)
        self._tracer = logged.get_tracer("gateway")
        self.hand_over = self._processor.on_end

    def build(self, row: Row) -> Record:
        span = self._spans.start_span("request", attributes=_span_attributes(row))
        span.end()
        return span

    def build_and_hand_over(self, row: Row) -> None:
        self._tracer.start_span("request", attributes=_span_attributes(row)).end()

    async def drain(self) -> None:
        self._processor.force_flush()

    def hold(self) -> None:
        self._exporter.gate.clear()

    def let_go(self) -> None:
        self._exporter.gate.set()

    async def close(self) -> None:
        self._processor.shutdown()


class Langfuse(Caller):
    """Langfuse's SDK; its exporter drops what it gets."""

    async def open(self) -> None:
        trace = import_module("opentelemetry.sdk.trace")
        self._exporter = _exporter()
        self._client = import_module("langfuse").Langfuse(
            public_key="pk-lf-none",
            secret_key="sk-lf-none",  # noqa: S106  # nobody is asked
            base_url="http://127.0.0.1:9",
            span_exporter=self._exporter,
            tracer_provider=trace.TracerProvider(),
        )
        processor = import_module("langfuse._client.span_processor").LangfuseSpanProcessor
        self._processor = processor(
            public_key="pk-lf-none",
            secret_key="sk-lf-none",  # noqa: S106  # nobody is asked
            base_url="http://127.0.0.1:9",
            span_exporter=self._exporter,
        )
        self.hand_over = self._processor.on_end

    def build(self, row: Row) -> Record:
        observation = self._observe(row)
        observation.end()
        return observation._otel_span  # noqa: SLF001  # what its SDK hands over has no public name

    def build_and_hand_over(self, row: Row) -> None:
        self._observe(row).end()

    def _observe(self, row: Row) -> Record:
        return self._client.start_observation(
            name="request",
            as_type="generation",
            model=row[3],
            usage_details={"input": row[4], "output": row[5], "total": row[6]},
            metadata={"chain": row[1], "provider": row[2], "latency_ms": row[7], "status": row[8], "attempts": row[9]},
            status_message=row[10],
        )

    async def drain(self) -> None:
        self._processor.force_flush()
        self._client.flush()

    def hold(self) -> None:
        self._exporter.gate.clear()

    def let_go(self) -> None:
        self._exporter.gate.set()

    async def close(self) -> None:
        self._processor.shutdown()
        self._client.shutdown()


class LiteLLM(Caller):
    """LiteLLM's logging worker: a coroutine per request, run later by a task."""

    async def open(self) -> None:
        worker = import_module("litellm.litellm_core_utils.logging_worker").LoggingWorker
        self._worker = worker(max_queue_size=max(self._waiting, 50_000) + 1)
        self._worker.start()
        self.hand_over = self._worker.enqueue

    def build(self, row: Row) -> Coroutine[object, object, None]:
        return _callback(_attributes(row))

    async def drain(self) -> None:
        await self._worker.flush()

    async def close(self) -> None:
        await self._worker.stop()


async def _callback(record: dict[str, object]) -> None:
    """Stands for a logging callback; the cheapest there is."""


def _attributes(row: Row) -> dict[str, object]:
    return {
        "timestamp": row[0],
        "chain": row[1],
        "provider": row[2],
        "model": row[3],
        "prompt_tokens": row[4],
        "completion_tokens": row[5],
        "total_tokens": row[6],
        "latency_ms": row[7],
        "status": row[8],
        "attempts": row[9],
        "error": row[10],
    }


def _span_attributes(row: Row) -> dict[str, object]:
    return {name: value for name, value in _attributes(row).items() if value is not None}


def _exporter() -> Record:
    export = import_module("opentelemetry.sdk.trace.export")

    class Nowhere(export.SpanExporter):  # type: ignore[name-defined,misc]  # known only where it is installed
        gate = threading.Event()
        gate.set()

        def export(self, spans: object) -> object:
            self.gate.wait()
            return export.SpanExportResult.SUCCESS

        def shutdown(self) -> None:
            self.gate.set()

    return Nowhere()


CALLERS: dict[str, type[Caller]] = {
    "chainlog, journal on": ChainlogWithJournal,
    "chainlog, journal off": ChainlogInMemory,
    BEFORE: ChainlogWithJournal,
    "OpenTelemetry BatchSpanProcessor": OpenTelemetry,
    "logging.handlers.QueueHandler": StandardLogging,
    "Langfuse SDK": Langfuse,
    "LiteLLM logging worker": LiteLLM,
    "INSERT on the loop (429chain)": Insert,
}
