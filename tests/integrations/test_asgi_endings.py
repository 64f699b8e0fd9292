"""How a call ends: by its answer, an exception, or a client that hung up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import anyio
import httpx
import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from chainlog_async import ChainLog
from chainlog_async.integrations.asgi import ChainLogMiddleware, attempt, describe_request, record_attempt
from tests.support.gateways import App, Row, row_count, serving

PATH = "/v1/chat/completions"
QUESTION = {"model": "m", "stream": True}


def gateway(handler: object, chainlog: ChainLog) -> Starlette:
    """An application with one route, recorded."""
    return Starlette(
        routes=[Route(PATH, handler, methods=["POST"])],  # type: ignore[arg-type]  # any handler
        middleware=[Middleware(ChainLogMiddleware, chainlog=chainlog)],
    )


async def hang_up_after_first_byte(client: httpx.AsyncClient) -> None:
    """Begin to read a stream, and leave."""
    async with client.stream("POST", PATH, json=QUESTION) as reply:
        async for _chunk in reply.aiter_raw():
            return


async def one_row(chainlog: ChainLog) -> Row:
    """The only row, once it is there."""
    (row,) = await row_count(chainlog, 1)
    return row


async def test_an_exception_is_a_500_and_raised_on(chainlog: ChainLog) -> None:
    """The application's error reaches the server as it is; the row names its type and place, not its words."""
    raised = ValueError("a secret question")

    async def app(*_call: object) -> None:
        raise raised

    async def receive() -> dict[str, object]:
        return {"type": "http.request"}

    async def send(message: object) -> None:
        raise AssertionError(message)

    middleware = ChainLogMiddleware(app, chainlog=chainlog)
    async with chainlog:
        with pytest.raises(ValueError, match="a secret question") as caught:
            await middleware({"type": "http", "method": "POST", "path": PATH, "headers": []}, receive, send)
        row = await one_row(chainlog)
    assert caught.value is raised
    assert row["http_status"] == 500
    assert str(row["error_message"]).startswith("ValueError at test_asgi_endings.py:")


async def test_an_exception_in_a_handler_is_what_the_client_gets(chainlog: ChainLog) -> None:
    """Under a framework the client has its 500, and so has the row."""

    async def handler(_request: Request) -> Response:
        with attempt("groq", "llama"):
            raise RuntimeError("a secret question")

    async with serving(gateway(handler, chainlog), chainlog) as client:
        assert (await client.post(PATH, json=QUESTION)).status_code == 500
        row = await one_row(chainlog)
    assert (row["http_status"], row["provider_id"]) == (500, "groq")
    assert "secret" not in str(row)
    assert "RuntimeError at test_asgi_endings.py" in str(row["attempt_trail"])


async def test_a_stream_that_breaks_is_a_500(chainlog: ChainLog) -> None:
    """An exception after the first chunk is recorded as 500, though the client saw 200 before."""

    async def events() -> AsyncIterator[bytes]:
        yield b"data: {}\n\n"
        raise RuntimeError("broken")

    async def handler(_request: Request) -> Response:
        return StreamingResponse(events(), media_type="text/event-stream")

    async with serving(gateway(handler, chainlog), chainlog) as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.post(PATH, json=QUESTION)
        row = await one_row(chainlog)
    assert (row["http_status"], row["streamed"]) == (500, 1)


async def test_a_failure_is_explained_by_its_last_attempt(chainlog: ChainLog) -> None:
    """When the answer is an error and the handler gave no message, it is that of the last attempt."""

    async def handler(_request: Request) -> Response:
        record_attempt(provider_id="groq", model="llama", http_status=503, error_message="overloaded")
        return JSONResponse({}, 502)

    async with serving(gateway(handler, chainlog), chainlog) as client:
        await client.post(PATH, json=QUESTION)
        row = await one_row(chainlog)
    assert (row["http_status"], row["error_message"]) == (502, "overloaded")


async def test_an_application_that_never_answers_is_a_500(chainlog: ChainLog) -> None:
    """An application that returns without an answer is recorded as the server treats it."""

    async def app(scope: object, receive: object, send: object) -> None:
        pass

    async with serving(ChainLogMiddleware(app, chainlog=chainlog), chainlog) as client:
        assert (await client.post(PATH, json=QUESTION)).status_code == 500
        row = await one_row(chainlog)
    assert (row["http_status"], row["error_message"]) == (500, "the application ended before its answer was complete")


