"""What the middleware records of the calls that pass through it."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import math
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route

from chainlog_async import ChainLog, RequestLogEntry
from chainlog_async.common.clock import now_ms
from chainlog_async.integrations.asgi import (
    ChainLogMiddleware,
    Description,
    attempt,
    describe_request,
    record_attempt,
)
from chainlog_async.usage.time_window import Window
from tests.support.gateways import App, rows_of, serving

ANSWER = {
    "model": "gpt-4o-mini-2024-07-18",
    "choices": [{"message": {"role": "assistant", "content": "four words of secret"}}],
    "usage": {
        "prompt_tokens": 11,
        "completion_tokens": 4,
        "total_tokens": 15,
        "prompt_tokens_details": {"cached_tokens": 8},
    },
}
QUESTION = {"messages": [{"role": "user", "content": "a secret question"}], "model": "gpt-4o-mini"}


def gateway(handler: object, chainlog: ChainLog, path: str = "/v1/chat/completions", **options: object) -> Starlette:
    """An application with one route, recorded."""
    return Starlette(
        routes=[Route(path, handler, methods=["GET", "POST"])],  # type: ignore[arg-type]  # any handler
        middleware=[Middleware(ChainLogMiddleware, chainlog=chainlog, **options)],  # type: ignore[arg-type]  # handed on
    )


async def answer(request: Request) -> Response:
    """Says what a provider would."""
    await request.json()
    return JSONResponse(ANSWER, headers={"X-Request-Id": "req-from-the-answer"})


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


@pytest.mark.parametrize(
    "model", ["m" * 5000, "null\0byte", "\ud800", 'quo"ted', None, 7, ["m"]], ids=lambda model: repr(model)[:12]
)
async def test_no_model_that_a_client_asks_for_costs_the_row(chainlog: ChainLog, model: object) -> None:
    """However odd the model's name is, the request is recorded."""

    async def handler(request: Request) -> Response:
        await request.body()
        return JSONResponse({"error": {}}, 404)

    async with serving(gateway(handler, chainlog), chainlog) as client:
        await client.post("/v1/chat/completions", content=json.dumps({"model": model}))
        await client.post("/v1/chat/completions", content=b'{"model": "cut off')
        await client.post("/v1/chat/completions", content=b"[" * 100_000)
        assert len(await rows_of(chainlog)) == 3


