"""Spans of OpenTelemetry: what one costs, and whether the service takes ten thousand a second without loss.

`python -m benchmarks.suites.otlp` runs a service of its own and sends it spans in protobuf for a minute, twice: every
span is a call of a model, and every fourth is. The senders share the machine's cores with the service.
"""

from __future__ import annotations

import argparse
import gc
import http.client
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

import msgspec
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from benchmarks.harness.common import folder, say
from chainlog_async import RequestLogEntry
from chainlog_async.entry.line import encode_line
from chainlog_async.entry.redaction import Redactor
from chainlog_async.integrations._otel.joining import HOLD_S, SpanJoin
from chainlog_async.integrations.otel import traces_of

BATCH = 512
"""Spans in one request, as SDKs send them."""

SENDERS = 4
PROMPT = "word " * 100
ROUNDS = 15

CALL: dict[str, str | int | float] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.request.temperature": 0.7,
    "gen_ai.request.max_tokens": 500,
    "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
    "gen_ai.response.finish_reasons": "stop",
    "gen_ai.usage.input_tokens": 2_006,
    "gen_ai.usage.output_tokens": 300,
    "gen_ai.usage.cache_read.input_tokens": 1_920,
    "gen_ai.usage.reasoning.output_tokens": 128,
    "gen_ai.input.messages": PROMPT,
    "server.address": "api.openai.com",
    "server.port": 443,
    "user.id": "team-a",
    "gen_ai.conversation.id": "session-1",
}
HTTP: dict[str, str | int | float] = {
    "http.request.method": "POST",
    "http.response.status_code": 200,
    "url.full": "https://api.openai.com/v1/chat/completions",
    "server.address": "api.openai.com",
    "server.port": 443,
    "network.protocol.version": "1.1",
}

SERVICE = """
import sys, time, anyio
from pathlib import Path
from chainlog_async.server import serve
from chainlog_async.settings import Settings

settings = Settings(db_path=Path(sys.argv[1]), shutdown_timeout_ms=600_000, server={"port": 0})
anyio.run(lambda: serve(settings, announce=lambda url, database: print(url, time.process_time(), flush=True)))
print(time.process_time(), flush=True)
"""


