"""The gateway as an application: its routes, its log, and the log's dashboard under /chainlog/."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import httpx
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from chainlog_async import ChainLog
from chainlog_async.integrations.asgi import ChainLogMiddleware, describe_request
from chainlog_async.server.app import create_app

from .config import Config
from .hanging_up import HANG_UP_HANDLERS, unless_hung_up
from .waterfall import Waterfall, refusal


def create_gateway(config: Config, chainlog: ChainLog) -> Starlette:
    """Return the gateway; its lifespan opens and drains the log.

    Call ``app.state.end_streams()`` before the server waits for running requests: a live tail never ends by itself.
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with chainlog, httpx.AsyncClient() as client:
            app.state.waterfall = Waterfall(config, client)
            yield

    async def chat_completions(request: Request) -> Response:
        describe_request(request_id=request.headers.get("x-request-id") or uuid4().hex)
        key = request.headers.get("authorization", "").removeprefix("Bearer ")
        if config.callers and key not in config.callers:
            return refusal(401, "unknown key")
        describe_request(caller=config.callers.get(key))
        try:
            body = await request.json()
        except ValueError:  # not JSON, or not UTF-8
            body = None
        if not isinstance(body, dict):
            return refusal(400, "send a JSON object")
        if body.get("model") not in list(config.chains):
            return refusal(404, f"unknown model; the models are {', '.join(config.chains)}")
        describe_request(chain_name=body["model"])
        waterfall: Waterfall = request.app.state.waterfall
        return await unless_hung_up(request, waterfall.answer(body["model"], body))

    async def models(_request: Request) -> Response:
        data = [{"id": name, "object": "model", "created": 0, "owned_by": "gateway"} for name in config.chains]
        return JSONResponse({"object": "list", "data": data})

    pages = create_app(chainlog, already_running=True)
    app = Starlette(
        routes=[
            Route("/v1/chat/completions", chat_completions, methods=["POST"]),
            Route("/v1/models", models),
            Mount("/chainlog", pages),
        ],
        middleware=[
            # These names stand for requests that the gateway itself refuses, before it calls a provider.
            Middleware(
                ChainLogMiddleware,
                chainlog=chainlog,
                chain_name="none",
                provider_id="gateway",
                cost=config.cost_usd,
            ),
        ],
        exception_handlers=HANG_UP_HANDLERS,
        lifespan=lifespan,
    )
    app.state.end_streams = pages.state.end_streams
    return app
