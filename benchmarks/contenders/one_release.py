"""Times `log_request` of whatever release this interpreter has installed; run as a script, not as a module.

Each line on its standard input is a kind of measurement; the answer is a line with a number, in ns.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median
from time import perf_counter_ns, thread_time_ns
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from chainlog_async import ChainLog, RequestLogEntry
from chainlog_async.settings import Settings

# On the machine's own disk, which a temporary folder may not be.
CACHE = Path(__file__).resolve().parents[1] / ".cache"

BURST = 500
BURSTS = 20
REQUESTS = 1_000


def make_entries(*, details: bool) -> list[RequestLogEntry]:
    """Requests as a gateway has them; with `details`, with the optional fields that a gateway usually knows."""
    rng = random.Random(429)
    entries = []
    for number in range(BURST):
        prompt, completion = rng.randrange(4_000), rng.randrange(800)
        known: dict[str, Any] = {
            "request_id": f"req-{number:08x}",
            "caller": "team-a",
            "ttft_ms": 123.25,
            "cost_usd": 0.00123,
            "streamed": True,
            "cached_tokens": 12,
        }
        entries.append(
            RequestLogEntry(
                timestamp=1_772_000_000_000 + number,
                chain_name=f"chain-{number % 4}",
                provider_id=f"provider-{number % 8}",
                model=f"vendor/model-{number % 20}-instruct",
                prompt_tokens=prompt,
                completion_tokens=completion,
                total_tokens=prompt + completion,
                latency_ms=1_000 * rng.random(),
                http_status=200,
                **(known if details else {}),
            )
        )
    return entries


async def in_a_loop(chainlog: ChainLog, entries: list[RequestLogEntry]) -> float:
    """The quickest of some bursts, in ns of CPU per call."""
    log, took = chainlog.log_request, []
    for _ in range(BURSTS):
        started = thread_time_ns()
        for entry in entries:
            log(entry)
        took.append((thread_time_ns() - started) / BURST)
    await chainlog.flush()
    return min(took)


async def in_a_gateway(chainlog: ChainLog, entries: list[RequestLogEntry]) -> float:
    """The median of calls in the middle of requests of Starlette, in ns; without sockets."""
    took: list[int] = []

    async def answer(request: Request) -> JSONResponse:
        question = await request.json()
        started = perf_counter_ns()
        chainlog.log_request(entries[len(took) % BURST])
        took.append(perf_counter_ns() - started)
        return JSONResponse({"id": "x", "choices": [{"message": {"content": question["messages"][0]["content"]}}]})

    app = Starlette(routes=[Route("/v1/chat/completions", answer, methods=["POST"])])
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "word " * 200}]}).encode()
    scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "query_string": b"", "headers": []}

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": body}

    async def send(_: object) -> None:
        return

    for number in range(REQUESTS):
        await app(dict(scope), receive, send)
        if number % 50 == 0:
            await asyncio.sleep(0)
    await chainlog.flush()
    return median(took)


MEASUREMENTS: dict[str, Callable[[ChainLog, list[RequestLogEntry]], Awaitable[float]]] = {
    "loop": in_a_loop,
    "gateway": in_a_gateway,
}


async def main() -> None:
    """Answers until there are no more questions: `loop details`, `gateway plain`."""
    journal = sys.argv[1] == "on"
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        settings = Settings(
            db_path=Path(folder) / "log.db", journal=journal, max_batch_size=100_000, flush_interval_ms=60_000
        )
        async with ChainLog(settings) as chainlog:
            while line := sys.stdin.readline():
                name, kind = line.split()
                found = await MEASUREMENTS[name](chainlog, make_entries(details=kind == "details"))
                sys.stdout.write(f"{found}\n")
                sys.stdout.flush()


if __name__ == "__main__":
    CACHE.mkdir(exist_ok=True)
    asyncio.run(main())