async def test_a_log_that_is_not_open_never_costs_a_request(
    chainlog: ChainLog, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the lifespan was forgotten the request is served, and one line says what is missing."""
    closed = ChainLog(chainlog.settings)
    async with serving(gateway(answer, closed), chainlog) as client:
        with caplog.at_level(logging.WARNING, "chainlog_async"):
            for _ in range(3):
                assert (await client.post("/v1/chat/completions", json=QUESTION)).status_code == 200
    (line,) = [record.getMessage() for record in caplog.records if "was not recorded" in record.getMessage()]
    assert "the log is not open" in line


class Panic(BaseException):
    """An error that is no `Exception`, as those of extensions in Rust."""


@pytest.mark.parametrize("kind", [KeyError, asyncio.CancelledError, Panic])
async def test_a_price_list_that_fails_never_costs_a_request(
    chainlog: ChainLog, caplog: pytest.LogCaptureFixture, kind: type[BaseException]
) -> None:
    """An error of `cost` is a line in the log, the client has its answer, and the row says that the cost is missing."""

    def cost(entry: RequestLogEntry) -> float:
        raise kind(entry.model)

    async with serving(gateway(answer, chainlog, cost=cost), chainlog) as client:
        assert (await client.post("/v1/chat/completions", json=QUESTION)).json() == ANSWER
        (row,) = await rows_of(chainlog)
        assert chainlog.statistics().repaired == {"cost_usd": 1}
    assert f"{kind.__name__} at test_asgi.py" in caplog.text
    assert row["cost_usd"] is None
    assert row["metadata"] == {"chainlog_repaired": ["cost_usd"]}


@pytest.mark.parametrize(
    ("given", "stored"),
    [(Decimal("0.25"), 0.25), (math.nan, None), (math.inf, None), (-1, None), ("0.25", None)],
    ids=repr,
)
async def test_an_odd_cost_never_costs_the_row(chainlog: ChainLog, given: object, stored: float | None) -> None:
    """A Decimal is stored as a number; what is no cost is left out, and the row says so."""
    async with serving(gateway(answer, chainlog, cost=lambda _: given), chainlog) as client:
        await client.post("/v1/chat/completions", json=QUESTION)
        (row,) = await rows_of(chainlog)
    assert row["cost_usd"] == stored
    assert row["metadata"] == {"chainlog_repaired": ["cost_usd"]}


@pytest.mark.parametrize("text", ["m" * 300, "null\0byte", "half \ud83d"], ids=ascii)
async def test_no_text_that_a_handler_passes_on_costs_the_row(chainlog: ChainLog, text: str) -> None:
    """A client's model name, or a provider's error text, may go to `attempt` and `describe_request` as it is."""

    async def handler(_request: Request) -> Response:
        describe_request(caller=text, request_id=text, metadata={"note": text})
        with attempt("groq", text) as tried:
            tried.http_status, tried.error_message = 429, text
        record_attempt(provider_id=text, model=text, http_status=99, latency_ms=-1, error_message=text)
        return JSONResponse({"error": {}}, 429)

    async with serving(gateway(handler, chainlog), chainlog) as client:
        await client.post("/v1/chat/completions", json=QUESTION)
        (row,) = await rows_of(chainlog)
        assert chainlog.statistics().dropped == {}
    assert row["http_status"] == 429
    assert isinstance(row["attempt_trail"], list)
    assert len(row["attempt_trail"]) == 2
    assert isinstance(row["metadata"], dict)
    assert {"attempt_trail", "request_id", "caller", "model"} <= {*row["metadata"]["chainlog_repaired"]}


@pytest.mark.parametrize(
    ("given", "stored"), [(None, 200), ("429", 429), ("soon", 200), (700, 200), (True, 200), (Decimal(429), 429)]
)
async def test_no_status_that_a_handler_gives_costs_the_row(chainlog: ChainLog, given: object, stored: int) -> None:
    """A status that there is replaces that of the response; anything else leaves it."""

    async def handler(_request: Request) -> Response:
        describe_request(http_status=given)  # type: ignore[arg-type]  # that is the point
        return JSONResponse(ANSWER)

    async with serving(gateway(handler, chainlog), chainlog) as client:
        await client.post("/v1/chat/completions", json=QUESTION)
        (row,) = await rows_of(chainlog)
    assert row["http_status"] == stored


class Array:
    """A value that is neither true nor false, as an array of numpy's."""

    def __bool__(self) -> bool:
        raise ValueError("ambiguous")

    def __eq__(self, other: object) -> Array:  # type: ignore[override]  # as numpy does
        return self

    __hash__ = None  # type: ignore[assignment]  # likewise


async def test_no_value_that_a_handler_gives_costs_the_row(chainlog: ChainLog) -> None:
    """Values that can be neither compared nor asked whether they are true are left out, and named in the row."""

    async def handler(_request: Request) -> Response:
        described = dict.fromkeys(set(Description.__annotations__) - {"http_status"}, Array())
        describe_request(**described)  # type: ignore[arg-type]  # that is the point
        record_attempt(provider_id="groq", model="m", error_message=Array())  # type: ignore[arg-type]  # likewise
        return JSONResponse({"error": {}}, 429)

    async with serving(gateway(handler, chainlog), chainlog) as client:
        await client.post("/v1/chat/completions", json=QUESTION)
        (row,) = await rows_of(chainlog)
    assert row["http_status"] == 429
    assert isinstance(row["metadata"], dict)
    assert {"cost_usd", "error_message", "prompt_tokens", "attempt_trail"} <= {*row["metadata"]["chainlog_repaired"]}


async def test_tokens_that_the_handler_does_not_know_are_those_of_the_response(chainlog: ChainLog) -> None:
    """None is no count."""

    async def handler(_request: Request) -> Response:
        describe_request(prompt_tokens=None, completion_tokens=None)  # type: ignore[arg-type]  # that is the point
        return JSONResponse(ANSWER)

    async with serving(gateway(handler, chainlog), chainlog) as client:
        await client.post("/v1/chat/completions", json=QUESTION)
        (row,) = await rows_of(chainlog)
    usage = ANSWER["usage"]
    assert isinstance(usage, dict)
    assert (row["prompt_tokens"], row["completion_tokens"]) == (usage["prompt_tokens"], usage["completion_tokens"])
    assert row["metadata"] is None


async def test_names_that_are_bytes_are_decoded_and_marked(chainlog: ChainLog) -> None:
    """Wherever a handler names a provider or a model."""

    async def handler(_request: Request) -> Response:
        describe_request(chain_name=b"fast")  # type: ignore[arg-type]  # that is the point
        record_attempt(provider_id=b"groq", model=b"caf\xc3\xa9")  # type: ignore[arg-type]  # likewise
        return JSONResponse(ANSWER)

    async with serving(gateway(handler, chainlog), chainlog) as client:
        await client.post("/v1/chat/completions", json=QUESTION)
        (row,) = await rows_of(chainlog)
    assert (row["chain_name"], row["provider_id"], row["model"]) == ("fast", "groq", "caf\xe9")
    assert row["attempt_trail"] == [{"provider_id": "groq", "model": "caf\xe9"}]
    assert row["metadata"] == {"chainlog_repaired": ["chain_name", "provider_id", "model", "attempt_trail"]}


async def test_metadata_that_are_no_mapping_never_break_the_request(chainlog: ChainLog) -> None:
    """What a handler describes with is not checked in the handler, where an error would reach the client."""

    async def handler(_request: Request) -> Response:
        describe_request(metadata={"tier": 2})
        describe_request(metadata="tier 3")  # type: ignore[arg-type]  # that is the point
        return JSONResponse(ANSWER)

    async with serving(gateway(handler, chainlog), chainlog) as client:
        assert (await client.post("/v1/chat/completions", json=QUESTION)).status_code == 200
        (row,) = await rows_of(chainlog)
    assert row["metadata"] == {"chainlog_repaired": ["metadata"]}


async def test_other_scopes_pass(chainlog: ChainLog) -> None:
    """Lifespan and websocket scopes go to the application as they are."""
    seen: list[object] = []

    async def app(scope: object, receive: object, send: object) -> None:
        seen.extend([scope, receive, send])

    middleware: App = ChainLogMiddleware(app, chainlog=chainlog)
    given = ({"type": "websocket", "path": "/v1/chat/completions"}, object(), object())
    await middleware(*given)
    assert all(one is other for one, other in zip(seen, given, strict=True))
