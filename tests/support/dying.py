"""The operator's work in processes that are killed in the middle of it; run as a script, it can fork without threads.

`dying.py WORK TEMPLATE FOLDER DEATHS`: does the work on a copy of the template to see how many statements it takes,
then once for each of so many of them, evenly spread, on copies of their own, and is killed there. Prints the names of
the copies, one a line.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import sqlite3
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from chainlog_async.admin.prune import PruneLimits, prune_database
from chainlog_async.admin.rebuild import rebuild_totals
from chainlog_async.admin.rejected import retry_rejected
from chainlog_async.admin.vacuum import vacuum_database

from .starting import _code, _fork, _kill_at

WORK: dict[str, Callable[[Path], Awaitable[object]]] = {
    "prune": lambda path: prune_database(path, PruneLimits(max_rows=100)),
    "rebuild": rebuild_totals,
    "retry": retry_rejected,
    "vacuum": vacuum_database,
}


def _do(work: Callable[[Path], Awaitable[object]], path: Path) -> None:
    async def run() -> None:
        await work(path)

    asyncio.run(run())


def _count(work: Callable[[Path], Awaitable[object]], path: Path) -> int:
    statements = 0

    def count(_: str) -> None:
        nonlocal statements
        statements += 1

    connect = sqlite3.connect

    def traced(*arguments: object, **named: object) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*arguments, **named)  # type: ignore[call-overload]  # handed on
        connection.set_trace_callback(count)
        return connection

    sqlite3.connect = traced  # type: ignore[assignment]  # the process is this script's own
    try:
        _do(work, path)
    finally:
        sqlite3.connect = connect
    return statements


def _main(name: str, template: Path, folder: Path, deaths: int) -> None:
    work = WORK[name]
    counting = folder / "counting.db"
    shutil.copyfile(template, counting)
    statements = _count(work, counting)
    for number in sorted({1 + (statements - 1) * death // (deaths - 1) for death in range(deaths)}):
        path = folder / f"{number}.db"
        shutil.copyfile(template, path)

        def do_and_die(path: Path = path, number: int = number) -> None:
            _kill_at(number)
            _do(work, path)

        code = _code(_fork(do_and_die))
        # One that needs a statement less than the first comes to its end, which is as good a moment as any.
        if code not in (-signal.SIGKILL, 0):
            sys.exit(f"the process that was to die at statement {number} of {statements} ended with {code}")
        sys.stdout.write(f"{number}\n")


if __name__ == "__main__":
    _main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
