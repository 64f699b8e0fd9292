"""``make bench-reprice``: reprices a large log that a gateway writes to, killed again and again.

Says how long anybody had to wait for the lock of the database, without the command and beside it, and whether every sum
is that of the rows in the end.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter, sleep

from benchmarks.harness.common import folder, percentile, sample_rows, say
from benchmarks.harness.databases import WRITE_BATCH, lines_of, make_database, open_plainly
from chainlog_async.admin.check import check_database
from chainlog_async.admin.prices import set_prices
from chainlog_async.admin.reprice import plan_repricing
from chainlog_async.prices.model import Price

ROWS = 1_000_000
KILLS = 10
RATE = 1_000
BATCH = 1_000
CALM_S = 10.0
PROBE_S = 0.002

GATEWAY = f"""
import asyncio, signal, sys
from benchmarks.harness.common import entry_of, sample_rows
from chainlog_async import ChainLog
from chainlog_async.settings import Settings
async def main():
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    entries = [entry_of(row) for row in sample_rows(20_000)]
    async with ChainLog(Settings(db_path=sys.argv[1])) as log:
        sent, begun = 0, asyncio.get_running_loop().time()
        while not ended.is_set():
            due = int((asyncio.get_running_loop().time() - begun) * {RATE})
            for number in range(sent, due):
                log.log_request(entries[number % len(entries)])
            sent = due
            await asyncio.sleep(0.01)
        await log.flush()
        print(sent, log.statistics().written)
asyncio.run(main())
"""


@dataclass
class Waits:
    """How long a probe waited for the lock, in ms, again and again."""

    path: Path
    found: list[float] = field(default_factory=list)
    _ended: threading.Event = field(default_factory=threading.Event)

    def watch(self) -> None:
        """Takes the lock and gives it back until told to end; asks every millisecond, where SQLite would back off."""
        with closing(sqlite3.connect(self.path, isolation_level=None, timeout=0)) as connection:
            while not self._ended.wait(PROBE_S):
                begun = perf_counter()
                while not _takes_lock(connection):
                    sleep(0.001)
                self.found.append(1_000 * (perf_counter() - begun))
                connection.execute("ROLLBACK")

    def end(self) -> None:
        """Ends `watch`."""
        self._ended.set()

    def said(self) -> str:
        """The waits in one line."""
        waits = sorted(self.found)
        shares = ", ".join(f"p{share} {percentile(waits, share / 100):.1f}" for share in (50, 95, 99))
        return f"{len(waits):,} waits for the lock: {shares}, longest {waits[-1]:.1f} ms"


def _takes_lock(connection: sqlite3.Connection) -> bool:
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorname != "SQLITE_BUSY":
            raise
        return False
    return True


def main() -> None:
    """Makes the log, reprices it, and prints what was found."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.suites.repricing", description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS, help="size of the log (default: %(default)s)")
    parser.add_argument("--kills", type=int, default=KILLS, help="how often it is killed (default: %(default)s)")
    arguments = parser.parse_args()
    with folder() as place:
        path = place / "log.db"
        asyncio.run(_make_log(path, arguments.rows))
        with _gateway(path):
            with _watched(path) as calm:
                sleep(CALM_S)
            say(f"the gateway alone, {RATE:,} entries/s: {calm.said()}")
            with _watched(path) as beside:
                took = _reprice(path, arguments.rows, arguments.kills)
            say(f"beside the command, {took:.0f} s and {arguments.kills} kills: {beside.said()}")
        asyncio.run(_verify(path))


async def _make_log(path: Path, rows: int) -> None:
    begun = perf_counter()
    await make_database(path)
    samples = sample_rows(50_000)
    with closing(open_plainly(path)) as connection:
        for position in range(0, rows, BATCH):
            first = position % len(samples)
            lines = lines_of(samples[first : first + BATCH])
            connection.execute(WRITE_BATCH, ("made", position, position + BATCH, lines))
    names = {(row[2], row[3]) for row in samples}
    await set_prices(
        path,
        [
            Price(provider_id=provider, model=model, source="manual", input=150_000 + 7 * len(model), output=600_000)
            for provider, model in sorted(names)
        ],
    )
    say(f"{rows:,} requests without a cost, made in {perf_counter() - begun:.0f} s")


@contextmanager
def _gateway(path: Path) -> Iterator[None]:
    command = [sys.executable, "-c", GATEWAY, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603  # our own program
        yield
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate()
    sent, written = map(int, said.split())
    say(f"the gateway sent {sent:,} entries meanwhile and wrote {written:,}")


@contextmanager
def _watched(path: Path) -> Iterator[Waits]:
    waits = Waits(path)
    thread = threading.Thread(target=waits.watch)
    thread.start()
    try:
        yield waits
    finally:
        waits.end()
        thread.join()


def _reprice(path: Path, rows: int, kills: int) -> float:
    """Each kill comes while rows are being changed, one part of the log after the other. Returns the seconds in all."""
    command = [sys.executable, "-m", "chainlog_async", "reprice", "--db", str(path)]
    begun = perf_counter()
    for number in range(kills):
        reached = (number + 1) * rows // (kills + 1)
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:  # noqa: S603  # our own program
            while not _is_priced(path, reached):
                if process.poll() is not None:
                    raise SystemExit(f"the command ended with {process.returncode} before it reached row {reached:,}")
                sleep(0.05)
            process.send_signal(signal.SIGKILL)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603  # our own program
    return perf_counter() - begun


def _is_priced(path: Path, row: int) -> bool:
    # A refused request without tokens has no cost, so a few are asked for.
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT COUNT(cost_usd) FROM request_logs WHERE id BETWEEN ? AND ? + 20"
        return bool(connection.execute(query, (row, row)).fetchone()[0])


async def _verify(path: Path) -> None:
    left = await plan_repricing(path, 0)
    report = await check_database(path)
    with closing(sqlite3.connect(path)) as connection:
        sums = {
            name: connection.execute(f"SELECT {sql}").fetchone()[0]
            for name, sql in {
                "rows": "SUM(cost_nano) FROM request_logs",
                "buckets": "SUM(cost_nano) FROM usage_buckets",
                "totals": "SUM(total_cost_nano) FROM usage_by_provider",
            }.items()
        }
    say(f"left to change: {sum(model.rows for model in left)} rows; check found {report.wrong_numbers} wrong numbers")
    say("nano-dollars by " + ", ".join(f"{name}: {number:,}" for name, number in sums.items()))
    say("equal" if len(set(sums.values())) == 1 and report.ok and not left else "NOT EQUAL")


if __name__ == "__main__":
    main()
