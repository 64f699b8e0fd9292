"""What the middleware records of the calls that pass through it."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Mount

from chainlog_async import ChainLog, RequestLogEntry
from chainlog_async.common.clock import now_ms
from chainlog_async.integrations.asgi import ChainLogMiddleware, describe_request, record_attempt
from chainlog_async.usage.time_window import Window
from tests.support.gateways import App, rows_of, serving
from tests.support.recorded_app import ANSWER, QUESTION, answer, gateway


async def test_a_plain_call_is_a_row(chainlog: ChainLog) -> None:
    """Without a word from the handler there are status, model, tokens, latency, the id, and no text of either side."""
    async with serving(gateway(answer, chainlog), chainlog) as client:
        reply = await client.post(
            "/v1/chat/completions", json=QUESTION, headers={"X-Request-Id": "req-from-the-client"}
        )
        assert reply.json() == ANSWER
        (row,) = await rows_of(chainlog)
    assert (row["http_status"], row["model"], row["chain_name"], row["provider_id"]) == (
        200,
        "gpt-4o-mini",
        "default",
        "unknown",
    )
    assert (row["prompt_tokens"], row["completion_tokens"], row["total_tokens"], row["cached_tokens"]) == (11, 4, 15, 8)
    assert (row["attempts"], row["attempt_trail"], row["error_message"], row["ttft_ms"]) == (0, None, None, None)
    assert (row["streamed"], row["request_id"]) == (0, "req-from-the-answer")
    assert "secret" not in str(row)


@pytest.mark.parametrize(
    ("method", "path", "is_recorded"),
    [
        ("POST", "/v1/chat/completions", True),
        ("POST", "/v1/completions", True),
        ("POST", "/v1/embeddings", True),
        ("POST", "/openai/deployments/x/embeddings", True),
        ("POST", "/v1/responses", True),
        ("POST", "/v1/messages", True),
        ("GET", "/v1/chat/completions", False),
        ("POST", "/v1/models", False),
        ("GET", "/health", False),
    ],
)
async def test_calls_of_a_model_are_recorded(chainlog: ChainLog, method: str, path: str, is_recorded: bool) -> None:
    """POST to a path that ends like one of OpenAI's or Anthropic's is recorded, and nothing else is."""

    async def nothing(_request: Request) -> Response:
        return Response()

    async with serving(gateway(nothing, chainlog, path), chainlog) as client:
        assert (await client.request(method, path)).status_code == 200
        assert len(await rows_of(chainlog)) == is_recorded


async def test_the_paths_and_names_are_the_gateways_to_choose(chainlog: ChainLog) -> None:
    """`paths`, `chain_name` and `provider_id` replace the defaults."""
    app = gateway(answer, chainlog, "/rerank", paths=["/rerank"], chain_name="search", provider_id="vllm")
    async with serving(app, chainlog) as client:
        await client.post("/rerank", json=QUESTION)
        (row,) = await rows_of(chainlog)
    assert (row["chain_name"], row["provider_id"]) == ("search", "vllm")


async def test_a_mounted_gateway_is_recorded(chainlog: ChainLog) -> None:
    """Under a path of another application it works the same."""
    async with serving(Starlette(routes=[Mount("/llm", gateway(answer, chainlog))]), chainlog) as client:
        assert (await client.post("/llm/v1/chat/completions", json=QUESTION)).status_code == 200
        assert len(await rows_of(chainlog)) == 1


async def test_the_handler_says_what_only_it_knows(chainlog: ChainLog) -> None:
    """Chain, caller, cost, metadata and attempts come from the handler; the last attempt names the provider."""

    async def handler(_request: Request) -> Response:
        describe_request(chain_name="fast", caller="search-team", metadata={"region": "eu"})
        record_attempt(provider_id="groq", model="llama", http_status=429, latency_ms=3, error_message="slow down")
        record_attempt(provider_id="cerebras", model="llama3.1", http_status=200, latency_ms=20.5)
        describe_request(cost_usd=0.25, metadata={"tier": 2})
        return JSONResponse(ANSWER)

    async with serving(gateway(handler, chainlog), chainlog) as client:
        await client.post("/v1/chat/completions", json=QUESTION)
        (row,) = await rows_of(chainlog)
    assert (row["chain_name"], row["caller"], row["cost_usd"]) == ("fast", "search-team", 0.25)
    assert (row["provider_id"], row["model"], row["attempts"]) == ("cerebras", "llama3.1", 2)
    assert row["metadata"] == {"region": "eu", "tier": 2}
    assert row["attempt_trail"] == [
        {"provider_id": "groq", "model": "llama", "http_status": 429, "latency_ms": 3, "error_message": "slow down"},
        {"provider_id": "cerebras", "model": "llama3.1", "http_status": 200, "latency_ms": 20.5},
    ]
    assert row["error_message"] is None


async def test_what_the_handler_says_goes_before_what_is_seen(chainlog: ChainLog) -> None:
    """Status, model, tokens, id and message of `describe_request` replace those that passed by."""

    async def handler(_request: Request) -> Response:
        describe_request(http_status=502, error_message="broke off", model="m", request_id="mine")
        describe_request(prompt_tokens=1, completion_tokens=2, cached_tokens=None, provider_id="p")
        return JSONResponse(ANSWER)

    async with serving(gateway(handler, chainlog), chainlog) as client:
        assert (await client.post("/v1/chat/completions", json=QUESTION)).status_code == 200
        (row,) = await rows_of(chainlog)
    assert (row["http_status"], row["error_message"], row["model"]) == (502, "broke off", "m")
    assert (row["request_id"], row["provider_id"]) == ("mine", "p")
    assert (row["prompt_tokens"], row["total_tokens"], row["cached_tokens"]) == (1, 3, None)


async def test_only_who_was_asked_was_tried(chainlog: ChainLog) -> None:
    """A provider that the handler names was tried once; what the gateway refuses on its own is nobody's refusal."""

    async def handler(request: Request) -> Response:
        if provider := request.query_params.get("provider"):
            describe_request(provider_id=provider)
        return Response(status_code=429)

    async with serving(gateway(handler, chainlog, provider_id="gateway"), chainlog) as client:
        await client.post("/v1/chat/completions")
        await client.post("/v1/chat/completions?provider=groq")
        rows = await rows_of(chainlog)
        health = await chainlog.usage.get_provider_health(Window(start=0, end=2 * now_ms()))
    assert [(row["provider_id"], row["attempts"]) for row in rows] == [("gateway", 0), ("groq", 1)]
    assert [(each.provider_id, each.attempts, each.rate_limited) for each in health] == [("groq", 1, 1)]


