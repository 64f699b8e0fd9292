"""Requests of five days, in databases with nothing, a part or all of it rolled up."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from chainlog_async import ChainLog, RequestLogEntry
from chainlog_async.storage.sqlite.maintenance.rollup_job import ROLLUP_GRACE_MS, RollupJob
from tests.support import rolling_up

from .entries import entry
from .rolling_up import without_rollups
from .writing import settings_for

DAY_MS = 86_400_000


START = int(datetime(2026, 3, 27, tzinfo=UTC).timestamp()) * 1_000
"""Two days before the clocks of Europe go forward."""


END = START + 5 * DAY_MS


def random_entries(count: int, seed: int = 1) -> list[RequestLogEntry]:
    """Requests of five days, most of them in bursts, with every field that is added up."""
    rng = random.Random(seed)
    entries = []
    for _ in range(count):
        latency = rng.lognormvariate(6, 1.5) if rng.random() < 0.9 else float(rng.randrange(12))
        details = rng.random() < 0.7
        entries.append(
            entry(
                timestamp=START + int(5 * DAY_MS * rng.random() ** 2),
                chain_name=f"c{rng.randrange(2)}",
                provider_id=f"p{rng.randrange(3)}",
                model=f"m{rng.randrange(2)}",
                prompt_tokens=rng.randrange(2_000),
                completion_tokens=rng.randrange(500),
                latency_ms=latency,
                http_status=rng.choice([200, 200, 200, 429, 500, 400]),
                attempts=rng.choice([1, 1, 2]),
                caller=rng.choice([None, "team-0", "team-1"]),
                cached_tokens=rng.randrange(100) if details else None,
                ttft_ms=latency / 3 if details else None,
                cost_usd=rng.random() if details else None,
            )
        )
    return entries


async def log_without_rolling_up(path: Path, entries: Iterable[RequestLogEntry]) -> None:
    """Stores entries while nothing is rolled up, so that buckets are all there is."""
    with without_rollups():
        async with ChainLog(settings_for(path)) as chainlog:
            for one in entries:
                chainlog.submit(one)


async def roll_up(
    path: Path, now: int = END + ROLLUP_GRACE_MS, *, taker: RollupJob | None = None, steps: int = 10**9
) -> None:
    """All of the five days, if nothing else is said."""
    await rolling_up.roll_up(path, now, taker=taker, steps=steps)


def copy_of(path: Path, to: Path) -> Path:
    """A copy of the database."""
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(to)) as target:
        source.backup(target)
    return to
