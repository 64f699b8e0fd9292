"""Batches of random requests, the same for every engine."""

from __future__ import annotations

import random
from datetime import UTC, datetime

from chainlog_async import Attempt, RequestLogEntry
from chainlog_async.common.clock import DAY_MS
from chainlog_async.entry.batch import Batch
from chainlog_async.entry.line import encode_line
from tests.support.entries import entry

START = int(datetime(2026, 3, 28, tzinfo=UTC).timestamp()) * 1_000
"""The day before the clocks of Europe go forward."""
END = START + 3 * DAY_MS


def batch_of(writer_id: str, start: int, entries: list[RequestLogEntry]) -> Batch:
    """The entries as the writer hands them over."""
    lines = b"".join(encode_line(one) + b"\n" for one in entries)
    return Batch(writer_id, start, lines, len(entries))


def random_entries(count: int, seed: int) -> list[RequestLogEntry]:
    """Requests of three days with every field, and without."""
    rng = random.Random(seed)
    entries = []
    for number in range(count):
        latency = rng.lognormvariate(6, 1.5) if rng.random() < 0.9 else float(rng.randrange(12))
        status = rng.choice([200, 200, 200, 429, 499, 500, 400])
        trail = [
            Attempt(
                provider_id=f"p{rng.randrange(3)}",
                model=f"m{rng.randrange(2)}",
                http_status=rng.choice([200, 429, 500, None]),
                latency_ms=rng.random() * 100,
                error_message=rng.choice([None, f"try of {number}"]),
                prompt_tokens=rng.choice([None, rng.randrange(2_000)]),
                reasoning_tokens=rng.choice([None, rng.randrange(50)]),
                cost_usd=rng.choice([None, rng.random()]),
                cost_source=rng.choice([None, "provider"]),
            )
            for _ in range(rng.randrange(3))
        ]
        entries.append(
            entry(
                # No two in one millisecond: of two errors at the same time either may be the last.
                timestamp=START + int((END - START - count) * rng.random()) // count * count + number,
                chain_name=f"c{rng.randrange(2)}",
                provider_id=f"p{rng.randrange(3)}",
                model=rng.choice(["m0", "m1", "große/modell:日本 🙈"]),
                prompt_tokens=rng.randrange(2_000),
                completion_tokens=rng.randrange(500),
                total_tokens=rng.choice([None, 7]),
                latency_ms=latency,
                http_status=status,
                attempts=rng.randrange(3),
                # An answer that broke off has a status below 400 and an error.
                error_message=None if status < 400 and number % 7 else f'{status}: "slow\ndown" {number}',
                request_id=rng.choice([None, f"r{number}"]),
                caller=rng.choice([None, "team-0", "team-1"]),
                ttft_ms=rng.choice([None, latency / 3]),
                cost_usd=rng.choice([None, rng.random(), 0.1, 1e-10]),
                streamed=rng.choice([None, True, False]),
                cached_tokens=rng.choice([None, rng.randrange(100)]),
                metadata=rng.choice([None, {"team": {"name": "ü", "ids": [1, 2.5, None]}}]),
                attempt_trail=rng.choice([None, trail]) if trail else None,
                **_later_fields(rng, number),
            )
        )
    return entries


def _later_fields(rng: random.Random, number: int) -> dict[str, object]:
    """Half of the entries have none of these, and so a shorter line."""
    given: dict[str, object] = {
        "cache_write_tokens": rng.randrange(900),
        "cache_write_1h_tokens": rng.randrange(90),
        "reasoning_tokens": rng.randrange(300),
        "prompt_audio_tokens": rng.randrange(50),
        "completion_audio_tokens": rng.randrange(50),
        "finish_reason": rng.choice(["stop", "length"]),
        "service_tier": "flex",
        "response_id": f"resp-{number}",
        "session_id": f"s{rng.randrange(5)}",
        "tags": rng.choice([["team:search", f"run:{number}:ü"], ["team:ads", "team:search"], ["env:é", "env:é"]]),
    }
    return {name: value for name, value in given.items() if rng.random() < 0.7} if rng.random() < 0.5 else {}