async def test_a_client_that_leaves_a_stream_is_a_499(chainlog: ChainLog) -> None:
    """A stream the client hung up on is recorded as 499, once the framework has noticed."""

    async def events() -> AsyncIterator[bytes]:
        describe_request(chain_name="fast")
        yield b"data: {}\n\n"
        await asyncio.Event().wait()

    async def handler(request: Request) -> Response:
        await request.body()
        return StreamingResponse(events(), media_type="text/event-stream")

    async with serving(gateway(handler, chainlog), chainlog) as client:
        await hang_up_after_first_byte(client)
        row = await one_row(chainlog)
    assert (row["http_status"], row["error_message"], row["streamed"]) == (499, "the client hung up", 1)
    assert (row["chain_name"], row["model"]) == ("fast", "m")


async def test_a_client_that_leaves_before_the_answer_is_a_499(chainlog: ChainLog) -> None:
    """An application that never looks whether the client is there is looked for: its answer went nowhere."""
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def handler(request: Request) -> Response:
        await request.body()
        arrived.set()
        await go_on.wait()
        return JSONResponse({})

    recorded = gateway(handler, chainlog)
    listening: list[Callable[[], Awaitable[dict[str, object]]]] = []

    async def app(scope: object, receive: Callable[[], Awaitable[dict[str, object]]], send: App) -> None:
        listening.append(receive)
        await recorded(scope, receive, send)  # type: ignore[arg-type]  # ASGI, handed on

    async with serving(app, chainlog) as client:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.post, PATH)
            await arrived.wait()
            tasks.cancel_scope.cancel()
        assert await listening[0]() == {"type": "http.disconnect"}
        go_on.set()
        row = await one_row(chainlog)
    assert (row["http_status"], row["error_message"]) == (499, "the client hung up")


async def test_a_server_that_says_so_when_it_sends_is_believed(chainlog: ChainLog) -> None:
    """A server that raises OSError at `send`, as ASGI 2.4 has it, is recorded as a client that is gone."""

    async def app(_scope: object, _receive: object, send: App) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def receive() -> dict[str, object]:
        return {"type": "http.request"}

    async def send(_message: object) -> None:
        raise ConnectionResetError

    async with chainlog:
        middleware = ChainLogMiddleware(app, chainlog=chainlog)
        with pytest.raises(ConnectionResetError):
            await middleware({"type": "http", "method": "POST", "path": PATH, "headers": []}, receive, send)
        row = await one_row(chainlog)
    assert row["http_status"] == 499


async def test_a_cancelled_call_is_a_499(chainlog: ChainLog) -> None:
    """A call that its server cancels is recorded, and stays cancelled."""

    async def app(_scope: object, _receive: object, _send: object) -> None:
        await asyncio.Event().wait()

    async def receive() -> dict[str, object]:
        return {"type": "http.request"}

    async with chainlog:
        middleware = ChainLogMiddleware(app, chainlog=chainlog)
        scope = {"type": "http", "method": "POST", "path": PATH, "headers": []}
        with anyio.move_on_after(0) as cancelling:
            await middleware(scope, receive, app)
        assert cancelling.cancelled_caught
        row = await one_row(chainlog)
    assert (row["http_status"], row["error_message"]) == (499, "cancelled before the answer was complete")


async def test_work_after_the_answer_does_not_count(chainlog: ChainLog) -> None:
    """The row is there when the client has its answer; what fails in the background afterwards changes nothing."""
    go_on = asyncio.Event()

    async def fail() -> None:
        await go_on.wait()
        raise RuntimeError("in the background")

    async def handler(request: Request) -> Response:
        await request.body()
        return JSONResponse({}, background=BackgroundTask(fail))

    async with serving(gateway(handler, chainlog), chainlog) as client:
        assert (await client.post(PATH, json=QUESTION)).status_code == 200
        row = await one_row(chainlog)
        go_on.set()
    assert row["http_status"] == 200
    assert chainlog.statistics().submitted == 1


async def test_an_application_that_listens_is_told_as_before(chainlog: ChainLog) -> None:
    """The end of the connection that the middleware saw first still reaches the application."""
    told: list[object] = []
    messages: list[dict[str, object]] = [{"type": "http.request", "body": b"{}"}, {"type": "http.disconnect"}]

    async def app(_scope: object, receive: Callable[[], Awaitable[object]], send: App) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})
        told.append(await receive())

    async def receive() -> dict[str, object]:
        return messages.pop(0)

    async def send(_message: object) -> None:
        pass

    async with chainlog:
        middleware = ChainLogMiddleware(app, chainlog=chainlog)
        await middleware({"type": "http", "method": "POST", "path": PATH, "headers": []}, receive, send)
        row = await one_row(chainlog)
    assert told == [{"type": "http.disconnect"}]
    assert row["http_status"] == 499
