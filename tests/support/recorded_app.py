"""An application whose calls the middleware records, and what it answers."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from chainlog_async import ChainLog
from chainlog_async.integrations.asgi import ChainLogMiddleware

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
