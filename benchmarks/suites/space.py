"""How many bytes of the disk a request takes, with its indexes, buckets and rollups: of files, or of logs made for it.

`python -m benchmarks.suites.space data/demo.db` tells it of a file that is there, such as that of `make demo`. Without
a file, it makes logs of a month with few requests and with many, and rolls them up as the writer does. Bytes are the
same on every machine, so `make bench` reads what `make bench-space` has put into space.json.
"""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec

from benchmarks.harness.common import folder, say

from .month import make_month

LOGS = {"100,000 requests in 30 days": 100_000, "1,000,000 requests in 30 days": 1_000_000}

MEASURED = Path(__file__).parents[1] / "space.json"

OVER_TIME = ("_buckets", "_rollups", "rolled_up", "tag_keys", "tag_values")
"""What the tables of usage over time are called, at the end."""


class Space(msgspec.Struct):
    """One log."""

    name: str
    requests: int
    over_time_bytes: int
    """Of the tables of usage over time."""
    rest_bytes: int
    """Of the requests, their indexes and everything else."""

    @property
    def bytes_per_request(self) -> float:
        """Everything included."""
        return (self.over_time_bytes + self.rest_bytes) / self.requests

    @property
    def over_time_per_request(self) -> float:
        """Of these, those of usage over time."""
        return self.over_time_bytes / self.requests

    def requests_in(self, file_bytes: int) -> int:
        """How many requests like these fit into a file of that size."""
        return int(file_bytes / self.bytes_per_request)


def measured() -> list[Space]:
    """What the last `make bench-space` found."""
    return msgspec.json.decode(MEASURED.read_bytes(), type=list[Space]) if MEASURED.exists() else []


def space_of(name: str, path: Path) -> Space:
    """Measures a file. Raises `sqlite3.Error`. Blocks."""
    with closing(sqlite3.connect(path)) as connection:
        ((rows,),) = connection.execute("SELECT COUNT(*) FROM request_logs")
        tables = dict(connection.execute("SELECT name, tbl_name FROM sqlite_schema"))
        sizes = connection.execute("SELECT name, SUM(pgsize) FROM dbstat GROUP BY name").fetchall()
    over_time = sum(size for name, size in sizes if str(tables.get(name, name)).endswith(OVER_TIME))
    return Space(name, rows, over_time, sum(size for _, size in sizes) - over_time)


def show(one: Space) -> None:
    """Prints a line of the table."""
    if not one.requests:
        say(f"{one.name}: no requests")
        return
    say(
        f"{one.name}: {one.bytes_per_request:,.0f} bytes for each of {one.requests:,} requests, of which usage over "
        f"time {one.over_time_per_request:,.0f}; {one.requests_in(10 * 2**30):,} requests fit into 10 GiB"
    )


async def _make_all() -> list[Space]:
    found: list[Space] = []
    with folder() as home:
        for name, rows in LOGS.items():
            path = home / f"{rows}.db"
            await make_month(path, rows)
            found.append(space_of(name, path))
    return found


def main() -> None:
    """Measures the files that are named, or makes logs and measures those."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--keep", metavar="NAME", help="put the file into space.json under this name")
    arguments = parser.parse_args()
    found = [space_of(arguments.keep or str(path), path) for path in arguments.files] or asyncio.run(_make_all())
    for one in found:
        show(one)
    if arguments.keep or not arguments.files:
        names = {one.name for one in found}
        kept = [one for one in measured() if one.name not in names] + found
        kept.sort(key=lambda one: one.requests)
        MEASURED.write_bytes(msgspec.json.format(msgspec.json.encode(kept), indent=1) + b"\n")


if __name__ == "__main__":
    main()
