"""What a watched call costs beside one that is not watched: OpenAI's client and httpx2, answered without a network.

`python -m benchmarks.suites.watching` needs openai. Each round asks with both clients in turn, so that both meet the
same machine; the figures are medians of the rounds, in microseconds of the event loop's CPU time.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from statistics import median
from time import thread_time

import httpx2
import openai

from benchmarks.harness.common import folder, say
from chainlog_async import ChainLog
from chainlog_async.settings import Settings

ROUNDS = 40
CALLS = 20
"""Calls of each client in a round."""

CHUNKS = 100
"""Events of a streamed answer."""

USAGE = {"prompt_tokens": 120, "completion_tokens": 35, "total_tokens": 155}
CHOICE = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "word " * 200}}
ANSWER = json.dumps(
    {"id": "x", "object": "chat.completion", "model": "m", "choices": [CHOICE], "usage": USAGE}
).encode()
EVENT = b"data: " + json.dumps({"id": "x", "choices": [{"index": 0, "delta": {"content": "word "}}]}).encode() + b"\n\n"
LAST = b"data: " + json.dumps({"id": "x", "choices": [], "usage": USAGE}).encode() + b"\n\ndata: [DONE]\n\n"

Ask = Callable[[], Awaitable[object]]


def client() -> openai.AsyncOpenAI:
    """A client whose provider answers at once."""
    http_client = httpx2.AsyncClient(transport=httpx2.MockTransport(_answer))
    return openai.AsyncOpenAI(api_key="none", http_client=http_client)


async def measure(plain: Ask, watched: Ask) -> tuple[float, float]:
    """Median microseconds of a call, not watched and watched."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for ask, taken in zip((plain, watched), times, strict=True):
            begun = thread_time()
            for _ in range(CALLS):
                await ask()
            taken.append(1_000_000 * (thread_time() - begun) / CALLS)
    return median(times[0]), median(times[1])


async def main() -> None:
    """Prints a table."""
    with folder() as place:
        async with (
            ChainLog(Settings(db_path=place / "log.db", prices=False)) as log,
            client() as plain,
            client() as other,
        ):
            watched = log.watch(other)
            say("a call of AsyncOpenAI       not watched   watched   difference")
            for name, asking in (("plain", _plain), (f"streamed, {CHUNKS} chunks", _streamed)):
                before, after = await measure(asking(plain), asking(watched))
                say(f"{name:24} {before:11.0f} us {after:7.0f} us {after - before:9.1f} us")


def _plain(asked: openai.AsyncOpenAI) -> Ask:
    async def ask() -> object:
        return await asked.chat.completions.create(model="m", messages=[{"role": "user", "content": "word " * 500}])

    return ask


def _streamed(asked: openai.AsyncOpenAI) -> Ask:
    async def ask() -> None:
        async for _ in await asked.chat.completions.create(model="m", messages=[], stream=True):
            pass

    return ask


def _answer(request: httpx2.Request) -> httpx2.Response:
    if b'"stream":true' in request.content:
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=_events())
    return httpx2.Response(200, headers={"content-type": "application/json"}, content=ANSWER)


async def _events() -> AsyncIterator[bytes]:
    for _ in range(CHUNKS):
        yield EVENT
    yield LAST


if __name__ == "__main__":
    asyncio.run(main())
