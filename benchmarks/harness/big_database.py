"""Databases of many rows, made once and kept; filled by SQLite itself, since ten million entries would take minutes."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import closing
from pathlib import Path
from time import perf_counter

from benchmarks.harness.common import CACHE, COLUMNS, Row, sample_rows, say
from benchmarks.harness.databases import make_database, open_plainly
from chainlog_async.storage.sqlite.migration_steps import latest_version

PATTERN = 10_000
"""Different rows in each of them; ids and timestamps go on."""

SPAN_MS = 10 * PATTERN
"""How far the timestamps of one round of the pattern reach, in ms."""

_FILL = f"""
INSERT INTO request_logs ({COLUMNS})
SELECT timestamp + {SPAN_MS} * n, chain_name, provider_id, model, prompt_tokens, completion_tokens, total_tokens,
  latency_ms, http_status, attempts, error_message
FROM (WITH RECURSIVE times(n) AS (SELECT ? UNION ALL SELECT n + 1 FROM times WHERE n + 1 < ?) SELECT n FROM times)
CROSS JOIN pattern
"""  # noqa: S608  # no input in it


def big_file(rows: int) -> Path:
    """The database with that many rows. It is to be copied, not written to. Blocks, at first for minutes."""
    # A file of an older version would first be migrated, which takes minutes too.
    path = CACHE / f"rows-{rows}-version-{latest_version()}.db"
    CACHE.mkdir(exist_ok=True)
    if not path.exists():
        say(f"  making a database of {rows:,} rows, once ...")
        started = perf_counter()
        unfinished = path.with_suffix(".unfinished")
        for leftover in CACHE.glob(f"{unfinished.name}*"):
            # Of a run that was interrupted.
            leftover.unlink() if leftover.is_file() else shutil.rmtree(leftover)
        asyncio.run(make_database(unfinished))
        _fill(unfinished, rows)
        unfinished.replace(path)
        say(f"  made in {perf_counter() - started:.0f} s")
    return path


def copy_of(path: Path, folder: Path) -> Path:
    """A copy to write to."""
    target = folder / "log.db"
    shutil.copyfile(path, target)
    return target


def _fill(path: Path, rows: int) -> None:
    with closing(open_plainly(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"CREATE TEMP TABLE pattern AS SELECT {COLUMNS} FROM request_logs LIMIT 0")  # noqa: S608  # names of our own
        connection.executemany(f"INSERT INTO pattern VALUES ({', '.join('?' * 11)})", _pattern())  # noqa: S608  # placeholders only
        rounds = rows // PATTERN
        for first in range(0, rounds, 10):
            connection.execute(_FILL, (first, min(first + 10, rounds)))
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _pattern() -> list[Row]:
    return sample_rows(PATTERN)
