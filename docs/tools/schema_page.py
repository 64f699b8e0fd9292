"""docs/reference/schema.md: the tables of the SQLite file, for those who query it."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

import anyio

from chainlog_async import ChainLog, Settings
from chainlog_async.common.attribute_docs import attribute_docs
from chainlog_async.entry.model import RequestLogEntry
from chainlog_async.requests.model import RequestLogRow
from chainlog_async.usage.points import UsagePoint

from .markdown import code, page, table

INTRODUCTION = """\
The log is an ordinary SQLite file. Any program may read it while the gateway writes; `chainlog sql` and
[Datasette](../how-to/datasette.md) do, read-only. Query `request_logs` for single requests and `usage_buckets` for sums
over time: they are the tables that keep their columns. The others are for chainlog-async alone, and may change with a
schema version. Do not write to the file, except through `chainlog`; a program that reads must not hold a transaction
open for long, since the write-ahead log grows meanwhile."""

TABLES: Mapping[str, str] = {
    "request_logs": "One row per request. Retention deletes the oldest.",
    "usage_buckets": "Sums over a quarter of an hour by chain, provider, model, caller and range of latency. They "
    "outlive the requests.",
    "attempt_buckets": "Attempts in a quarter of an hour by provider and model.",
    "usage_by_provider": "All-time totals of each provider.",
    "usage_by_chain": "All-time totals of each chain.",
    "usage_summary": "All-time totals, in one row.",
    "rejected_entries": "Entries that the database refused; see `chainlog rejected`.",
    "alert_episodes": "Each time that an alert fired.",
}

COLUMNS: dict[str, str] = {
    "alert": "The name of the alert.",
    "attempt_trail": "Every attempt in order, as a JSON array.",
    "caller": "Who sent it; in sums empty for requests without one.",
    "chain_name": "The chain of providers that was used.",
    "cleared_at": "When the rule was no longer met, in ms since the epoch, UTC.",
    "cost_nano": "The cost in nano-dollars; sums of it are exact.",
    "cost_usd": "The cost in US dollars; NULL when it is not known.",
    "entry": "The entry, as JSON.",
    "error": "Why the database refused it.",
    "failures": "Attempts that failed, other than with 429.",
    "fired_at": "When it fired, in ms since the epoch, UTC.",
    "group_name": "The group of the rule; empty if it has none.",
    "id": "Its id; ids grow in the order in which rows were stored.",
    "last_error": "The message of the last attempt that failed.",
    "last_error_at": "When that was, in ms since the epoch, UTC.",
    "last_error_status": "Its status.",
    "last_request_timestamp": "When the last request ended, in ms since the epoch, UTC.",
    "latency_ms": "Latency in ms; in sums of the answered requests.",
    "outcome": "`answered`, `failed` or `cancelled`; see [Outcomes](../how-to/operations.md#outcomes).",
    "rejected_at": "When that was, in ms since the epoch, UTC.",
    "requests": "How many requests.",
    "rule": "The rule as it was.",
    "start": "Start of the quarter of an hour, in ms since the epoch, UTC.",
    "streamed": "1 if the answer was streamed, 0 if not.",
    "successes": "Attempts that were answered.",
    "tags": "The tags, as a JSON array.",
    "total_completion_tokens": "All completion tokens.",
    "total_cost_nano": "All that is known to have been paid, in nano-dollars.",
    "total_latency_ms": "Sum of all latencies, in ms.",
    "total_prompt_tokens": "All prompt tokens.",
    "total_requests": "All requests.",
    "total_tokens": "All tokens.",
    "tries": "Attempts.",
    "ttft_ms": "Time to first token in ms; in sums of the answered requests that have one.",
    "ttft_requests": "How many answered requests have a time to first token.",
    "unanswered_cost_nano": "What attempts cost that did not answer, in nano-dollars.",
    "upper_ms": "Upper end of the range of latency, in ms.",
    "value": "What was measured when it fired.",
    "waterfall_requests": "Requests that took more than one attempt.",
}


def schema_page() -> str:
    """Returns the page."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.db"
        anyio.run(_create, path)
        with closing(sqlite3.connect(path)) as database:
            ((version,),) = database.execute("PRAGMA user_version")
            tables = [part for name, text in TABLES.items() for part in _table(database, name, text)]
    return page("The tables of the file", f"{INTRODUCTION}\n\nThis is schema version {version}.", *tables, EXAMPLES)


async def _create(path: Path) -> None:
    async with ChainLog(Settings(db_path=path)):
        pass


def _table(database: sqlite3.Connection, name: str, text: str) -> Iterator[str]:
    yield f"## {name}"
    yield text
    columns = database.execute("SELECT name, type FROM pragma_table_xinfo(?)", (name,))
    yield table(("Column", "Type", "Meaning"), [_column(*column) for column in columns])


def _column(name: str, kind: str) -> Sequence[str]:
    docs = attribute_docs(RequestLogEntry) | attribute_docs(UsagePoint) | attribute_docs(RequestLogRow) | COLUMNS
    return code(name), kind.lower().removesuffix("generated always").strip(), docs.get(name, "").replace("``", "`")


EXAMPLES = """\
## Queries

The slowest answered requests of the last hour:

```sql
SELECT id, datetime(timestamp / 1000, 'unixepoch') AS ended, provider_id, model, latency_ms
FROM request_logs
WHERE timestamp > (unixepoch() - 3600) * 1000 AND outcome = 'answered'
ORDER BY latency_ms DESC
LIMIT 10;
```

What each caller has cost this month, in US dollars:

```sql
SELECT caller, SUM(cost_nano) / 1e9 AS usd, SUM(requests) AS requests
FROM usage_buckets
WHERE start >= unixepoch('now', 'start of month') * 1000
GROUP BY caller
ORDER BY usd DESC;
```

Which errors the attempts ended with, by provider:

```sql
SELECT attempt.value ->> 'provider_id' AS provider, attempt.value ->> 'http_status' AS status, COUNT(*) AS attempts
FROM request_logs, json_each(attempt_trail) AS attempt
WHERE attempt.value ->> 'http_status' >= 400
GROUP BY provider, status
ORDER BY attempts DESC;
```"""
