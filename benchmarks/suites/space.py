"""How many bytes of the disk a request takes, with its indexes, buckets and rollups: of files, or of logs made for it.

`python -m benchmarks.suites.space data/demo.db` tells it of a file that is there, such as that of `make demo`. Without
a file, it makes logs of a month with few requests and with many, and rolls them up as the writer does.
"""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

from benchmarks.harness.common import folder, say

from .month import make_month

LOGS = {"100,000 requests in 30 days": 100_000, "1,000,000 requests in 30 days": 1_000_000}

OVER_TIME = ("_buckets", "_rollups", "rolled_up")
"""What the tables of usage over time are called, at the end."""


def bytes_of(path: Path) -> tuple[int, int, int]:
    """Returns the number of requests, and the bytes of usage over time and of all the rest. Blocks."""
    with closing(sqlite3.connect(path)) as connection:
        ((rows,),) = connection.execute("SELECT COUNT(*) FROM request_logs")
        tables = dict(connection.execute("SELECT name, tbl_name FROM sqlite_schema"))
        sizes = connection.execute("SELECT name, SUM(pgsize) FROM dbstat GROUP BY name").fetchall()
    over_time = sum(size for name, size in sizes if str(tables.get(name, name)).endswith(OVER_TIME))
    return rows, over_time, sum(size for _, size in sizes) - over_time


def show(name: str, path: Path) -> None:
    """Prints a line of the table. Blocks."""
    rows, over_time, rest = bytes_of(path)
    if not rows:
        say(f"{name}: no requests")
        return
    say(
        f"{name}: {(over_time + rest) / rows:,.0f} bytes for each of {rows:,} requests, of which usage over time "
        f"{over_time / rows:,.0f}; {10 * 2**30 * rows // (over_time + rest):,} requests fit into 10 GiB"
    )


async def _make_all() -> None:
    with folder() as home:
        for name, rows in LOGS.items():
            path = home / f"{rows}.db"
            await make_month(path, rows)
            show(name, path)


def main() -> None:
    """Measures the files that are named, or makes logs and measures those."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path)
    files = parser.parse_args().files
    for path in files:
        show(str(path), path)
    if not files:
        asyncio.run(_make_all())


if __name__ == "__main__":
    main()
