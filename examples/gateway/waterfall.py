"""The waterfall: try the providers of a chain one after another until one answers."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from time import monotonic

import httpx
from starlette.responses import JSONResponse, Response, StreamingResponse

from chainlog_async.integrations.asgi import Tried, attempt, describe_request

from .config import Config, Provider, Target

CLIENTS_FAULT = frozenset({400, 413, 422})
"""Statuses of bad requests, which the next provider would reject as well."""


class Waterfall:
    """Answers requests for a chain; does not call providers that are cooling down after a 429."""

    def __init__(self, config: Config, client: httpx.AsyncClient) -> None:
        self._config = config
        self._client = client
        self._cooling_until: dict[str, float] = {}

    async def answer(self, chain_name: str, body: dict[str, object]) -> Response:
        """Return the first good answer of the chain, or an error response."""
        chain = self._config.chains[chain_name]
        for target in chain:
            if self._cooling_s(target) == 0:
                response = await self._ask(target, body)
                if response is not None:
                    return response
        describe_request(error_message=f"no provider of {chain_name!r} answered")
        soonest_s = min(self._cooling_s(target) for target in chain)
        if soonest_s:
            return refusal(429, "every provider is cooling down", retry_after_s=soonest_s)
        return refusal(502, "no provider answered")

    async def _ask(self, target: Target, body: dict[str, object]) -> Response | None:
        """Return the provider's answer, or None if the next provider should be tried."""
        provider = self._config.providers[target.provider]
        request = self._client.build_request(
            "POST",
            f"{provider.base_url}/chat/completions",
            json={**body, "model": target.model},
            headers=_authorization(provider),
            timeout=provider.timeout_s,
        )
        with attempt(target.provider, target.model) as tried:
            try:
                reply = await self._client.send(request, stream=True)
                tried.http_status = reply.status_code
                if reply.status_code == 200 and body.get("stream"):
                    return await _begin_stream(reply, tried)
                content = await _read(reply)
            except httpx.HTTPError as error:
                tried.error_message = type(error).__name__
                return None
            if reply.status_code == 200 or reply.status_code in CLIENTS_FAULT:
                return Response(content, reply.status_code, media_type=reply.headers.get("content-type"))
            if reply.status_code == 429:
                self._cool_down(target, _seconds(reply.headers.get("retry-after"), provider.cooldown_s))
            tried.error_message = f"answered {reply.status_code}"
            return None

    def _cool_down(self, target: Target, seconds: float) -> None:
        self._cooling_until[target.provider] = monotonic() + seconds

    def _cooling_s(self, target: Target) -> float:
        return max(0.0, self._cooling_until.get(target.provider, 0.0) - monotonic())


def refusal(status: int, message: str, *, retry_after_s: float = 0.0) -> Response:
    """Return an error in the format of OpenAI's API."""
    headers = {"Retry-After": str(int(retry_after_s) + 1)} if retry_after_s else None
    return JSONResponse({"error": {"message": message, "type": "gateway_error"}}, status, headers)


async def _read(reply: httpx.Response) -> bytes:
    try:
        return await reply.aread()
    finally:
        await reply.aclose()


async def _begin_stream(reply: httpx.Response, tried: Tried) -> Response:
    """Wait for the first chunk: until then another provider can still be tried. Raises `httpx.HTTPError`."""
    chunks = reply.aiter_bytes()
    try:
        first = await anext(chunks, b"")
    except BaseException:
        await reply.aclose()
        raise

    async def events() -> AsyncIterator[bytes]:
        try:
            yield first
            async for chunk in chunks:
                yield chunk
        except httpx.HTTPError as error:
            # Too late for another provider: the client already has status 200 and part of this answer.
            tried.error_message = f"broke off: {type(error).__name__}"
            describe_request(http_status=502, error_message=tried.error_message)
            yield b"data: " + json.dumps({"error": {"message": "the provider broke off"}}).encode() + b"\n\n"
        finally:
            await reply.aclose()

    return StreamingResponse(events(), media_type="text/event-stream")


def _authorization(provider: Provider) -> dict[str, str]:
    if provider.api_key_env is None:
        return {}
    return {"Authorization": f"Bearer {os.environ.get(provider.api_key_env, '')}"}


def _seconds(retry_after: str | None, otherwise: float) -> float:
    """Return Retry-After in seconds. A date, which no provider is known to send, is ignored."""
    return float(retry_after) if retry_after is not None and retry_after.isdecimal() else otherwise
