"""OpenAI and Anthropic on this machine. The name of the model says how they behave."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ANSWER = "purple elephants sing"
LIMITED, FLAKY, FAILING = "limited", "flaky", "failing"
"""Models: always 429; 429 at first and then an answer; always 500."""

OPENAI_USAGE = {
    "prompt_tokens": 2_006,
    "completion_tokens": 300,
    "total_tokens": 2_306,
    "prompt_tokens_details": {"cached_tokens": 1_920},
    "completion_tokens_details": {"reasoning_tokens": 128},
}
ANTHROPIC_USAGE = {
    "input_tokens": 86,
    "cache_creation_input_tokens": 1_000,
    "cache_read_input_tokens": 920,
    "cache_creation": {"ephemeral_5m_input_tokens": 600, "ephemeral_1h_input_tokens": 400},
    "output_tokens": 300,
}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    asked: Counter[str]

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name is http.server's
        """Prints nothing."""

    def do_POST(self) -> None:
        """Answers as the model says."""
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        model = request["model"]
        self.asked[model] += 1
        if model == LIMITED or (model == FLAKY and self.asked[model] == 1):
            self._send(429, {"type": "error", "error": {"type": "rate_limit_error", "message": "slow down"}})
        elif model == FAILING:
            self._send(500, {"type": "error", "error": {"type": "api_error", "message": "out of order"}})
        elif "embeddings" in self.path:
            vector = {"object": "embedding", "index": 0, "embedding": [0.5]}
            self._send(
                200,
                {"object": "list", "model": model, "data": [vector], "usage": {"prompt_tokens": 8, "total_tokens": 8}},
            )
        elif "messages" in self.path:
            self._anthropic(model, streamed=request.get("stream") is True)
        else:
            self._openai(model, streamed=request.get("stream") is True)

    def _openai(self, model: str, *, streamed: bool) -> None:
        base = {"id": f"chatcmpl-{self.asked.total()}", "created": 1, "model": model}
        if not streamed:
            message = {"role": "assistant", "content": ANSWER}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            self._send(200, {**base, "object": "chat.completion", "choices": [choice], "usage": OPENAI_USAGE})
            return
        chunk = {**base, "object": "chat.completion.chunk"}
        events: list[dict[str, Any]] = [
            {**chunk, "choices": [{"index": 0, "delta": {"role": "assistant", "content": word}, "finish_reason": None}]}
            for word in ANSWER.split()
        ]
        events += [
            {**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
            {**chunk, "choices": [], "usage": OPENAI_USAGE},
        ]
        self._stream([("", json.dumps(event)) for event in events] + [("", "[DONE]")])

    def _anthropic(self, model: str, *, streamed: bool) -> None:
        message: dict[str, Any] = {
            "id": f"msg_{self.asked.total()}",
            "type": "message",
            "role": "assistant",
            "model": model,
        }
        message |= {"stop_reason": "end_turn", "stop_sequence": None}
        if not streamed:
            self._send(200, {**message, "content": [{"type": "text", "text": ANSWER}], "usage": ANTHROPIC_USAGE})
            return
        begun: dict[str, Any] = {
            **message,
            "content": [],
            "stop_reason": None,
            "usage": {**ANTHROPIC_USAGE, "output_tokens": 1},
        }
        block = {"index": 0, "content_block": {"type": "text", "text": ""}}
        events: list[tuple[str, dict[str, Any]]] = [
            ("message_start", {"message": begun}),
            ("content_block_start", block),
        ]
        events += [
            ("content_block_delta", {"index": 0, "delta": {"type": "text_delta", "text": word}})
            for word in ANSWER.split()
        ]
        events += [
            ("content_block_stop", {"index": 0}),
            ("message_delta", {"delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 300}}),
            ("message_stop", {}),
        ]
        self._stream([(name, json.dumps({"type": name, **event})) for name, event in events])

    def _send(self, status: int, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        # The SDKs wait so long before they try again.
        self.send_header("Retry-After-Ms", "1")
        self.end_headers()
        self.wfile.write(data)

    def _stream(self, events: list[tuple[str, str]]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        for name, data in events:
            self.wfile.write((f"event: {name}\n" if name else "").encode() + f"data: {data}\n\n".encode())


@contextmanager
def provider() -> Iterator[str]:
    """The address of both, until the end of the block."""
    handler = type("Handler", (_Handler,), {"asked": Counter()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
