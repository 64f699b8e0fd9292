"""Bodies pass as they are and when they are, and little of them is kept."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator

from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from chainlog_async import ChainLog, Settings
from chainlog_async.integrations._asgi.messages import ObservedRequest, ObservedResponse
from chainlog_async.integrations.asgi import ChainLogMiddleware
from chainlog_async.provider_responses.long_document import MAX_DOCUMENT_BYTES, Document
from chainlog_async.provider_responses.request_fields import MAX_REQUEST_BYTES
from tests.support.gateways import rows_of, serving

PATH = "/v1/chat/completions"

SOME_BYTES = st.binary(max_size=50) | st.sampled_from(
    [b'data: {"usage": {', b'"usage":{"prompt_tokens":3}', b'\\"model":"x']
)
MEDIA_TYPES = st.sampled_from([b"application/json", b"text/event-stream", b"text/plain", b"", b"\xff;"])


@given(st.lists(SOME_BYTES, max_size=6), st.lists(SOME_BYTES, max_size=6), MEDIA_TYPES)
def test_every_message_passes_as_it_is(asked: list[bytes], answered: list[bytes], media_type: bytes) -> None:
    """Whatever the bytes are, and however they are cut, both sides get the very messages that the other one sent."""
    requests: list[object] = [{"type": "http.request", "body": part, "more_body": True} for part in asked]
    requests.append({"type": "http.request"})
    answers: list[dict[str, object]] = [
        {"type": "http.response.start", "status": 200, "headers": [(b"Content-Type", media_type)]},
        *({"type": "http.response.body", "body": part, "more_body": True} for part in answered),
        {"type": "http.response.body"},
    ]
    waiting, received, sent = list(requests), list[object](), list[object]()

    async def app(_scope: object, receive: object, send: object) -> None:
        received.extend([await receive() for _ in requests])  # type: ignore[operator]  # ASGI
        for message in answers:
            await send(message)  # type: ignore[operator]  # ASGI

    async def receive() -> object:
        return waiting.pop(0) if waiting else await asyncio.Event().wait()

    async def send(message: object) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": PATH, "headers": []}
    asyncio.run(ChainLogMiddleware(app, chainlog=ChainLog(Settings()))(scope, receive, send))  # type: ignore[arg-type]  # ASGI
    assert all(one is other for one, other in zip(received, requests, strict=True))
    assert all(one is other for one, other in zip(sent, answers, strict=True))


async def test_large_bodies_are_byte_identical(chainlog: ChainLog) -> None:
    """Four megabytes go up and come back through a real server unchanged, under BaseHTTPMiddleware too."""
    body = bytes(range(256)) * 16_384

    async def echo(request: Request) -> Response:
        async def parts(received: bytes) -> AsyncIterator[bytes]:
            for start in range(0, len(received), 10_007):
                yield received[start : start + 10_007]

        return StreamingResponse(parts(await request.body()), media_type="application/json")

    async def untouched(request: Request, call_next: RequestResponseEndpoint) -> Response:
        return await call_next(request)

    recorded = Middleware(ChainLogMiddleware, chainlog=chainlog)
    for middleware in ([recorded], [Middleware(BaseHTTPMiddleware, dispatch=untouched), recorded]):
        app = Starlette(routes=[Route(PATH, echo, methods=["POST"])], middleware=middleware)
        async with serving(app, chainlog) as client:
            reply = await client.post(PATH, content=body)
            (*_, row) = await rows_of(chainlog)
        assert hashlib.sha256(reply.content).digest() == hashlib.sha256(body).digest()
        assert (row["http_status"], row["model"], row["streamed"]) == (200, "unknown", 0)


async def test_the_first_byte_is_not_held_back(chainlog: ChainLog) -> None:
    """Each chunk reaches the client before the application makes the next one."""
    seen = [asyncio.Event() for _ in range(5)]

    async def events() -> AsyncIterator[bytes]:
        for number, event in enumerate(seen):
            yield f"data: {number}\n\n".encode()
            await event.wait()

    async def handler(_request: Request) -> Response:
        return StreamingResponse(events(), media_type="text/event-stream")

    app = Starlette(
        routes=[Route(PATH, handler, methods=["POST"])], middleware=[Middleware(ChainLogMiddleware, chainlog=chainlog)]
    )
    chunks: list[bytes] = []
    async with serving(app, chainlog) as client, client.stream("POST", PATH) as reply:
        async for chunk in reply.aiter_raw():
            seen[len(chunks)].set()
            chunks.append(chunk)
    assert chunks == [f"data: {number}\n\n".encode() for number in range(5)]


async def test_a_body_that_the_application_does_not_read_is_left_alone(chainlog: ChainLog) -> None:
    """Nothing is received for the application: what it did not ask for is not asked for."""

    async def app(_scope: object, _receive: object, send: object) -> None:
        await PlainTextResponse("no")({"type": "http"}, None, send)  # type: ignore[arg-type]  # ASGI

    async def receive() -> dict[str, object]:
        raise AssertionError("the body belongs to the application")

    sent: list[object] = []

    async def send(message: object) -> None:
        sent.append(message)

    async with chainlog:
        middleware = ChainLogMiddleware(app, chainlog=chainlog)
        await middleware({"type": "http", "method": "POST", "path": PATH, "headers": []}, receive, send)
        (row,) = await rows_of(chainlog)
    assert (len(sent), row["http_status"]) == (2, 200)


def test_little_is_kept_of_an_endless_answer() -> None:
    """However long an answer is, and however it is cut, what is kept of it takes no more than a bound."""
    for size in (1_000, 300_000):
        kept = Document()
        kept.add(b'{"')
        for _ in range(4_000_000 // size):
            kept.add(b"x" * size)
            kept.add(b'":1,"usage":"' + b"y" * size + b'","')
        assert len(kept.read()) <= 2 * MAX_DOCUMENT_BYTES
        assert kept._long is not None
        assert len(kept._bytes) + len(kept._long._splitter._part) <= MAX_DOCUMENT_BYTES


def test_little_is_kept_of_an_endless_request() -> None:
    """A request body over the bound is let go, and so is every other one once it is complete."""
    asked = ObservedRequest({"headers": []})
    for _ in range(MAX_REQUEST_BYTES // 65_536 + 1):
        asked.note({"type": "http.request", "body": b" " * 65_536, "more_body": True})
    assert asked._body is None
    asked.note({"type": "http.request", "body": b'{"model": "m"}'})
    assert (asked.model, asked.is_complete) == (None, True)


def test_a_plain_answer_is_not_kept() -> None:
    """What is neither JSON nor events is not looked into."""
    answered = ObservedResponse()
    answered.note({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"audio/mpeg")]})
    answered.note({"type": "http.response.body", "body": b'{"usage": {"prompt_tokens": 3}}'})
    assert answered.reader is None
