"""Made `files.tar.gz`, with the package as it was at commit 980a0ef (one flat folder, schema version 9).

The archive holds a database of 175 requests with its write-ahead log, the journal of the writer that was killed with 25
more waiting in it, and `expected.json`: what that release answered about all 200. In two empty folders:

    python make.py kill
    python make.py expect
"""

# mypy: ignore-errors
# ruff: noqa: D103  # a script that was run once
from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec

from chainlog_async import Attempt, ChainLog, RequestFilter, RequestLogEntry, Settings, UsageAggregator, Window

DB = Path("observability.db")
START = 1_790_000_000_000


def entries(begin: int, end: int) -> Iterator[RequestLogEntry]:
    rng = random.Random(begin)
    for n in range(begin, end):
        status = rng.choice([200, 200, 200, 429, 500])
        provider, model = f"provider-{n % 3}", f"model-{n % 2}"
        trail = [
            Attempt(provider_id="first", model="m", http_status=429, latency_ms=5.0, error_message="slow down"),
            Attempt(provider_id=provider, model=model, http_status=status),
        ]
        yield RequestLogEntry(
            timestamp=START + n * 977_000,
            chain_name=f"chain-{n % 2}",
            provider_id=provider,
            model=model,
            prompt_tokens=n,
            completion_tokens=n // 2,
            latency_ms=10.4 * n + 1,
            http_status=status,
            attempts=1 + n % 3,
            error_message=None if status < 400 else f"error {n}",
            request_id=f"req-{n}",
            caller=[None, "team-a", "team-b"][n % 3],
            ttft_ms=2.5 * n,
            cost_usd=n / 1000,
            streamed=bool(n % 2),
            cached_tokens=n // 4,
            metadata={"n": n},
            attempt_trail=trail if n % 4 == 0 else None,
        )


async def write(begin: int, end: int, *, kill: bool = False) -> None:
    async with ChainLog(Settings(db_path=DB)) as chainlog:
        for entry in entries(begin, end):
            chainlog.log_request(entry)
        await chainlog.flush()
        if kill:
            with closing(sqlite3.connect(DB, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                for entry in entries(end, end + 25):
                    chainlog.log_request(entry)
                os.kill(os.getpid(), signal.SIGKILL)


async def ask() -> dict[str, object]:
    async with UsageAggregator(DB) as usage:
        window = Window(start=START, end=START + 200 * 977_000, step="6h", zone="Europe/Berlin")
        return {
            "providers": await usage.get_all_provider_usage(),
            "chains": await usage.get_all_chain_usage(),
            "summary": await usage.get_summary_stats(),
            "usage": await usage.get_usage(window, by="provider"),
            "latency": await usage.get_latency(window, by="caller"),
            "requests": (await usage.find_requests(RequestFilter(), limit=500)).requests,
            "health": await usage.get_provider_health(window),
        }


if sys.argv[1] == "kill":
    asyncio.run(write(0, 175, kill=True))
else:
    asyncio.run(write(0, 175))
    asyncio.run(write(175, 200))
    Path("expected.json").write_bytes(msgspec.json.encode(asyncio.run(ask())))
