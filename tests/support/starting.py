"""Starts on databases in real processes; run as a script, in a process without threads that it can fork from.

`starting.py kill TEMPLATE FOLDER EVERY`: for every so many statements of a start that are more than a question there is
one process that is killed there, with a copy of the template in the folder, `1.db`, `2.db` and so on, until one runs
through.

`starting.py together PATH COUNT`: that many processes start on one file at the same moment.

Writes one line for each process: its number and how it ended.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

from chainlog_async import initialize_database, migrate_schema
from chainlog_async.storage.sqlite.connection import close_connection


async def _start(path: Path) -> None:
    connection = await initialize_database(path, busy_timeout_ms=20_000)
    try:
        await migrate_schema(connection)
    finally:
        await close_connection(connection)


def _kill_at(number: int) -> None:
    """Lets the process die when SQLite begins the statement of that number, those that only ask not counted."""
    statements = 0

    def count(sql: str) -> None:
        nonlocal statements
        # SQLite reports what runs inside a statement as a comment.
        statements += not sql.lstrip().startswith(("SELECT", "--"))
        if statements == number:
            os.kill(os.getpid(), signal.SIGKILL)

    connect = sqlite3.connect

    def traced(*arguments: object, **named: object) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*arguments, **named)  # type: ignore[call-overload]  # handed on
        connection.set_trace_callback(count)
        return connection

    sqlite3.connect = traced  # type: ignore[assignment]  # the process is this script's own


def _fork(work: Callable[[], None]) -> int:
    # Or the child would write it once more.
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        work()
        code = 0
    except BaseException as error:  # noqa: BLE001  # reported; the parent sees the code
        sys.stderr.write(f"{error!r}\n")
    finally:
        sys.stderr.flush()
        os._exit(code)


def _code(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _kill(template: Path, folder: Path, every: int) -> None:
    number, code = 0, -signal.SIGKILL
    while code == -signal.SIGKILL:
        number += 1
        path = folder / f"{number}.db"
        if template.exists():
            shutil.copyfile(template, path)

        def start_and_die(path: Path = path, number: int = number) -> None:
            _kill_at(1 + (number - 1) * every)
            asyncio.run(_start(path))

        code = _code(_fork(start_and_die))
        sys.stdout.write(f"{number} {code}\n")


def _together(path: Path, count: int) -> None:
    gate, starter = os.pipe()

    def wait_and_start() -> None:
        os.close(starter)
        os.read(gate, 1)
        asyncio.run(_start(path))

    children = [_fork(wait_and_start) for _ in range(count)]
    os.close(starter)
    for number, child in enumerate(children, 1):
        sys.stdout.write(f"{number} {_code(child)}\n")


if __name__ == "__main__":
    if sys.argv[1] == "kill":
        _kill(Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
    else:
        _together(Path(sys.argv[2]), int(sys.argv[3]))
