"""A real OTLP/HTTP receiver that keeps the spans it is posted, and answers as it is told to."""

from __future__ import annotations

import base64
import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span


def decoded(request: dict[str, Any]) -> ExportTraceServiceRequest:
    """A request of OTLP/JSON as the package of OpenTelemetry reads it; a field that it does not know is an error.

    Ids are hexadecimal in OTLP/JSON, and base64 in the JSON of protobuf.
    """
    for part in request["resourceSpans"]:
        for scoped in part["scopeSpans"]:
            for span in scoped["spans"]:
                for name in {"traceId", "spanId", "parentSpanId"} & span.keys():
                    span[name] = base64.b64encode(bytes.fromhex(span[name])).decode()
    read: ExportTraceServiceRequest = ParseDict(request, ExportTraceServiceRequest())
    return read


class OtlpReceiver:
    """What came, and how the next requests are answered."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.batches: list[list[Span]] = []
        """Those that were answered with 200."""
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        """Status, headers and content of the next answers; 200 when there is none left."""
        self.max_spans = 1_000_000
        """A request with more is answered with 413."""
        self.hold = threading.Event()
        """Answers only come while it is set."""
        self.hold.set()
        self.arrived = threading.Semaphore(0)
        """Counts requests, answered or not."""

    @property
    def spans(self) -> list[Span]:
        """All of them, in the order in which they came."""
        return [span for batch in self.batches for span in batch]

    def requests(self) -> list[Span]:
        """Those that are a request, and no attempt."""
        return [span for span in self.spans if not span.name.startswith("provider attempt")]


def attributes_of(span: Span) -> dict[str, object]:
    """The attributes as plain values."""
    plain: dict[str, object] = {}
    for item in span.attributes:
        kind = item.value.WhichOneof("value")
        plain[item.key] = (
            [one.string_value for one in item.value.array_value.values]
            if kind == "array_value"
            else getattr(item.value, kind or "string_value")
        )
    return plain


@contextmanager
def otlp_receiver() -> Iterator[OtlpReceiver]:
    """Listens on a free port until the end of the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = gzip.decompress(self.rfile.read(int(self.headers["Content-Length"])))
            spans = [
                span
                for part in decoded(json.loads(content)).resource_spans
                for scoped in part.scope_spans
                for span in scoped.spans
            ]
            received.arrived.release()
            received.hold.wait(30)
            status, headers, answer = received.answers.pop(0) if received.answers else (200, {}, b"{}")
            if len(spans) > received.max_spans:
                status = 413
            if status == 200:
                received.batches.append(spans)
                received.paths.append(self.path)
                received.headers.append(dict(self.headers.items()))
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(answer))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name that the class gives it
            """Prints nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    received = OtlpReceiver(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield received
    finally:
        received.hold.set()
        server.shutdown()
        server.server_close()
        thread.join()
