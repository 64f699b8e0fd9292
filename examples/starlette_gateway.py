"""A Starlette gateway that logs its streams. Run it with ``uvicorn starlette_gateway:app``."""

import json
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from chainlog_async import ChainLog
from chainlog_async.integrations.asgi import ChainLogMiddleware, attempt, describe_request

chainlog = ChainLog()  # ./data/observability.db, unless CHAINLOG_ variables say otherwise


async def chat_completions(request: Request) -> StreamingResponse:
    """Return a stream; the time to its first token and the tokens in its last chunk are logged."""
    body = await request.json()
    describe_request(chain_name="fast", caller="search-team")
    with attempt("groq", "llama-3.1-8b-instant") as tried:
        tried.http_status, events = 200, ask(body)
    return StreamingResponse(events, media_type="text/event-stream")


async def ask(body: dict[str, object]) -> AsyncIterator[bytes]:
    """Placeholder for the stream of a provider."""
    for word in ("You", " said", f" {len(str(body['messages']))}", " characters."):
        yield event({"choices": [{"delta": {"content": word}}]})
    yield event({"choices": [], "usage": {"prompt_tokens": 12, "completion_tokens": 5, "total_tokens": 17}})
    yield b"data: [DONE]\n\n"


def event(chunk: dict[str, object]) -> bytes:
    """Encode one event of the stream."""
    return f"data: {json.dumps(chunk)}\n\n".encode()


app = Starlette(
    routes=[Route("/v1/chat/completions", chat_completions, methods=["POST"])],
    middleware=[Middleware(ChainLogMiddleware, chainlog=chainlog)],
    lifespan=chainlog.lifespan,
)
