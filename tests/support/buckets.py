"""Buckets counted from the rows in plain Python, to compare with those that SQL keeps."""

from __future__ import annotations

import json
import math
import random
import sqlite3
from bisect import bisect_left
from collections import defaultdict
from contextlib import closing
from pathlib import Path

import pytest

from chainlog_async.common.outcome import attempt_status
from chainlog_async.entry.model import TOKEN_CLASSES
from chainlog_async.usage.sums import USAGE_SUMS

from .schemas import query

_SUMS = ", ".join(USAGE_SUMS)

QUARTER_MS = 900_000
T0 = 1_772_323_200_000
"""Midnight UTC."""

INSERT = """
INSERT INTO request_logs (
  timestamp, chain_name, provider_id, model, prompt_tokens, completion_tokens, total_tokens, latency_ms, http_status,
  attempts, error_message, caller, ttft_ms, cost_usd, cached_tokens, attempt_trail, cache_write_tokens,
  cache_write_1h_tokens, reasoning_tokens, prompt_audio_tokens, completion_audio_tokens
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

Buckets = dict[tuple[object, ...], list[float]]


def insert_details(path: Path, count: int, *, seed: int = 1, days: float = 2, first: int = T0) -> None:
    """Stores requests with every detail, as another program might: not in order, some in one and the same ms."""
    rng = random.Random(seed)
    rows = []
    for number in range(count):
        status = rng.choice([200, 200, 429, 499, 500])
        tries: list[dict[str, object]] = [
            {
                "provider_id": f"p{rng.randrange(3)}",
                "model": "m0",
                "http_status": rng.choice([429, 503, None]),
                "cost_usd": rng.choice([None, rng.random()]),
            }
            for _ in range(rng.randrange(3))
        ]
        last: dict[str, object] = {
            "provider_id": f"p{rng.randrange(3)}",
            "model": "m1",
            "http_status": status,
        }
        tries.append({**last, "error_message": "broke off" if number % 5 == 4 else None})
        rows.append(
            (
                first + rng.randrange(int(days * 8_640)) * 10_000,
                f"c{rng.randrange(2)}",
                f"p{rng.randrange(3)}",
                f"m{rng.randrange(2)}",
                *(tokens := (rng.randrange(900), rng.randrange(90))),
                sum(tokens),
                rng.choice([rng.randrange(9_000), rng.random() * 50, 0, 10**12 + 7]),
                status,
                rng.randrange(4),
                rng.choice([None, "refused"]),
                rng.choice([None, "team"]),
                rng.choice([None, rng.randrange(3_000)]),
                rng.choice([None, rng.random()]),
                rng.choice([None, 7]),
                rng.choice([None, json.dumps(tries)]),
                *(rng.choice([None, rng.randrange(100)]) for _ in range(5)),
            )
        )
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany(INSERT, rows)


def kept_buckets(path: Path) -> dict[str, Buckets]:
    """What is in the three tables, without the texts of errors."""
    usage = query(path, f"SELECT start, chain_name, provider_id, model, caller, upper_ms, {_SUMS} FROM usage_buckets")
    ttfts = query(path, "SELECT * FROM ttft_buckets")
    attempts = query(
        path, "SELECT start, provider_id, model, tries, successes, rate_limited, failures FROM attempt_buckets"
    )
    return {
        "usage": {row[:6]: numbers(row[6:]) for row in usage},
        "ttft": {row[:6]: numbers(row[6:]) for row in ttfts},
        "attempts": {row[:3]: numbers(row[3:]) for row in attempts},
    }


def numbers(values: tuple[object, ...]) -> list[float]:
    """The values of a row as floats."""
    return [float(str(value)) for value in values]


def counted_buckets(path: Path) -> dict[str, dict[tuple[object, ...], object]]:
    """The buckets computed from the rows, to compare with `kept_buckets`; fractions may differ in the last bit."""
    bounds = [int(str(upper)) for (upper,) in query(path, "SELECT upper_ms FROM duration_bins ORDER BY upper_ms")]
    usage: Buckets = defaultdict(lambda: [0.0] * len(USAGE_SUMS))
    ttft: Buckets = defaultdict(lambda: [0.0] * 2)
    attempts: Buckets = defaultdict(lambda: [0.0] * 4)
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        for row in connection.execute("SELECT * FROM request_logs"):
            start = row["timestamp"] // QUARTER_MS * QUARTER_MS
            key = (start, row["chain_name"], row["provider_id"], row["model"], row["caller"] or "")

            def bin_of(duration: float, key: tuple[object, ...] = key) -> tuple[object, ...]:
                return (*key, bounds[bisect_left(bounds, int(duration + 0.5))])

            status, first_token, is_answered = row["http_status"], row["ttft_ms"], not is_failed(row)
            add(
                usage[bin_of(row["latency_ms"])],
                (
                    *(1, is_failed(row) and status != 499, status == 499, status == 429, row["attempts"] > 1),
                    *(row["prompt_tokens"], row["completion_tokens"], *(row[name] or 0 for name in TOKEN_CLASSES)),
                    *(row["total_tokens"], nano(row["cost_usd"]), unanswered_nano(row)),
                    *(is_answered * row["latency_ms"], is_answered * (first_token or 0)),
                    is_answered and first_token is not None,
                ),
            )
            if first_token is not None:
                add(ttft[bin_of(first_token)], (1, not is_answered))
            for provider, model, answer in tries_of(row):
                failed = answer >= 400 and answer not in (429, 499)
                add(attempts[start, provider, model], (1, answer < 400, answer == 429, failed))
    tables = {"usage": usage, "ttft": ttft, "attempts": attempts}
    return {name: {key: pytest.approx(sums) for key, sums in table.items()} for name, table in tables.items()}


def nano(cost_usd: float | None) -> int:
    """A cost in nano-dollars, rounded half up."""
    return math.floor((cost_usd or 0) * 1e9 + 0.5)


def unanswered_nano(row: sqlite3.Row) -> int:
    """What the attempts of a row that did not answer cost, in nano-dollars."""
    trail = json.loads(row["attempt_trail"] or "[]")
    return sum(
        nano(one.get("cost_usd"))
        for one in trail
        if attempt_status(one["http_status"], one.get("error_message")) >= 400
    )


def is_failed(row: sqlite3.Row) -> bool:
    """Whether a request failed, or its client hung up."""
    tries = tries_of(row) if row["attempt_trail"] is not None else []
    return row["http_status"] >= 400 or (row["error_message"] is not None and bool(tries) and tries[-1][2] >= 400)


def tries_of(row: sqlite3.Row) -> list[tuple[str, str, int]]:
    """Provider, model and status of each try; 599 where there was no answer."""
    if row["attempt_trail"] is not None:
        trail = json.loads(row["attempt_trail"])
        return [
            (one["provider_id"], one["model"], attempt_status(one["http_status"], one.get("error_message")))
            for one in trail
        ]
    return [(row["provider_id"], row["model"], row["http_status"])] if row["attempts"] else []


def add(sums: list[float], values: tuple[float, ...]) -> None:
    """Adds value by value, in place."""
    sums[:] = [a + b for a, b in zip(sums, values, strict=True)]
