"""A FastAPI gateway that logs its requests. Run it with ``uvicorn fastapi_gateway:app``."""

from fastapi import FastAPI, HTTPException

from chainlog_async import ChainLog
from chainlog_async.integrations.asgi import ChainLogMiddleware, attempt, describe_request

CHAIN = [("groq", "llama-3.1-8b-instant"), ("cerebras", "llama3.1-8b")]

chainlog = ChainLog()  # ./data/observability.db, unless CHAINLOG_ variables say otherwise
app = FastAPI(lifespan=chainlog.lifespan)
app.add_middleware(ChainLogMiddleware, chainlog=chainlog)


@app.post("/v1/chat/completions")
async def chat_completions(body: dict[str, object]) -> dict[str, object]:
    """Ask the providers of the chain one after another."""
    describe_request(chain_name="fast", caller="search-team")
    for provider_id, model in CHAIN:
        with attempt(provider_id, model) as tried:
            tried.http_status, answer = await ask(provider_id, model, body)
        if tried.http_status == 200:
            return answer
    raise HTTPException(502, "no provider of the chain answered")


async def ask(provider_id: str, model: str, body: dict[str, object]) -> tuple[int, dict[str, object]]:
    """Placeholder for an HTTP request: the first provider is overloaded, the second one answers."""
    if provider_id == "groq":
        return 429, {}
    message = {"role": "assistant", "content": f"You said {len(str(body['messages']))} characters."}
    usage = {"prompt_tokens": 12, "completion_tokens": 5, "total_tokens": 17}
    return 200, {"object": "chat.completion", "model": model, "choices": [{"message": message}], "usage": usage}
