"""A Litestar gateway that logs its requests. Run it with ``uvicorn litestar_gateway:app``."""

from litestar import Litestar, post
from litestar.middleware import DefineMiddleware

from chainlog_async import ChainLog
from chainlog_async.integrations.asgi import ChainLogMiddleware, describe_request, record_attempt

chainlog = ChainLog()  # ./data/observability.db, unless CHAINLOG_ variables say otherwise


@post("/v1/embeddings", status_code=200)
async def embeddings(data: dict[str, object]) -> dict[str, object]:
    """Return an embedding, in place of a provider's."""
    describe_request(chain_name="search", caller="search-team")
    record_attempt(provider_id="mistral", model="mistral-embed", http_status=200, latency_ms=12.5)
    vector = [0.25, float(len(str(data["input"])))]
    usage = {"prompt_tokens": 12, "total_tokens": 12}
    return {"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": vector}], "usage": usage}


app = Litestar(
    route_handlers=[embeddings],
    middleware=[DefineMiddleware(ChainLogMiddleware, chainlog=chainlog)],
    lifespan=[chainlog.lifespan],
)