class Batches:
    """Requests of spans that differ in their ids and nothing else, which are made by writing these into one request."""

    def __init__(self, spans_per_call: int) -> None:
        self.calls = BATCH // spans_per_call
        now_ns = time.time_ns()
        request = ExportTraceServiceRequest()
        part = request.resource_spans.add()
        _add(part.resource.attributes, {"service.name": "gateway", "service.instance.id": "1"})
        scoped = part.scope_spans.add()
        scoped.scope.name = "benchmark"
        marks: list[bytes] = []
        for number in range(BATCH):
            is_call = number % spans_per_call == 0
            # The spans of a trace stand together: the call, and what is around it.
            trace, span = f"T{number - number % spans_per_call:015}".encode(), f"S{number:07}".encode()
            answer = f"A{number:015}"
            added = scoped.spans.add(trace_id=trace, span_id=span, name="chat" if is_call else "POST", kind=3)
            added.start_time_unix_nano, added.end_time_unix_nano = now_ns - 500_000_000, now_ns
            _add(added.attributes, {**CALL, "gen_ai.response.id": answer} if is_call else HTTP)
            marks += [trace, span, *([answer.encode()] if is_call else [])]
        self._template = request.SerializeToString()
        self._places: list[tuple[int, int, int]] = []
        begin = 0
        of_mark: dict[bytes, int] = {}
        size = 0
        for mark in marks:
            begin = self._template.index(mark, begin)
            if mark not in of_mark:
                of_mark[mark] = size
                size += len(mark)
            self._places.append((begin, len(mark), of_mark[mark]))
        self._size = size

    def new(self) -> bytes:
        """Returns the next request."""
        # As letters, since the id of an answer is text.
        noise = os.urandom(self._size // 2 + 1).hex().encode()
        body = bytearray(self._template)
        for begin, size, start in self._places:
            body[begin : begin + size] = noise[start : start + size]
        return bytes(body)


def _add(attributes: Sequence[KeyValue], items: dict[str, str | int | float] | dict[str, str]) -> None:
    for key, value in items.items():
        item = attributes.add(key=key)  # type: ignore[attr-defined]  # protobuf's own kind of list
        match value:
            case int():
                item.value.int_value = value
            case float():
                item.value.double_value = value
            case _:
                item.value.string_value = str(value)


def step_costs() -> dict[str, float]:
    """What each step costs for a span that is a call, in µs of processor time; the best of several rounds."""
    best: dict[str, float] = {}
    redact, encoder, batches = Redactor(()), msgspec.json.Encoder(), Batches(1)

    def timed(step: str, run: Callable[[], object], spans: int = BATCH) -> None:
        begun = time.thread_time()
        run()
        best[step] = min(best.get(step, 1e9), (time.thread_time() - begun) / spans * 1e6)

    for _ in range(ROUNDS):
        gc.collect()
        join = SpanJoin()
        for _ in range(4):
            spans = traces_of(batches.new(), is_protobuf=True).spans
            timed("decode", partial(traces_of, batches.new(), is_protobuf=True))
            timed("keep in a file", partial(encoder.encode_lines, spans))
            timed("hold", partial(join.add, spans, 0))
        entries: list[RequestLogEntry] = []
        timed("join", partial(_join, join, entries), 4 * BATCH)
        timed("log", partial(_log, entries, redact), 4 * BATCH)
    return best


def _join(join: SpanJoin, entries: list[RequestLogEntry]) -> None:
    entries += join.due(HOLD_S)


def _log(entries: list[RequestLogEntry], redact: Redactor) -> None:
    for entry in entries:
        encode_line(entry, redact)


class Senders:
    """Threads that send batches at a fixed rate, and again what was refused."""

    def __init__(self, url: str, batches: Batches, *, per_s: float, seconds: float) -> None:
        self._address = urlsplit(url).netloc
        self._batches = batches
        self._pause_s = BATCH / per_s
        self._until = time.monotonic() + seconds
        self._next = time.monotonic()
        self._lock = threading.Lock()
        self.sent = self.refused = 0
        self.times_ms: list[float] = []

    def run(self) -> float:
        """Returns how long it took, in seconds."""
        begun = time.monotonic()
        threads = [threading.Thread(target=self._send) for _ in range(SENDERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.monotonic() - begun

    def _send(self) -> None:
        connection = http.client.HTTPConnection(self._address, timeout=60)
        while (due := self._take_turn()) is not None:
            time.sleep(max(due - time.monotonic(), 0))
            body = self._batches.new()
            while True:
                begun = time.monotonic()
                connection.request("POST", "/v1/traces", body, {"Content-Type": "application/x-protobuf"})
                answer = connection.getresponse()
                answer.read()
                with self._lock:
                    self.times_ms.append((time.monotonic() - begun) * 1_000)
                    self.sent += answer.status == 200
                    self.refused += answer.status != 200
                if answer.status == 200:
                    break
                time.sleep(1)
        connection.close()

    def _take_turn(self) -> float | None:
        with self._lock:
            due = self._next
            self._next += self._pause_s
        return due if due < self._until else None


def run_service(spans_per_call: int, *, per_s: float, seconds: float) -> None:
    """Sends spans to a service for so long, and says what became of them."""
    batches = Batches(spans_per_call)
    with folder() as place:
        db_path = Path(place) / "log.db"
        command = [sys.executable, "-c", SERVICE, str(db_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as service:  # noqa: S603  # all of it is ours
            assert service.stdout is not None  # noqa: S101  # it is a pipe
            url, begun_cpu_s = service.stdout.readline().split()
            senders = Senders(url, batches, per_s=per_s, seconds=seconds)
            took_s = senders.run()
            ended = time.monotonic()
            service.send_signal(signal.SIGTERM)
            cpu_s = float(service.stdout.read()) - float(begun_cpu_s)
            drain_s = time.monotonic() - ended
        with closing(sqlite3.connect(db_path)) as connection:
            ((rows,),) = connection.execute("SELECT count(*) FROM request_logs").fetchall()
    spans, calls = senders.sent * BATCH, senders.sent * batches.calls
    say(f"one span in {spans_per_call} is a call: {spans:,} spans in {took_s:.1f} s, {spans / took_s:,.0f}/s")
    say(f"  lost {calls - rows:,} of {calls:,} calls; {senders.refused} requests were refused at first")
    say(f"  {cpu_s / spans * 1e6:.1f} µs of processor time a span, with HTTP, the journal and the database")
    say(
        f"  an answer took {median(senders.times_ms):.0f} ms, at most {max(senders.times_ms):.0f} ms; "
        f"{drain_s:.1f} s to log what waited at the end"
    )


def main() -> None:
    """Prints all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--per-s", type=float, default=10_000.0)
    chosen = parser.parse_args()
    costs = step_costs()
    say("a span that is a call, µs of processor time:")
    for step, cost in costs.items():
        say(f"  {step:16}{cost:6.1f}")
    say(f"  {'all':16}{sum(costs.values()):6.1f}")
    for spans_per_call in (1, 4):
        run_service(spans_per_call, per_s=chosen.per_s, seconds=chosen.seconds)


if __name__ == "__main__":
    main()
