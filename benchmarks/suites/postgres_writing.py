"""``make bench-postgres``: rows per second of 1, 2, 4 and 8 writers, and what a row costs a gateway and the server.

Every writer is a process that commits batches of 1,000 lines with `PostgresStorage` and runs its maintenance between
them, as a gateway's writer does. The server is one of its own, with PostgreSQL's defaults but for the sizes in
`SERVER`; with ``--synchronous-commit off`` it does not wait for its disk. The gateway's cost is that of a process that
hands entries to `ChainLog`: journal, writer and driver included.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from contextlib import aclosing
from pathlib import Path
from time import perf_counter, process_time

import asyncpg
import msgspec

from benchmarks.harness.common import entry_of, folder, sample_rows, say
from benchmarks.harness.worker import Worker, answer_commands
from chainlog_async import ChainLog
from chainlog_async.common.clock import now_ms
from chainlog_async.entry.batch import Batch
from chainlog_async.entry.line import encode_line
from chainlog_async.settings import Settings
from chainlog_async.storage.engines import open_storage
from chainlog_async.storage.postgres.schema import migrate_url
from chainlog_async.storage.postgres.url import parse_url
from examples.postgres.server import PostgresServer

WRITERS = (1, 2, 4, 8)
BATCH = 1_000
MAX_PENDING_ENTRIES = 5 * BATCH
SERVER = {"shared_buffers": "1GB", "max_wal_size": "4GB", "max_connections": "40"}
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")

COUNT = "SELECT count(*) FROM chainlog.request_logs"
UNFOLDED = "SELECT COALESCE(sum(last_id - first_id + 1), 0)::bigint FROM chainlog.batches"


class Turn(msgspec.Struct):
    """What one writer did."""

    rows: int
    seconds: float
    cpu_us: float
    """CPU time of the writer's process, µs per row."""