async def test_a_price_list_is_asked_once_the_tokens_are_known(chainlog: ChainLog) -> None:
    """`cost` gets the finished entry, tokens of a stream included, unless the handler said what it cost."""

    def cost(entry: RequestLogEntry) -> float:
        return entry.prompt_tokens * 0.5

    async def handler(request: Request) -> Response:
        if request.query_params:
            describe_request(cost_usd=7)
        return await answer(request)

    async with serving(gateway(handler, chainlog, cost=cost), chainlog) as client:
        await client.post("/v1/chat/completions", json=QUESTION)
        await client.post("/v1/chat/completions?said=1", json=QUESTION)
        assert [row["cost_usd"] for row in await rows_of(chainlog)] == [5.5, 7]


async def test_a_stream_has_its_first_token_and_its_last_chunk(chainlog: ChainLog) -> None:
    """A stream's TTFT is recorded, and its tokens come from the last chunk."""
    held = asyncio.Event()

    async def events() -> AsyncIterator[bytes]:
        yield b'data: {"model":"m","choices":[{"delta":{"role":"assistant","content":""}}],"usage":null}\n\n'
        yield b'data: {"choices":[{"delta":{"content":"Hel"}}],"usage":null}\n\n'
        await held.wait()
        yield b'data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":1}}\n\ndata: [DONE]\n\n'

    async def handler(request: Request) -> Response:
        await request.body()
        return StreamingResponse(events(), media_type="text/event-stream")

    async with serving(gateway(handler, chainlog), chainlog) as client:
        async with client.stream("POST", "/v1/chat/completions", json={**QUESTION, "stream": True}) as reply:
            async for line in reply.aiter_lines():
                if '"Hel"' in line:
                    held.set()
        (row,) = await rows_of(chainlog)
    assert (row["streamed"], row["prompt_tokens"], row["completion_tokens"], row["http_status"]) == (1, 9, 1, 200)
    ttft_ms, latency_ms = row["ttft_ms"], row["latency_ms"]
    assert isinstance(ttft_ms, int)
    assert isinstance(latency_ms, int)
    assert 0 <= ttft_ms <= latency_ms


async def test_a_compressed_answer_is_a_row_without_tokens(chainlog: ChainLog) -> None:
    """What is compressed is passed on and not read."""

    async def handler(request: Request) -> Response:
        await request.body()
        return Response(
            gzip.compress(json.dumps(ANSWER).encode()),
            headers={"Content-Encoding": "gzip", "Content-Type": "application/json"},
        )

    async with serving(gateway(handler, chainlog), chainlog) as client:
        assert (await client.post("/v1/chat/completions", json=QUESTION)).json() == ANSWER
        (row,) = await rows_of(chainlog)
    assert (row["http_status"], row["total_tokens"], row["model"]) == (200, 0, "gpt-4o-mini")


async def test_a_refusal_is_a_row_with_its_status(chainlog: ChainLog) -> None:
    """What a framework makes of its own exceptions is recorded as the client gets it, without its text."""

    async def handler(_request: Request) -> Response:
        raise HTTPException(429, "a secret question was too long")

    async with serving(gateway(handler, chainlog), chainlog) as client:
        assert (await client.post("/v1/chat/completions", json=QUESTION)).status_code == 429
        (row,) = await rows_of(chainlog)
    assert (row["http_status"], row["error_message"]) == (429, None)


async def test_a_request_that_validation_refuses_is_a_row(chainlog: ChainLog) -> None:
    """FastAPI's 422 is recorded, and none of the values it repeats."""
    app = FastAPI()
    app.add_middleware(ChainLogMiddleware, chainlog=chainlog)

    @app.post("/v1/chat/completions")
    async def handler(body: dict[str, int]) -> None:
        """Takes numbers only."""

    async with serving(app, chainlog) as client:
        reply = await client.post("/v1/chat/completions", json={"model": "m", "prompt": "a secret question"})
        assert reply.status_code == 422
        (row,) = await rows_of(chainlog)
    assert (row["http_status"], row["model"]) == (422, "m")
    assert "secret" not in str(row)


async def test_other_scopes_pass(chainlog: ChainLog) -> None:
    """Lifespan and websocket scopes go to the application as they are."""
    seen: list[object] = []

    async def app(scope: object, receive: object, send: object) -> None:
        seen.extend([scope, receive, send])

    middleware: App = ChainLogMiddleware(app, chainlog=chainlog)
    given = ({"type": "websocket", "path": "/v1/chat/completions"}, object(), object())
    await middleware(*given)
    assert all(one is other for one, other in zip(seen, given, strict=True))
