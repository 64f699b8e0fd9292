"""An answer that begins with 200 and reports a failure, or breaks off, is no success."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from chainlog_async import ChainLog, RequestFilter, UsageQuery
from chainlog_async.common.clock import now_ms
from chainlog_async.integrations.asgi import ChainLogMiddleware, attempt, describe_request
from chainlog_async.usage.time_window import Window
from tests.support.gateways import rows_of, serving

CHUNK = {"model": "m", "choices": [{"delta": {"content": "Hi"}, "finish_reason": None}]}
END = {"choices": [{"delta": {}, "finish_reason": "stop"}]}
START = {"type": "message_start", "message": {"model": "claude", "usage": {"input_tokens": 3}}}
TEXT = {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Hi"}}

FAILURES: dict[str, tuple[Sequence[str], str]] = {
    "an error in place of a chunk": (
        [json.dumps(CHUNK), '{"error": {"message": "Provider returned error", "code": 502}}', "[DONE]"],
        "502: Provider returned error",
    ),
    "an error as a text": (['{"error": "model is loading"}'], "model is loading"),
    "an error beside the choices": (
        [json.dumps({**CHUNK, "error": {"code": 429, "message": "slow down"}}), "[DONE]"],
        "429: slow down",
    ),
    "Anthropic's overload": (
        [
            json.dumps(START),
            json.dumps(TEXT),
            '{"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}',
        ],
        "overloaded_error: Overloaded",
    ),
    "a response that failed": (
        ['{"type": "response.failed", "response": {"error": {"code": "server_error", "message": "sorry"}}}'],
        "server_error: sorry",
    ),
    "an error of Responses": (
        ['{"type": "error", "code": "rate_limit_exceeded", "message": "slow down"}'],
        "slow down",
    ),
    "a choice that failed": (
        [json.dumps({"choices": [{"delta": {}, "finish_reason": "error", "error": {"code": 502, "message": "gone"}}]})],
        "502: gone",
    ),
    "Groq's own place": (['{"x_groq": {"error": "over capacity"}}'], "over capacity"),
    "vLLM": (['{"object": "error", "message": "out of memory", "code": 500}'], "500: out of memory"),
    "chunks without an end": ([json.dumps(CHUNK), json.dumps(CHUNK)], "the stream ended before"),
    "Anthropic without an end": ([json.dumps(START), json.dumps(TEXT)], "the stream ended before"),
    "Responses without an end": (['{"type": "response.output_text.delta", "delta": "Hi"}'], "the stream ended before"),
}
ANSWERS: dict[str, Sequence[str]] = {
    "an end with [DONE] alone": [json.dumps(CHUNK), "[DONE]"],
    "an end with a finish reason alone": [json.dumps(CHUNK), json.dumps(END)],
    "usage after the end": [json.dumps(CHUNK), json.dumps(END), '{"choices": [], "usage": {"prompt_tokens": 3}}'],
    "usage with choices after the end": [
        json.dumps(CHUNK),
        json.dumps(END),
        '{"choices": [{"delta": {}, "finish_reason": null}], "usage": {"prompt_tokens": 3}}',
    ],
    "an error of nothing": [json.dumps({**CHUNK, "error": {"code": 0, "message": ""}}), "[DONE]"],
    "Anthropic": [json.dumps(START), json.dumps(TEXT), '{"type": "message_stop"}'],
    "an incomplete response": ['{"type": "response.incomplete", "response": {"error": null}}'],
    "no error": [json.dumps({**CHUNK, "error": None}), "[DONE]"],
    "an error in the text": [json.dumps({"choices": [{"delta": {"content": '{"error": "x"}'}}]}), "[DONE]"],
    "events of the gateway's own": ['{"progress": 1}', '{"progress": 2}'],
    "Gemini": ['{"candidates": [{"content": {"parts": [{"text": "Hi"}]}, "finishReason": "STOP"}]}'],
}


def gateway(chainlog: ChainLog, handler: object) -> Starlette:
    """A gateway with one route and the middleware."""
    routes = [Route("/v1/chat/completions", handler, methods=["POST"])]  # type: ignore[arg-type]  # an endpoint
    return Starlette(routes=routes, middleware=[Middleware(ChainLogMiddleware, chainlog=chainlog)])


def streamed(events: Sequence[str]) -> StreamingResponse:
    """A response of these events."""

    async def body() -> AsyncIterator[bytes]:
        for event in events:
            yield f"data: {event}\n\n".encode()

    return StreamingResponse(body(), media_type="text/event-stream")


@pytest.mark.parametrize("name", FAILURES)
async def test_a_stream_that_fails_keeps_its_status_and_counts_as_an_error(chainlog: ChainLog, name: str) -> None:
    """The row has the 200 that the client got and the error; error rates and provider health count it."""
    events, message = FAILURES[name]

    async def handler(_request: Request) -> Response:
        with attempt("groq", "m") as tried:
            tried.http_status = 200
        return streamed(events)

    async with serving(gateway(chainlog, handler), chainlog) as client:
        assert (await client.post("/v1/chat/completions", json={"model": "m"})).status_code == 200
        (row,) = await rows_of(chainlog)
        assert (row["http_status"], row["outcome"]) == (200, "failed")
        assert message in str(row["error_message"])
        window = Window(start=now_ms() - 3_600_000, end=now_ms() + 3_600_000)
        (usage,) = await chainlog.usage.get_usage(UsageQuery(window=window))
        (latency,) = await chainlog.usage.get_latency(UsageQuery(window=window))
        (health,) = await chainlog.usage.get_provider_health(window)
        page = await chainlog.usage.find_requests(RequestFilter(status="errors"))
    assert (usage.requests, usage.errors, latency.error_rate) == (1, 1, 1.0)
    assert latency.latency_ms.p50 is None
    assert (health.attempts, health.successes, health.failures) == (1, 0, 1)
    assert message in str(health.last_error)
    assert [request.http_status for request in page.requests] == [200]


@pytest.mark.parametrize("name", ANSWERS)
async def test_a_stream_that_ends_is_a_success(chainlog: ChainLog, name: str) -> None:
    """However a provider says that its answer is complete, or when nobody knows how."""

    async def handler(_request: Request) -> Response:
        return streamed(ANSWERS[name])

    async with serving(gateway(chainlog, handler), chainlog) as client:
        await client.post("/v1/chat/completions", json={"model": "m"})
        (row,) = await rows_of(chainlog)
    assert (row["http_status"], row["outcome"], row["error_message"]) == (200, "answered", None)


async def test_an_event_named_error_is_a_failure(chainlog: ChainLog) -> None:
    """Whatever its data are."""

    async def body() -> AsyncIterator[bytes]:
        yield b'data: {"choices": [{"delta": {"content": "Hi"}}]}\n\n'
        yield b"event: error\ndata: the upstream is gone\n\n"

    async def handler(_request: Request) -> Response:
        return StreamingResponse(body(), media_type="text/event-stream")

    async with serving(gateway(chainlog, handler), chainlog) as client:
        await client.post("/v1/chat/completions", json={"model": "m"})
        (row,) = await rows_of(chainlog)
    assert (row["http_status"], row["outcome"]) == (200, "failed")
    assert row["error_message"] == "the upstream is gone"


@pytest.mark.parametrize(
    ("media_type", "body"),
    [("application/json", b'{"choices": [{"message": {"content": "Hel'), ("text/event-stream", b": nothing yet\n\n")],
)
async def test_an_answer_that_is_cut_short_is_a_failure(chainlog: ChainLog, media_type: str, body: bytes) -> None:
    """A body of JSON that ends in the middle, and a stream without any event."""

    async def handler(_request: Request) -> Response:
        return Response(body, media_type=media_type)

    async with serving(gateway(chainlog, handler), chainlog) as client:
        await client.post("/v1/chat/completions", json={"model": "m"})
        (row,) = await rows_of(chainlog)
    assert (row["http_status"], row["outcome"]) == (200, "failed")


@pytest.mark.parametrize("body", [b"null", b"[]", b'"text"', b"", b"[1, 2]", b'{"n": NaN}'])
async def test_json_of_any_kind_is_an_answer(chainlog: ChainLog, body: bytes) -> None:
    """The middleware does not judge what a gateway answers with."""

    async def handler(_request: Request) -> Response:
        return Response(body, media_type="application/json")

    async with serving(gateway(chainlog, handler), chainlog) as client:
        await client.post("/v1/chat/completions", json={"model": "m"})
        (row,) = await rows_of(chainlog)
    assert (row["outcome"], row["error_message"]) == ("answered", None)


async def test_a_body_with_an_error_is_a_failure(chainlog: ChainLog) -> None:
    """Also without an attempt of the handler's: the provider that is named has failed."""

    async def handler(_request: Request) -> Response:
        describe_request(provider_id="openrouter")
        return JSONResponse({"error": {"code": 502, "message": "no provider"}})

    async with serving(gateway(chainlog, handler), chainlog) as client:
        await client.post("/v1/chat/completions", json={"model": "m"})
        (row,) = await rows_of(chainlog)
        (health,) = await chainlog.usage.get_provider_health(Window(start=now_ms() - 3_600_000, end=now_ms() + 1))
    assert (row["http_status"], row["outcome"], row["attempts"]) == (200, "failed", 1)
    assert (health.provider_id, health.failures) == ("openrouter", 1)


async def test_a_file_that_the_server_sends_is_an_answer(chainlog: ChainLog) -> None:
    """`http.response.pathsend` ends a response, as servers such as granian offer it."""
    sent: list[object] = []

    async def app(_scope: object, _receive: object, send: object) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})  # type: ignore[operator]  # ASGI's
        await send({"type": "http.response.pathsend", "path": "/answers.json"})  # type: ignore[operator]  # ASGI's

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"{}"}

    async def send(message: object) -> None:
        sent.append(message)

    async with chainlog:
        middleware = ChainLogMiddleware(app, chainlog=chainlog)
        await middleware(
            {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": []}, receive, send
        )
        (row,) = await rows_of(chainlog)
    assert (len(sent), row["http_status"], row["error_message"]) == (2, 200, None)
