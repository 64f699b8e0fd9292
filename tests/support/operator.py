"""What the tests of the operator's work share: rows in bulk, and a look at whether everything adds up."""

from __future__ import annotations

import sqlite3
import stat
import struct
import subprocess
import sys
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from chainlog_async import RequestLogEntry, initialize_database, migrate_schema
from chainlog_async.admin.check import CheckReport, check_database
from chainlog_async.entry.line import encode_line
from chainlog_async.storage.sqlite.connection import close_connection

from .entries import insert_as_original, original_row
from .interrupting import How

T0 = 1_772_400_000_000
"""When the oldest row of `fill` ended, in ms since the epoch; each further one is a second younger."""

HARDEST: tuple[How, ...] = ("task after the answer", "task again and again")
"""The ways of cancelling that are hardest to get right, where trying all of them would take too long."""


def fill(path: Path, count: int, *, first: int = 0, padding: int = 0, models: int = 1_000_000) -> None:
    """Stores rows of three providers and two chains as 429chain would; `padding` makes them that many bytes longer."""
    insert_as_original(
        path,
        [
            original_row(
                timestamp=T0 + 1_000 * number,
                provider_id=f"provider {number % 3}",
                chain_name=f"chain {number % 2}",
                model=f"model {number % models}",
                prompt_tokens=number % 1_000,
                completion_tokens=number % 7,
                latency_ms=float(number % 500),
                attempts=1 + number % 3,
                error_message="x" * padding or None,
            )
            for number in range(first, first + count)
        ],
    )


async def migrate(path: Path) -> Path:
    """Makes a database there, or migrates the one that is."""
    connection = await initialize_database(path)
    try:
        await migrate_schema(connection)
    finally:
        await close_connection(connection)
    return path


def overwrite_leaves(path: Path, table: str) -> None:
    """Writes noise over some of the table's pages, but not over its first; blocks."""
    with closing(sqlite3.connect(path)) as connection:
        ((root,),) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchall()
        ((size,),) = connection.execute("PRAGMA page_size").fetchall()
    with path.open("r+b") as file:
        file.seek((root - 1) * size)
        page = file.read(size)
        cells = int.from_bytes(page[3:5])
        assert page[0] == 5, "the table has but one page"
        for cell in range(1, cells):
            (offset,) = struct.unpack_from(">H", page, 12 + 2 * cell)
            (child,) = struct.unpack_from(">I", page, offset)
            file.seek((child - 1) * size)
            file.write(b"\xa5" * size)


def change(path: Path, *statements: str) -> None:
    """Changes the database behind its back, and leaves no write-ahead log; blocks."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def number_of(path: Path, sql: str) -> int:
    """The one number that a query answers; blocks."""
    with closing(sqlite3.connect(path)) as connection:
        ((value,),) = connection.execute(sql).fetchall()
    assert isinstance(value, int)
    return value


def rows_of(path: Path) -> int:
    """How many requests are in the log; blocks."""
    return number_of(path, "SELECT COUNT(*) FROM request_logs")


async def clean(path: Path) -> CheckReport:
    """What `check_database` says of a database that must be in order."""
    report = await check_database(path)
    assert report.ok, report
    return report


def leave_journal(path: Path, writer_id: str, entries: Iterable[RequestLogEntry], *, truncated: bytes = b"") -> Path:
    """Makes what a killed writer leaves beside the database; blocks. Returns the segment."""
    folder = Path(f"{path}.journal")
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / f"{writer_id}.lock").touch(mode=0o600)
    segment = folder / f"{writer_id}.{0:020d}.jsonl"
    segment.write_bytes(b"".join(encode_line(entry) + b"\n" for entry in entries) + truncated)
    return segment


def files_in(folder: Path) -> list[str]:
    """The names in a folder, without what SQLite makes and leaves beside a database; blocks."""
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(("-wal", "-shm")))


def beside(path: Path) -> list[str]:
    """What SQLite keeps beside a database at the moment; blocks."""
    return [suffix for suffix in ("-wal", "-shm", "-journal") if Path(f"{path}{suffix}").exists()]


def content_of(path: Path) -> bytes:
    """What is in a file; blocks."""
    return path.read_bytes()


def mode_of(path: Path) -> int:
    """The permissions of a file."""
    return stat.S_IMODE(path.stat().st_mode)


def die_at_statements(work: str, template: Path, folder: Path, *, deaths: int) -> list[Path]:
    """Has the work of `dying.py` killed at so many of its statements; returns the databases it was done on; blocks."""
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.dying", work, template, folder, str(deaths)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).resolve().parents[2],
    )
    assert done.returncode == 0, done.stderr
    return [folder / f"{line}.db" for line in done.stdout.split()]
