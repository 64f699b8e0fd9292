"""Kills writers, servers and networks under a log on PostgreSQL; run as a script, or shorter by a test.

`python -m tests.crash.postgres.torture --kills 100 --crashes 20 --failovers 10 --cuts 5 --long-cuts 3` is the whole.
Ends with a table and, where a promise was broken, with exit code 1.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from chainlog_async.storage.postgres import maintenance
from examples.postgres.server import PostgresServer
from tests.crash.life import Plan, log_until_killed, read_acks, recover, start
from tests.crash.verify import Finding
from tests.support.postgres import query

from .pair import SETTINGS, Pair
from .proxy import proxy_to
from .verify import verify

WRITERS = 4
STUCK_S = 120
"""A recovery that writes nothing for so long, in seconds, does not end any more."""
WRITTEN = "SELECT COALESCE(sum(position), 0)::bigint FROM chainlog.streams"

# Folding is to be met by every crash as well.
maintenance.MAINTENANCE_INTERVAL_S = 0.05


@dataclass
class Result:
    """One line of the table."""

    name: str
    crashes: int = 0
    entries: int = 0
    lost: int = 0
    doubled: int = 0
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)

    def add(self, finding: Finding) -> None:
        """What was found at the end."""
        self.entries += finding.entries
        self.lost += finding.lost
        self.doubled += finding.doubled
        self.problems += finding.problems


class Writers:
    """Processes that log to one database, each with its journal in the same folder."""

    def __init__(self, folder: Path, url: str, *, pause_s: float = 0.1) -> None:
        (folder / "acks").mkdir(parents=True)
        settings = {"db_url": url, "max_batch_size": 50, "shutdown_timeout_ms": 60_000}
        self.plan = Plan(folder / "log.db", folder / "acks", pause_s=pause_s, settings=settings)
        self.alive: list[int] = []
        self._born = 0

    def begin(self) -> int:
        """Forks a writer."""
        self._born += 1
        name = f"life{self._born:05d}"
        child = start(lambda: asyncio.run(log_until_killed(self.plan, name)))
        self.alive.append(child)
        return child

    def kill(self, child: int) -> None:
        """SIGKILL."""
        self.alive.remove(child)
        os.kill(child, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code != -signal.SIGKILL:
            raise AssertionError(f"a writer ended by itself, with {code}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        for child in self.alive:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)

    def end(self, result: Result, url: str) -> None:
        """Kills them all, lets a start write what they left, and looks at the database."""
        for child in list(self.alive):
            self.kill(child)
        child = start(lambda: asyncio.run(recover(self.plan)))
        code = _exit_code(child, lambda: asyncio.run(query(url, WRITTEN)))
        if code is None:
            result.problems.append(f"the recovery wrote nothing for {STUCK_S} s")
        elif code:
            result.problems.append(f"the recovery ended with {code}")
        accepted = {path.name: read_acks(path).accepted for path in sorted(self.plan.acks.iterdir())}
        result.add(asyncio.run(verify(url, accepted)))


def _exit_code(child: int, look: Callable[[], object]) -> int | None:
    """Waits for a process for as long as what `look` sees goes on changing. None where it was killed."""
    seen, deadline = None, time.monotonic() + STUCK_S
    while not (ended := os.waitpid(child, os.WNOHANG))[0]:
        if (now := look()) != seen:
            seen, deadline = now, time.monotonic() + STUCK_S
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return None
        time.sleep(0.2)
    return os.waitstatus_to_exitcode(ended[1])


def kill_writers(folder: Path, kills: int, rng: random.Random, show: Callable[[str], None]) -> Result:
    """Four writers at any time, one of which is killed again and again."""
    result = Result("kill -9 of four writers")
    with _server(folder) as server, Writers(folder / "log", server.url()) as writers:
        for _ in range(WRITERS):
            writers.begin()
        while result.crashes < kills:
            time.sleep(rng.uniform(0.2, 3.0))
            writers.kill(rng.choice(writers.alive))
            result.crashes += 1
            show(f"{result.name}: {result.crashes}")
            writers.begin()
        writers.end(result, server.url())
    return result


def crash_server(folder: Path, crashes: int, rng: random.Random, show: Callable[[str], None]) -> Result:
    """The server is stopped with `immediate` under four writers, which go on."""
    result = Result("server stopped with immediate")
    with _server(folder) as server, Writers(folder / "log", server.url(connect_timeout="2")) as writers:
        for _ in range(WRITERS):
            writers.begin()
        time.sleep(2)
        while result.crashes < crashes:
            time.sleep(rng.uniform(0.2, 2.0))
            server.stop("immediate")
            time.sleep(rng.uniform(0, 0.5))
            server.start()
            result.crashes += 1
            show(f"{result.name}: {result.crashes}")
        time.sleep(3)
        writers.end(result, server.url())
    return result


def fail_over(
    folder: Path,
    failovers: int,
    rng: random.Random,
    show: Callable[[str], None],
    *,
    synchronous: bool,
    settle_s: float = 10,
) -> Result:
    """The primary dies under four writers and its standby takes over; an asynchronous one is seconds behind."""
    result = Result(f"failover to {'a synchronous' if synchronous else 'an asynchronous'} standby")
    pair = Pair(folder, synchronous=synchronous)
    try:
        pair.start()
        with Writers(folder / "log", pair.url) as writers:
            for _ in range(WRITERS):
                writers.begin()
            time.sleep(2)
            while result.crashes < failovers:
                time.sleep(rng.uniform(0.5, 2.0))
                if not synchronous:
                    pair.cut_replication()
                    time.sleep(rng.uniform(0.5, 2.0))
                pair.fail_over()
                result.crashes += 1
                show(f"{result.name}: {result.crashes}")
                if result.crashes < failovers:
                    pair.add_standby()
            # Whoever lives has to notice and to send again what was lost, before it is killed.
            time.sleep(settle_s)
            writers.end(result, pair.primary.url())
    finally:
        pair.stop()
    return result


def cut_network(
    folder: Path,
    cuts: int,
    rng: random.Random,
    show: Callable[[str], None],
    *,
    shortest_s: float = 1,
    longest_s: float = 8,
) -> Result:
    """Between four writers and the server bytes are swallowed for a while, again and again."""
    result = Result(f"network cut for {shortest_s:g} to {longest_s:g} s")
    with _server(folder) as server:
        reading, writing = os.pipe()
        mends, mended = os.pipe()
        child = start(lambda: asyncio.run(_proxy(server.port, mends, writing)))
        try:
            port = int.from_bytes(os.read(reading, 4), "big")
            parameters = "connect_timeout=1&statement_timeout=1000"
            with Writers(folder / "log", f"postgresql://postgres@127.0.0.1:{port}/postgres?{parameters}") as writers:
                for _ in range(WRITERS):
                    writers.begin()
                time.sleep(2)
                while result.crashes < cuts:
                    time.sleep(rng.uniform(0.5, 2.0))
                    os.write(mended, b"c")
                    time.sleep(rng.uniform(shortest_s, longest_s))
                    os.write(mended, b"m")
                    result.crashes += 1
                    show(f"{result.name}: {result.crashes}")
                time.sleep(8)
                writers.end(result, server.url())
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            for descriptor in (reading, writing, mends, mended):
                os.close(descriptor)
    return result


async def _proxy(target_port: int, commands: int, answers: int) -> None:
    """A process of its own: tells its port, and cuts (c) and mends (m) as it is told."""
    async with proxy_to(target_port) as proxy:
        os.write(answers, proxy.port.to_bytes(4, "big"))
        while True:
            command = await asyncio.to_thread(os.read, commands, 1)
            (proxy.cut if command == b"c" else proxy.mend)()


@contextmanager
def _server(folder: Path) -> Iterator[PostgresServer]:
    server = PostgresServer(folder / "server")
    server.create(SETTINGS)
    server.start()
    try:
        yield server
    finally:
        if server.is_running():
            server.stop("immediate")


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder that the server's user can enter, too."""
    folder = Path(tempfile.mkdtemp(prefix="chainlog-torture-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _show(text: str) -> None:
    if sys.stdout.isatty():
        sys.stdout.write(f"{text}\r")
        sys.stdout.flush()


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("kills", 100), ("crashes", 20), ("failovers", 10), ("cuts", 5), ("long-cuts", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    options = parser.parse_args()
    # That the server is away is no news here.
    logging.disable(logging.WARNING)
    rng = random.Random(options.seed)
    _tell(f"seed {options.seed}")
    results: list[Result] = []
    for work, times in (
        (kill_writers, options.kills),
        (crash_server, options.crashes),
        (lambda *given: fail_over(*given, synchronous=True), options.failovers),
        (lambda *given: fail_over(*given, synchronous=False), options.failovers),
        (cut_network, options.cuts),
        (lambda *given: cut_network(*given, shortest_s=30, longest_s=45), options.long_cuts),
    ):
        if times:
            with scratch_folder() as folder:
                began = time.monotonic()
                results.append(work(folder, times, rng, _show))
                results[-1].seconds = time.monotonic() - began
                _tell(str(results[-1]))
    _tell(f"{'':40s}{'times':>7s}{'accepted':>11s}{'lost':>7s}{'doubled':>9s}{'seconds':>9s}")
    for one in results:
        _tell(f"{one.name:40s}{one.crashes:7,}{one.entries:11,}{one.lost:7,}{one.doubled:9,}{one.seconds:9.0f}")
        for problem in one.problems:
            _tell(f"  {problem}")
    sys.exit(any(one.lost or one.doubled or one.problems for one in results))


if __name__ == "__main__":
    main()
