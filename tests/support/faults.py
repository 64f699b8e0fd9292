"""Real faults, made on purpose: full and read-only disks, files that vanish, pages that are overwritten."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path

import pytest

from chainlog_async import ChainLog
from chainlog_async.buffer.paths import segment_path
from chainlog_async.common.database_files import journal_folder
from chainlog_async.entry.line import encode_line

from .entries import entry
from .writing import names, stored, until

SMALL = {"journal_max_bytes": 256 * 1024, "journal_segment_bytes": 16 * 1024}
"""Settings of a journal that comes to its bound, and to its next file, soon."""

HOLD_LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=20, isolation_level=None)
for statement in sys.argv[2:]:
    connection.execute(statement)
print("held", flush=True)
sys.stdin.readline()
connection.execute("ROLLBACK")
"""


@asynccontextmanager
async def another_process_holds(db_path: Path, *before: str) -> AsyncIterator[None]:
    """The database's write lock is held by another process until the end of the block."""
    command = [sys.executable, "-c", HOLD_LOCK, str(db_path), *before, "BEGIN IMMEDIATE"]
    process = await asyncio.create_subprocess_exec(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout
    assert await process.stdout.readline() == b"held\n"
    try:
        yield
    finally:
        await process.communicate(b"\n")


@contextmanager
def tmpfs(folder: Path, *, size: str) -> Iterator[Path]:
    """A small disk of its own, mounted at the folder; skips the test where that is not allowed."""
    folder.mkdir()
    if os.getuid() != 0:
        pytest.skip("mounting a tmpfs needs root")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def fill(folder: Path) -> Path:
    """Takes all the room that is left on that disk. Returns the file to delete."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (65_536, 4_096, 1):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue
    return ballast


@contextmanager
def immutable(path: Path) -> Iterator[None]:
    """Nobody can write to the file, or make and delete files in the folder, root included."""
    if os.getuid() != 0:
        before = path.stat().st_mode
        path.chmod(0o500 if path.is_dir() else 0o400)
        try:
            yield
        finally:
            path.chmod(before)
        return
    done = subprocess.run(["chattr", "+i", path], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"root may write anywhere, and the file system knows no chattr: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["chattr", "-i", path], check=True)


# As root, a process without these two capabilities is bound by permissions like anybody else: CAP_DAC_OVERRIDE and
# CAP_DAC_READ_SEARCH, dropped by prctl(PR_CAPBSET_DROP) before the program that is started next.
_BOUND = """
import ctypes, os, sys
for capability in (1, 2):
    ctypes.CDLL(None).prctl(24, capability)
os.execv(sys.argv[1], sys.argv[1:])
"""


def bound_by_permissions(command: list[str]) -> list[str]:
    """The command, so that permissions of files hold for it even when root runs the tests."""
    return command if os.geteuid() != 0 else [sys.executable, "-c", _BOUND, *command]


def overwrite_pages(db_path: Path) -> None:
    """Random bytes over every page but the first, where the next reader or writer will find them. Blocks."""
    with closing(sqlite3.connect(db_path, timeout=20, isolation_level=None)) as connection:
        # Somebody else's commit makes the writer forget the pages that it remembers.
        connection.execute("UPDATE usage_summary SET id = id")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        ((page_size,),) = connection.execute("PRAGMA page_size")
    with db_path.open("r+b") as file:
        file.seek(page_size)
        file.write(random.Random(4).randbytes(db_path.stat().st_size - page_size))


def copy_of(db_path: Path, copy: Path) -> Path:
    """A good copy of the database as it is now, in one file. Blocks."""
    with closing(sqlite3.connect(db_path, timeout=20)) as connection:
        connection.execute("VACUUM INTO ?", (str(copy),))
    with closing(sqlite3.connect(copy)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    return copy


def beside(db_path: Path, why: str) -> list[str]:
    """Files that were set aside, in order."""
    return sorted(path.name for path in db_path.parent.glob(f"{db_path.name}.{why}-*"))


def leave_dead_journal(db_path: Path, models: list[str], *, tail: bytes = b"") -> Path:
    """The journal of a writer that was killed before it wrote anything. Returns its file."""
    writer_id = uuid.uuid4().hex
    folder = journal_folder(db_path)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lines = b"".join(encode_line(entry(model=model)) + b"\n" for model in models)
    segment = segment_path(folder, writer_id, 0)
    segment.write_bytes(lines + tail)
    return segment


def journal_files(db_path: Path) -> list[str]:
    """What is in the journal's folder."""
    folder = journal_folder(db_path)
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


async def until_health(chainlog: ChainLog, status: str) -> str:
    """Returns the reasons, in one text, once health says that."""
    await until(lambda: chainlog.health().status == status)
    return "\n".join(chainlog.health().reasons)


async def log_and_store(chainlog: ChainLog, start: int, stop: int) -> None:
    """Logs these and sees them stored, after all before them and once."""
    for model in names(start, stop):
        assert chainlog.log_request(entry(model=model))
    await chainlog.flush()
    assert await stored(chainlog.settings.db_path) == names(0, stop)


def open_descriptors(folder: Path) -> list[str]:
    """Files under the folder that this process has open."""
    found = []
    for link in Path("/proc/self/fd").iterdir():
        try:
            target = str(link.readlink())
        except OSError:
            continue
        if target.startswith(str(folder)):
            found.append(target)
    return sorted(found)


def beside_it(db_path: Path, suffix: str) -> Path:
    """The database's -wal or -shm; with an empty suffix itself."""
    return db_path.with_name(db_path.name + suffix)


def remove_database(db_path: Path) -> None:
    """Deletes the database with its log and its journals."""
    for suffix in ("", "-wal", "-shm"):
        Path(f"{db_path}{suffix}").unlink(missing_ok=True)
    shutil.rmtree(journal_folder(db_path), ignore_errors=True)
