"""Simulated clients: teams whose load on the gateway rises and falls, and who sometimes disconnect early."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from time import monotonic

import anyio
import httpx

STREAMED = 0.6
LEAVES_EARLY = 0.03
WAVE_S = 90.0


async def generate_load(
    url: str, *, keys: Sequence[str], models: Sequence[str], per_s: float, chance: random.Random
) -> None:
    """Send `per_s` requests per second on average until cancelled, whatever the responses are."""
    async with (
        httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as client,
        anyio.create_task_group() as tasks,
    ):
        while True:
            # Earlier keys belong to larger customers, and earlier models are requested more often.
            (key,) = chance.choices(keys, weights=range(len(keys), 0, -1))
            (model,) = chance.choices(models, weights=range(len(models), 0, -1))
            tasks.start_soon(_ask, client, key, model, chance)
            wave = 1 + 0.7 * math.sin(2 * math.pi * monotonic() / WAVE_S)
            await anyio.sleep(chance.expovariate(per_s * wave))


async def _ask(client: httpx.AsyncClient, key: str, model: str, chance: random.Random) -> None:
    body: dict[str, object] = {
        "model": model,
        "messages": [{"role": "user", "content": "word " * int(chance.expovariate(1 / 300))}],
    }
    if chance.random() < STREAMED:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    leaves = chance.random() < LEAVES_EARLY
    try:
        async with client.stream(
            "POST", "/v1/chat/completions", json=body, headers={"Authorization": f"Bearer {key}"}
        ) as reply:
            async for _chunk in reply.aiter_raw():
                if leaves:
                    return
    except httpx.HTTPError:
        # The gateway has logged it.
        return
