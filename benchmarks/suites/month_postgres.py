"""``make bench-month-postgres``: the questions of ``make bench-month`` to PostgreSQL, and what a request takes there.

The month is the same one. It is made once, through the function that writers call, and folded and rolled up as they do
it; the server keeps it under ``benchmarks/.cache`` and runs as long as this does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from time import perf_counter

import asyncpg

from benchmarks.harness.common import CACHE, say
from benchmarks.suites.month import BATCH, DAY_MS, END_MS, ROWS, START_MS, ask_everything, requests_of
from chainlog_async import UsageAggregator
from chainlog_async.settings import Settings
from chainlog_async.storage.postgres.connection import open_connection
from chainlog_async.storage.postgres.maintenance import FEWEST_BUCKETS, FEWEST_FOR_A_LINE
from chainlog_async.storage.postgres.schema import migrate_url
from chainlog_async.storage.postgres.url import parse_url
from examples.postgres.server import PostgresServer

SERVER = {"shared_buffers": "1GB", "max_wal_size": "4GB", "synchronous_commit": "off", "autovacuum": "off"}
FOLD_EVERY = 20
"""After how many batches they are folded together."""

ROLL_UP_MS = 1_000
LONG_S = 3_600.0

SIZES = """
SELECT
  CASE
    WHEN relname LIKE 'request_logs%' THEN 'rows: ' || CASE relkind WHEN 'i' THEN 'indexes' ELSE 'table' END
    WHEN relname LIKE '%rollup%' OR relname LIKE 'rolled_up%' THEN 'rollups' ELSE 'buckets and totals'
  END AS part,
  sum(
    pg_relation_size(c.oid) + CASE WHEN reltoastrelid <> 0 THEN pg_total_relation_size(reltoastrelid) ELSE 0 END
  )::float8
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = relnamespace
WHERE nspname = 'chainlog' AND relkind IN ('r', 'i') GROUP BY 1 ORDER BY 1
"""


def main() -> None:
    """Makes the month if need be, asks, and prints a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.suites.month_postgres", description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS, help="size of the log (default: %(default)s)")
    parser.add_argument("--repeat", type=int, default=5, help="how often each question is asked (default: %(default)s)")
    parser.add_argument("--url", help="a database for this alone, on a server that runs; else one is started")
    arguments = parser.parse_args()
    if arguments.url:
        asyncio.run(_measure(arguments.url, arguments.rows, arguments.repeat))
        return
    server = PostgresServer(CACHE / "postgres")
    server.create(SERVER)
    server.start()
    try:
        asyncio.run(_create(server.url(), f"month_{arguments.rows}"))
        asyncio.run(_measure(server.url(f"month_{arguments.rows}"), arguments.rows, arguments.repeat))
    finally:
        server.stop()


async def _create(url: str, database: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", database):
            await connection.execute(f"CREATE DATABASE {database}")
    finally:
        await connection.close()


async def _measure(text: str, rows: int, repeat: int) -> None:
    url = parse_url(text)
    await migrate_url(url)
    connection = await open_connection(url)
    try:
        await connection.execute(url.sql("SET search_path = {s}; SET statement_timeout = 0"))
        await _make(connection, rows)
        total = 0.0
        for part, size in await connection.fetch(SIZES):
            say(f"{part:<44}{size / rows:>10.1f} bytes a request")
            total += size / rows if part.startswith("rows") else 0
        say(f"{'a row with its indexes':<44}{total:>10.1f} bytes a request")
    finally:
        await connection.close()
    settings = Settings(db_url=text, read_timeout_ms=60_000)
    async with UsageAggregator.from_settings(settings) as usage:
        await ask_everything(usage, repeat)


async def _make(connection: asyncpg.Connection, rows: int) -> None:
    started = perf_counter()
    done = await connection.fetchval("SELECT COALESCE(max(position), 0) FROM streams WHERE writer_id = 'month'")
    await connection.execute("SELECT make_partitions($1, $2)", START_MS, END_MS + DAY_MS)
    for first in range(done, rows, BATCH):
        end = min(first + BATCH, rows)
        lines = json.dumps(list(requests_of(first, end, rows)))
        await connection.fetchval("SELECT write_batch('month', $1, $2, $3::text::jsonb)", first, end, lines)
        if first // BATCH % FOLD_EVERY == 0:
            await connection.fetchval("SELECT fold($1)", FOLD_EVERY, timeout=LONG_S)
        if first % (rows // 20) == 0:
            say(f"  {first:,} of {rows:,} requests, {perf_counter() - started:.0f} s")
    while await connection.fetchval("SELECT fold(100)", timeout=LONG_S):
        pass
    began = perf_counter()
    roll_up = "SELECT roll_up(0, $1, $2, $3, $4)"
    limits = (END_MS + DAY_MS, FEWEST_BUCKETS, FEWEST_FOR_A_LINE, ROLL_UP_MS)
    while await connection.fetchval(roll_up, *limits, timeout=LONG_S):
        pass
    if done < rows:
        say(f"  rolled up in {perf_counter() - began:.0f} s")
        await connection.execute("VACUUM ANALYZE", timeout=LONG_S)


if __name__ == "__main__":
    main()