def main() -> None:
    """Measures, and prints two tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.suites.postgres_writing", description=__doc__)
    parser.add_argument("--seconds", type=float, default=20, help="for each number of writers (default: %(default)s)")
    parser.add_argument("--rows", type=int, default=300_000, help="through the gateway (default: %(default)s)")
    parser.add_argument("--synchronous-commit", default="on", choices=("on", "off"))
    arguments = parser.parse_args()
    with folder() as path:
        # The server's user has to get in.
        path.chmod(0o755)
        server = PostgresServer(path / "postgres")
        server.create({**SERVER, "synchronous_commit": arguments.synchronous_commit})
        server.start()
        try:
            say(f"PostgreSQL, synchronous_commit {arguments.synchronous_commit}, batches of {BATCH:,} rows")
            say(
                f"{'writers':>8}{'rows/s':>12}{'writer µs':>12}{'server µs':>12}{'WAL bytes':>12}{'folded after s':>16}"
            )
            for writers in WRITERS:
                say(_write(server, writers, arguments.seconds))
            say()
            say(f"{'a gateway':<24}{'rows/s':>10}{'CPU µs a row':>14}")
            for name in ("sqlite", "postgres"):
                turn = _through_a_gateway(name, server, arguments.rows)
                say(f"{name:<24}{turn.rows / turn.seconds:>10,.0f}{turn.cpu_us:>14.1f}")
        finally:
            server.stop()


def _write(server: PostgresServer, writers: int, seconds: float) -> str:
    url = _new_database(server, f"writing_{writers}")
    before, wal = _cpu_s(server), asyncio.run(_wal_bytes(url))
    workers = [Worker("benchmarks.suites.postgres_writing", "write", url, str(seconds)) for _ in range(writers)]
    try:
        for worker in workers:
            worker.hear(bool)
        for worker in workers:
            worker.tell("go")
        turns = [worker.hear(Turn) for worker in workers]
    finally:
        for worker in workers:
            worker.close()
    rows = sum(turn.rows for turn in turns)
    folded_s = asyncio.run(_fold(url, rows))
    server_us = (_cpu_s(server) - before) / rows * 1e6
    wal = (asyncio.run(_wal_bytes(url)) - wal) // rows
    rate = sum(turn.rows / turn.seconds for turn in turns)
    writer_us = sum(turn.cpu_us * turn.rows for turn in turns) / rows
    return f"{writers:>8}{rate:>12,.0f}{writer_us:>12.1f}{server_us:>12.1f}{wal:>12,}{folded_s:>16.1f}"


def _through_a_gateway(engine: str, server: PostgresServer, rows: int) -> Turn:
    url = _new_database(server, "gateway") if engine == "postgres" else ""
    with Worker("benchmarks.suites.postgres_writing", "gateway", url, str(rows)) as worker:
        worker.hear(bool)
        return worker.ask("go", Turn)


def _new_database(server: PostgresServer, name: str) -> str:
    async def create() -> None:
        connection = await asyncpg.connect(server.url())
        await connection.execute(f"CREATE DATABASE {name}")
        await connection.close()
        await migrate_url(parse_url(server.url(name)))

    asyncio.run(create())
    return server.url(name)


async def _wal_bytes(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        return int(await connection.fetchval("SELECT pg_current_wal_lsn() - '0/0'"))
    finally:
        await connection.close()


async def _fold(url: str, rows: int) -> float:
    """Adds up what is left, and looks whether everything is there. Returns how long that took, in seconds."""
    connection = await asyncpg.connect(url)
    try:
        started = perf_counter()
        while await connection.fetchval("SELECT chainlog.fold(50)"):
            pass
        took = perf_counter() - started
        stored, left = await connection.fetchval(COUNT), await connection.fetchval(UNFOLDED)
        counted = await connection.fetchval("SELECT total_requests FROM chainlog.usage_summary")
        if (stored, left, counted) != (rows, 0, rows):
            raise AssertionError(f"{stored} of {rows} rows are stored, {counted} counted, {left} not folded")
        return took
    finally:
        await connection.close()


def _cpu_s(server: PostgresServer) -> float:
    """CPU time of the server and all its processes up to now, in seconds, from /proc."""
    postmaster = int((server.data / "postmaster.pid").read_text("utf-8").split()[0])
    ticks = 0
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        parent, user, system, of_children, system_of_children = _times(process)
        if int(process.name) == postmaster:
            # Processes that have ended are in its children's times.
            ticks += user + system + of_children + system_of_children
        elif parent == postmaster:
            ticks += user + system
    return ticks / CLOCK_TICKS


def _times(process: Path) -> tuple[int, int, int, int, int]:
    """The parent of a process and its CPU times in ticks; see proc(5)."""
    try:
        fields = (process / "stat").read_text("utf-8").rpartition(")")[2].split()
    except OSError:
        return 0, 0, 0, 0, 0
    return int(fields[1]), int(fields[11]), int(fields[12]), int(fields[13]), int(fields[14])


# -- in a writer's process ---------------------------------------------------------------------------------------


async def _write_for(url: str, seconds: float) -> Turn:
    """Commits the same lines again and again, as one stream."""
    entries = [entry_of(row) for row in sample_rows(BATCH, start_ms=now_ms())]
    lines = b"".join(encode_line(entry) + b"\n" for entry in entries)
    writer_id, position, rows = f"bench-{os.getpid()}", 0, 0
    async with aclosing(await open_storage(Settings(db_url=url))) as storage:
        await storage.start()
        await storage.maintain(is_behind=True)
        started, cpu = perf_counter(), process_time()
        while perf_counter() - started < seconds:
            await storage.commit(Batch(writer_id, position, lines, BATCH))
            position += len(lines)
            rows += BATCH
            await storage.maintain(is_behind=True)
        took, cpu = perf_counter() - started, process_time() - cpu
    return Turn(rows, took, cpu / rows * 1e6)


async def _log(url: str, rows: int) -> Turn:
    with folder() as path:
        entries = [entry_of(row) for row in sample_rows(BATCH, start_ms=now_ms())]
        settings = Settings(db_path=path / "log.db", prices=False, **({"db_url": url} if url else {}))
        async with ChainLog(settings) as chainlog:
            started, cpu = perf_counter(), process_time()
            for _ in range(rows // BATCH):
                for entry in entries:
                    chainlog.log_request(entry)
                while chainlog.statistics().pending > MAX_PENDING_ENTRIES:  # noqa: ASYNC110  # there is no event for it
                    await asyncio.sleep(0.001)
            await chainlog.flush()
            took, cpu = perf_counter() - started, process_time() - cpu
            written = chainlog.statistics().written
        if written != rows // BATCH * BATCH:
            raise AssertionError(f"{written} of {rows} rows were written")
    return Turn(written, took, cpu / written * 1e6)


async def _work(what: str, url: str, amount: str) -> None:

    async def handle(_: str) -> Turn:
        return await (_write_for(url, float(amount)) if what == "write" else _log(url, int(amount)))

    await answer_commands(handle)


if __name__ == "__main__":
    if sys.argv[1:2] in (["write"], ["gateway"]):
        asyncio.run(_work(*sys.argv[1:4]))
    else:
        main()
