"""Simulated providers, which are slow, rate-limited, fail, hang or break off as often as they are configured to."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator, Mapping
from time import monotonic

import anyio
import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from examples.gateway.hanging_up import HANG_UP_HANDLERS, unless_hung_up


class Behaviour(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a provider behaves; times in seconds, fractions from 0 to 1."""

    first_token_s: float = 0.2
    """Median time to first token; one request in twenty takes about three times as long."""
    token_s: float = 0.01
    tokens: int = 60
    """Average number of tokens in an answer."""
    limit: int | None = None
    """Requests it accepts in each `window_s`; it answers more with 429."""
    window_s: float = 10.0
    fails: float = 0.0
    hangs: float = 0.0
    breaks: float = 0.0
    """Fraction of streams that it breaks off halfway."""


class BrokenOffError(Exception):
    """Ends a response halfway, as a crash would."""


class SimulatedProvider:
    """One simulated provider."""

    def __init__(self, behaviour: Behaviour, chance: random.Random) -> None:
        self._behaviour = behaviour
        self._chance = chance
        self._window_ends = 0.0
        self._taken = 0

    async def answer(self, body: Mapping[str, object]) -> Response:
        """Answer like OpenAI's API, after a delay, if at all."""
        wait_s = self._wait_s()
        if wait_s:
            return _error(429, "rate limit reached", {"Retry-After": str(int(wait_s) + 1)})
        if self._happens(self._behaviour.hangs):
            await anyio.sleep_forever()
        await anyio.sleep(self._behaviour.first_token_s * self._chance.lognormvariate(0, 0.67))
        if self._happens(self._behaviour.fails):
            return _error(500, "internal error")
        count = 1 + int(self._chance.expovariate(1 / self._behaviour.tokens))
        prompt = len(json.dumps(body["messages"])) // 4
        usage = {"prompt_tokens": prompt, "completion_tokens": count, "total_tokens": prompt + count}
        if body.get("stream"):
            return StreamingResponse(self._events(body, usage), media_type="text/event-stream")
        await anyio.sleep(count * self._behaviour.token_s)
        message = {"role": "assistant", "content": " word" * count}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        return JSONResponse({**_head(body, "chat.completion"), "choices": choices, "usage": usage})

    async def _events(self, body: Mapping[str, object], usage: Mapping[str, int]) -> AsyncIterator[str]:
        head = _head(body, "chat.completion.chunk")
        count = usage["completion_tokens"]
        last = count // 2 if self._happens(self._behaviour.breaks) else count
        for _ in range(last):
            choices = [{"index": 0, "delta": {"content": " word"}, "finish_reason": None}]
            yield f"data: {json.dumps({**head, 'choices': choices})}\n\n"
            await anyio.sleep(self._behaviour.token_s)
        if last < count:
            raise BrokenOffError
        choices = [{"index": 0, "delta": {}, "finish_reason": "stop"}]
        yield f"data: {json.dumps({**head, 'choices': choices})}\n\n"
        options = body.get("stream_options")
        if isinstance(options, dict) and options.get("include_usage"):
            yield f"data: {json.dumps({**head, 'choices': [], 'usage': usage})}\n\n"
        yield "data: [DONE]\n\n"

    def _wait_s(self) -> float:
        """Count the request; return the seconds until the limit allows another one, or 0 if it is within the limit."""
        now = monotonic()
        if now >= self._window_ends:
            self._window_ends, self._taken = now + self._behaviour.window_s, 0
        self._taken += 1
        over = self._behaviour.limit is not None and self._taken > self._behaviour.limit
        return self._window_ends - now if over else 0.0

    def _happens(self, share: float) -> bool:
        return self._chance.random() < share


def simulated_providers(behaviours: Mapping[str, Behaviour], chance: random.Random) -> Starlette:
    """Return an application that serves each provider under its name: ``/groq/v1/chat/completions``."""
    providers = {name: SimulatedProvider(behaviour, chance) for name, behaviour in behaviours.items()}

    async def chat_completions(request: Request) -> Response:
        provider = providers[request.path_params["provider"]]
        return await unless_hung_up(request, provider.answer(await request.json()))

    route = Route("/{provider}/v1/chat/completions", chat_completions, methods=["POST"])
    return Starlette(routes=[route], exception_handlers=HANG_UP_HANDLERS)


def _head(body: Mapping[str, object], kind: str) -> dict[str, object]:
    return {"id": "chatcmpl-simulated", "object": kind, "created": 0, "model": body["model"]}


def _error(status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse({"error": {"message": message, "type": "simulated"}}, status, headers)
