"""The totals as they are stored, and as they are computed from the rows and what was pruned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import aiosqlite

from .differences import Difference, Value, same, value_of

TotalsByKey = Mapping[Value, tuple[Value, ...]]
"""The values of a table by provider or chain; the summary has a single row, with the id 1."""

_USAGE_COLUMNS = (
    "total_requests",
    "total_tokens",
    "total_prompt_tokens",
    "total_completion_tokens",
    "last_request_timestamp",
    "total_cost_nano",
)
_SUMMARY_COLUMNS = ("total_requests", "waterfall_requests", "total_latency_ms")

_KEPT_BY_PROVIDER = """
SELECT
  provider_id, total_requests, total_tokens, total_prompt_tokens, total_completion_tokens, last_request_timestamp,
  total_cost_nano
FROM usage_by_provider
"""
# The + keeps SQLite from scanning the index and looking up every row in the table, which takes four times as long.
_COUNTED_BY_PROVIDER = """
SELECT provider_id, SUM(requests), SUM(tokens), SUM(prompts), SUM(completions), MAX(last), SUM(cost)
FROM (
  SELECT
    provider_id, COUNT(*) AS requests, SUM(total_tokens) AS tokens, SUM(prompt_tokens) AS prompts,
    SUM(completion_tokens) AS completions, MAX(timestamp) AS last, COALESCE(SUM(cost_nano), 0) AS cost
  FROM request_logs GROUP BY +provider_id
  UNION ALL
  SELECT
    provider_id, total_requests, total_tokens, total_prompt_tokens, total_completion_tokens, last_request_timestamp,
    total_cost_nano
  FROM pruned_by_provider
)
GROUP BY provider_id
"""
_STORE_BY_PROVIDER = """
INSERT INTO usage_by_provider (
  provider_id, total_requests, total_tokens, total_prompt_tokens, total_completion_tokens, last_request_timestamp,
  total_cost_nano
) VALUES (?, ?, ?, ?, ?, ?, ?)
"""
_KEPT_SUMMARY = "SELECT id, total_requests, waterfall_requests, total_latency_ms FROM usage_summary"
_COUNTED_SUMMARY = """
SELECT
  1,
  COUNT(*) + (SELECT COALESCE(SUM(total_requests), 0) FROM pruned_summary),
  COALESCE(SUM(attempts > 1), 0) + (SELECT COALESCE(SUM(waterfall_requests), 0) FROM pruned_summary),
  COALESCE(SUM(latency_ms), 0) + (SELECT COALESCE(SUM(total_latency_ms), 0) FROM pruned_summary)
FROM request_logs
"""
_STORE_SUMMARY = """
INSERT INTO usage_summary (id, total_requests, waterfall_requests, total_latency_ms) VALUES (?, ?, ?, ?)
"""


@dataclass(frozen=True, slots=True)
class TotalsTable:
    """A table of totals that triggers maintain."""

    name: str
    columns: tuple[str, ...]
    kept: str
    """Query for the key and the columns as they are stored."""
    counted: str
    """Query for the key and the columns computed from all rows and what was pruned."""
    clear: str
    store: str
    """Statement that inserts the key and the columns."""


def _by_chain(sql: str) -> str:
    return sql.replace("provider_id", "chain_name").replace("by_provider", "by_chain")


TABLES = (
    TotalsTable(
        "usage_by_provider",
        _USAGE_COLUMNS,
        _KEPT_BY_PROVIDER,
        _COUNTED_BY_PROVIDER,
        "DELETE FROM usage_by_provider",
        _STORE_BY_PROVIDER,
    ),
    TotalsTable(
        "usage_by_chain",
        _USAGE_COLUMNS,
        _by_chain(_KEPT_BY_PROVIDER),
        _by_chain(_COUNTED_BY_PROVIDER),
        "DELETE FROM usage_by_chain",
        _by_chain(_STORE_BY_PROVIDER),
    ),
    TotalsTable(
        "usage_summary", _SUMMARY_COLUMNS, _KEPT_SUMMARY, _COUNTED_SUMMARY, "DELETE FROM usage_summary", _STORE_SUMMARY
    ),
)


async def read_totals(
    connection: aiosqlite.Connection, sql: str, parameters: Mapping[str, object] | Sequence[object] = ()
) -> TotalsByKey:
    """Runs a query for a key and numbers, such as one of a `TotalsTable`. Raises `sqlite3.Error`."""
    rows = await connection.execute_fetchall(sql, parameters)
    return {value_of(row[0]): tuple(map(value_of, tuple(row)[1:])) for row in rows}


def compare(name: str, columns: Sequence[str], kept: TotalsByKey, counted: TotalsByKey) -> Iterator[Difference]:
    """Yields every number in which two readings of the table `name` differ."""
    nothing = (None,) * len(columns)
    for key in sorted({*kept, *counted}, key=str):
        pairs = zip(columns, kept.get(key, nothing), counted.get(key, nothing), strict=True)
        for column, is_kept, is_counted in pairs:
            if not same(is_kept, is_counted):
                yield Difference(name, key if isinstance(key, str) else None, column, is_kept, is_counted)
