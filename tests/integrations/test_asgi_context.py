"""What a handler says reaches the row from every task and thread of its request, and from no other's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from functools import partial
from typing import cast

import anyio
import pytest
from anyio import to_thread
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from chainlog_async import ChainLog
from chainlog_async.entry.model import MAX_ATTEMPTS
from chainlog_async.integrations.asgi import ChainLogMiddleware, attempt, describe_request, record_attempt
from tests.support.gateways import rows_of, serving

PATH = "/v1/chat/completions"


def gateway(handler: object, chainlog: ChainLog, *inner: Middleware) -> Starlette:
    """An application with one route, recorded."""
    return Starlette(
        routes=[Route(PATH, handler, methods=["POST"])],  # type: ignore[arg-type]  # any handler
        middleware=[Middleware(ChainLogMiddleware, chainlog=chainlog), *inner],
    )


async def test_it_follows_the_request_into_tasks_and_threads(chainlog: ChainLog) -> None:
    """Tasks, task groups, threads and the stream that answers all speak of the same request."""

    def in_a_thread() -> None:
        record_attempt(provider_id="thread", model="m")

    async def in_a_task(name: str) -> None:
        record_attempt(provider_id=name, model="m")

    async def events() -> AsyncIterator[bytes]:
        record_attempt(provider_id="stream", model="m")
        yield b"data: {}\n\n"
        describe_request(caller="late")

    async def handler(_request: Request) -> Response:
        await to_thread.run_sync(in_a_thread)
        await asyncio.create_task(in_a_task("task"))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(in_a_task, "group")
        await asyncio.to_thread(in_a_thread)
        return StreamingResponse(events())

    async def untouched(request: Request, call_next: RequestResponseEndpoint) -> Response:
        return await call_next(request)

    app = gateway(handler, chainlog, Middleware(BaseHTTPMiddleware, dispatch=untouched))
    async with serving(app, chainlog) as client:
        await client.post(PATH)
        (row,) = await rows_of(chainlog)
    trail = row["attempt_trail"]
    assert isinstance(trail, list)
    assert [each["provider_id"] for each in trail] == ["thread", "task", "group", "thread", "stream"]
    assert (row["caller"], row["provider_id"]) == ("late", "stream")


async def test_handlers_that_are_no_coroutines_speak_too(chainlog: ChainLog) -> None:
    """FastAPI runs `def` handlers, dependencies and generators in threads; their words arrive."""
    app = FastAPI()
    app.add_middleware(ChainLogMiddleware, chainlog=chainlog)

    @app.post(PATH)
    def handler() -> StreamingResponse:
        """Answers from a thread."""
        describe_request(caller="thread")

        def events() -> Iterator[bytes]:
            with attempt("groq", "llama") as tried:
                tried.http_status = 200
                yield b"data: {}\n\n"

        return StreamingResponse(events())

    async with serving(app, chainlog) as client:
        await client.post(PATH)
        (row,) = await rows_of(chainlog)
    assert (row["caller"], row["provider_id"], row["attempts"]) == ("thread", "groq", 1)


async def test_requests_do_not_hear_each_other(chainlog: ChainLog) -> None:
    """A hundred requests at a time, and each row has its own caller and attempts."""
    everybody = asyncio.Event()
    arrived: set[str] = set()

    async def handler(request: Request) -> Response:
        name = (await request.body()).decode()
        describe_request(caller=name)
        arrived.add(name)
        if len(arrived) == 100:
            everybody.set()
        await everybody.wait()
        record_attempt(provider_id=f"of {name}", model="m")
        return Response()

    async with serving(gateway(handler, chainlog), chainlog) as client:
        async with anyio.create_task_group() as tasks:
            for number in range(100):
                tasks.start_soon(partial(client.post, PATH, content=f"c{number}"))
        rows = await rows_of(chainlog)
    assert len(rows) == 100
    assert all((row["provider_id"], row["attempts"]) == (f"of {row['caller']}", 1) for row in rows)


async def test_an_attempt_is_timed_and_its_error_named(chainlog: ChainLog) -> None:
    """`attempt` records its block's time and how it ended, in order, and lets errors through."""

    async def handler(_request: Request) -> Response:
        with pytest.raises(TimeoutError), attempt("a", "m"):
            raise TimeoutError("a secret question")
        with suppress(ValueError), attempt("b", "m") as tried:
            tried.error_message = "said by hand"
            raise ValueError("a secret question")
        with attempt("c", "m") as tried:
            tried.http_status = 200
        tried.error_message = "broke off afterwards"
        return JSONResponse({})

    async with serving(gateway(handler, chainlog), chainlog) as client:
        await client.post(PATH)
        (row,) = await rows_of(chainlog)
    trail = row["attempt_trail"]
    assert isinstance(trail, list)
    assert [each["provider_id"] for each in trail] == ["a", "b", "c"]
    assert trail[0]["error_message"].startswith("TimeoutError at test_asgi_context.py:")
    assert [each["error_message"] for each in trail[1:]] == ["said by hand", "broke off afterwards"]
    assert all(each["latency_ms"] >= 0 for each in trail)
    assert "secret" not in str(row)


