"""What the tests make their inputs with."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import msgspec

from chainlog_async import RequestLogEntry

_ENTRY = RequestLogEntry(
    timestamp=1_772_400_000_000,
    chain_name="default",
    provider_id="groq",
    model="llama-3.1-8b-instant",
    prompt_tokens=100,
    completion_tokens=20,
    latency_ms=250.0,
    http_status=200,
)

ORIGINAL_INSERT = """
INSERT INTO request_logs (
  timestamp, chain_name, provider_id, model, prompt_tokens, completion_tokens, total_tokens,
  latency_ms, http_status, attempts, error_message
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
"""How 429chain stores a request: it names the columns it knows, and binds every number as a double."""

OriginalRow = tuple[float, str, str, str, float, float, float, float, float, float, str | None]


def entry(**overrides: object) -> RequestLogEntry:
    """A plain successful request, but for `overrides`, which nobody judges."""
    return msgspec.structs.replace(_ENTRY, **overrides)


def original_row(**overrides: object) -> OriginalRow:
    """The row of `entry(**overrides)`, as 429chain would bind it."""
    one = entry(**overrides)
    total = one.prompt_tokens + one.completion_tokens if one.total_tokens is None else one.total_tokens
    return (
        float(one.timestamp),
        one.chain_name,
        one.provider_id,
        one.model,
        float(one.prompt_tokens),
        float(one.completion_tokens),
        float(total),
        float(one.latency_ms),
        float(one.http_status),
        float(one.attempts),
        one.error_message,
    )


def insert_as_original(path: Path, rows: Iterable[OriginalRow]) -> None:
    """Stores rows as 429chain would, from a connection of its own."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany(ORIGINAL_INSERT, rows)
