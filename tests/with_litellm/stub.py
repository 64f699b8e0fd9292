"""A provider with OpenAI's interface on this machine; the path before it says how it behaves."""

from __future__ import annotations

import itertools
import json
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

ANSWER = "an answer that nobody may keep"
TOKENS = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12, "prompt_tokens_details": {"cached_tokens": 3}}


class Stub:
    """Serves on a free port while it is entered."""

    def __init__(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Refuses connections from now on."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def deployment(self, group: str, behaviour: str, model: str = "openai/gpt-4o-mini") -> dict[str, object]:
        """An entry of a Router's model list: `behaviour` is one of those that `_Handler.do_POST` knows."""
        params = {"model": model, "api_base": self.url(behaviour), "api_key": "sk-of-the-provider", "max_retries": 0}
        return {"model_name": group, "litellm_params": params}

    def url(self, behaviour: str) -> str:
        """The address under which it behaves like that."""
        return f"http://127.0.0.1:{self._server.server_port}/{behaviour}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name is http.server's
        pass

    def do_POST(self) -> None:
        """Answers as the path says."""
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        behaviour = self.path.split("/")[1]
        if behaviour == "limited":
            self._send(429, {"error": {"message": "slow down"}}, {"Retry-After": "0"})
        elif behaviour == "failing":
            self._send(500, {"error": {"message": "out of order"}})
        elif behaviour == "echoing":
            self._send(400, {"error": {"message": f"not allowed: {request['messages'][0]['content']}"}})
        elif behaviour == "unreadable":
            self._send(200, {"choices": ANSWER})
        elif behaviour == "cut":
            self._cut()
        elif "images" in self.path:
            self._send(200, {"created": 1, "data": [{"url": "http://localhost/1.png"}]})
        elif request.get("stream"):
            self._stream(endless=behaviour == "endless")
        elif behaviour == "endless":
            self._wait_until_left()
        else:
            message = {"role": "assistant", "content": ANSWER}
            self._send(200, _body("chat.completion", message=message, finish_reason="stop") | {"usage": TOKENS})

    def _send(self, status: int, body: object, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {
            "Content-Type": "application/json",
            "Content-Length": str(len(data)),
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def _cut(self) -> None:
        """Closes the connection after the head of a stream."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.close_connection = True

    def _wait_until_left(self) -> None:
        """Gives no answer until the other side hangs up."""
        self.rfile.read(1)
        self.close_connection = True

    def _stream(self, *, endless: bool) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        with suppress(ConnectionError):
            for word in itertools.cycle(ANSWER.split()) if endless else ANSWER.split():
                # Faster, it would keep LiteLLM's loop so busy that it does not see its client leave.
                time.sleep(0.05 if endless else 0)
                self._event(_body("chat.completion.chunk", delta={"content": word}, finish_reason=None))
            self._event(_body("chat.completion.chunk", delta={}, finish_reason="stop"))
            self._event({**_body("chat.completion.chunk"), "choices": [], "usage": TOKENS})
            self.wfile.write(b"data: [DONE]\n\n")

    def _event(self, body: object) -> None:
        self.wfile.write(f"data: {json.dumps(body)}\n\n".encode())
        self.wfile.flush()


def _body(kind: str, **choice: object) -> dict[str, object]:
    # The same id for every answer, as some providers have it.
    return {
        "id": "chatcmpl-1",
        "object": kind,
        "created": 1,
        "model": "gpt-4o-mini",
        "choices": [{"index": 0, **choice}],
    }