async def test_a_trail_without_end_is_bounded(chainlog: ChainLog) -> None:
    """Of very many attempts all are counted, the last ones are kept, and the row says that others are not."""

    async def handler(_request: Request) -> Response:
        for number in range(MAX_ATTEMPTS + 50):
            record_attempt(provider_id=f"p{number}", model="m")
        return Response()

    async with serving(gateway(handler, chainlog), chainlog) as client:
        await client.post(PATH)
        (row,) = await rows_of(chainlog)
    trail = row["attempt_trail"]
    assert isinstance(trail, list)
    assert (row["attempts"], len(trail)) == (MAX_ATTEMPTS + 50, MAX_ATTEMPTS)
    assert (trail[0]["provider_id"], trail[-1]["provider_id"]) == ("p50", f"p{MAX_ATTEMPTS + 49}")
    assert row["metadata"] == {"chainlog_repaired": ["attempt_trail"]}


def test_outside_of_a_request_it_is_silent() -> None:
    """A handler that is called by a test, or under a path that is not recorded, works the same."""
    describe_request(caller="nobody")
    record_attempt(provider_id="p", model="m")
    with attempt("p", "m") as tried:
        tried.http_status = 200
    assert tried.latency_ms is not None


def test_a_misspelt_name_is_told() -> None:
    """`describe_request` refuses what it does not know, and says what it does."""
    with pytest.raises(TypeError, match=r"no argument 'chain'; it takes chain_name, provider_id"):
        describe_request(chain="fast")  # type: ignore[call-arg]  # the slip that is told


async def test_a_handler_may_tell_tokens_cost_session_and_tags(chainlog: ChainLog) -> None:
    """Of the request, and of each attempt what it took by itself; what it says counts more than the answer."""

    async def handler(_request: Request) -> Response:
        record_attempt(provider_id="a", model="m", http_status=500, prompt_tokens=7, cost_usd=0.25)
        with attempt("b", "m") as tried:
            tried.http_status = 200
        tried.usage = {"reasoning_tokens": 3}
        describe_request(session_id="s", tags=["team:search"], finish_reason="done", cost_usd=0.5)
        answer = {"id": "r-1", "choices": [{"finish_reason": "stop"}], "usage": {"cache_creation_input_tokens": 4}}
        return JSONResponse(answer)

    async with serving(gateway(handler, chainlog), chainlog) as client:
        await client.post(PATH, json={"model": "m"})
    (row,) = await rows_of(chainlog)
    assert (row["session_id"], row["tags"], row["finish_reason"]) == ("s", '["team:search"]', "done")
    assert (row["response_id"], row["cache_write_tokens"]) == ("r-1", 4)
    first, second = cast("list[dict[str, object]]", row["attempt_trail"])
    assert (first["prompt_tokens"], first["cost_usd"], second["reasoning_tokens"]) == (7, 0.25, 3)


def test_an_attempt_takes_no_other_names() -> None:
    """A misspelt one is a mistake in the handler."""
    with pytest.raises(TypeError, match="cost"):
        record_attempt(provider_id="a", model="m", cost=1)  # type: ignore[call-arg]  # that is the point
