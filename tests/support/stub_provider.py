"""A provider on loopback that answers in the shapes of OpenAI and Anthropic; the model says how it behaves."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from examples.demo.serving import listening, serving

USAGE = {
    "prompt_tokens": 20,
    "completion_tokens": 7,
    "total_tokens": 27,
    "prompt_tokens_details": {"cached_tokens": 16},
    "completion_tokens_details": {"reasoning_tokens": 3},
}
MESSAGE = {"role": "assistant", "content": "a secret answer"}
CHAT = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "choices": [{"index": 0, "finish_reason": "stop", "message": MESSAGE}],
    "usage": USAGE,
}
ANSWERS: dict[str, dict[str, object]] = {
    "/embeddings": {
        "data": [{"object": "embedding", "index": 0, "embedding": [0.5] * 1_000}],
        "usage": {"prompt_tokens": 5, "total_tokens": 5},
    },
    "/audio/transcriptions": {"text": "secret", "usage": {"type": "tokens", "input_tokens": 14, "output_tokens": 4}},
    "/images/generations": {
        "created": 1,
        "data": [{"b64_json": "c2VjcmV0" * 20_000}],
        "usage": {"input_tokens": 9, "output_tokens": 1_056, "total_tokens": 1_065},
    },
    "/messages": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "content": [{"type": "text", "text": "secret"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 20, "output_tokens": 7},
    },
    "/responses": {
        "id": "resp_1",
        "object": "response",
        "output": [],
        "status": "completed",
        "usage": {"input_tokens": 20, "output_tokens": 7, "total_tokens": 27},
    },
}
"""What is answered at the end of a path; anywhere else `CHAT` is."""

LIMITED = {"error": {"message": "a secret limit of sk-12345", "type": "tokens", "code": "rate_limit_exceeded"}}


class StubProvider:
    """Counts what it is asked, by model."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.url = ""
        """Where it answers, within `serving`."""
        self.gone = anyio.Event()
        """Set once a client has left an endless stream."""
        self._app = Starlette(routes=[Route("/{path:path}", self._answer, methods=["POST", "GET"])])

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Answers while the block runs."""
        with listening() as sock:
            async with serving(self._app, sock) as self.url:
                yield

    async def _answer(self, request: Request) -> Response:
        path = request.url.path
        body = await request.body()
        is_json = request.headers.get("content-type", "").startswith("application/json")
        asked = json.loads(body) if is_json else {}
        model = str(asked.get("model", "none"))
        self.asked[model] += 1
        if model.startswith("limited-") and self.asked[model] <= int(model.removeprefix("limited-")):
            return JSONResponse(LIMITED, 429, {"retry-after-ms": "1", "x-request-id": f"req_{self.asked[model]}"})
        if model == "refused":
            return JSONResponse({"error": {"message": "secret", "code": "invalid_api_key"}}, 401)
        if model == "slow":
            await anyio.sleep(1)
        if model == "redirected" and not path.endswith("/elsewhere/chat/completions"):
            return Response(status_code=307, headers={"location": "/elsewhere/chat/completions"})
        if asked.get("stream"):
            events = _anthropic_events() if path.endswith("/messages") else self._events(model, path)
            return StreamingResponse(events, media_type="text/event-stream")
        return _whole(path, model)

    async def _events(self, model: str, path: str) -> AsyncIterator[str]:
        if path.endswith("/responses"):
            answer = {"id": "resp_1", "model": model, "usage": {"input_tokens": 20, "output_tokens": 7}}
            yield _event({"type": "response.output_text.delta", "delta": "secret"})
            yield _event({"type": "response.completed", "response": answer})
            return
        try:
            for number in range(10**9 if model == "endless" else 3):
                yield _event({"id": "chatcmpl-1", "model": model, "choices": [{"index": 0, "delta": MESSAGE}]})
                await anyio.sleep(0.001)
                if model == "broken" and number == 1:
                    raise ConnectionResetError
        except BaseException:
            self.gone.set()
            raise
        yield _event({"id": "chatcmpl-1", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        yield _event({"id": "chatcmpl-1", "choices": [], "usage": USAGE})
        yield "data: [DONE]\n\n"


def _whole(path: str, model: str) -> Response:
    if model == "text":
        return Response("<html>secret</html>", media_type="text/html")
    if path.endswith("/audio/speech"):
        return Response(b"\x00secret" * 100, media_type="audio/mpeg")
    by_path = next((answer for suffix, answer in ANSWERS.items() if path.endswith(suffix)), CHAT)
    answer = {"model": model, **by_path}
    if model == "charged":
        answer["usage"] = {**USAGE, "cost": 0.25}
    headers = {"x-request-id": "req_1"}
    if model != "gzip":
        return JSONResponse(answer, headers=headers)
    data = gzip.compress(json.dumps(answer).encode())
    return Response(data, headers={**headers, "content-encoding": "gzip"}, media_type="application/json")


async def _anthropic_events() -> AsyncIterator[str]:
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": []}
    usage = {"input_tokens": 20, "output_tokens": 1}
    yield _event({"type": "message_start", "message": {**message, "stop_reason": None, "usage": usage}})
    yield _event({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})
    yield _event({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "secret"}})
    yield _event({"type": "content_block_stop", "index": 0})
    yield _event({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7}})
    yield _event({"type": "message_stop"})


def _event(data: dict[str, object]) -> str:
    name = f"event: {data['type']}\n" if "type" in data else ""
    return f"{name}data: {json.dumps(data)}\n\n"
