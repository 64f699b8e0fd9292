"""One writer's life: log, and say of each entry that was accepted that it was, until somebody kills it.

Entry number n of a life has the life's name as provider and n as prompt tokens, so what the database has of a life can
be told from its totals alone: n entries add up to n(n-1)/2.
"""

from __future__ import annotations

import asyncio
import os
import sys
import traceback
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NoReturn
from zlib import crc32

from chainlog_async import ChainLog, RequestLogEntry
from chainlog_async.settings import Settings
from chainlog_async.storage.sqlite.maintenance import rounds as maintenance

# Lives are short, and pruning and rolling up are to be met by a kill as well.
maintenance.MAINTENANCE_INTERVAL_S = 0.01

ACK_BYTES = 4

IN_MEMORY = 1 << 31
"""Set in an acknowledgement when the journal could not be written: such an entry need not survive a kill."""


@dataclass(frozen=True)
class Plan:
    """What a life is for."""

    db_path: Path
    acks: Path
    """Where its acknowledgements go; the folder exists."""
    entries: int = 1_000_000
    """After so many it waits to be killed."""
    burst: int = 40
    """So many without giving up the event loop."""
    pause_s: float = 0.001
    """Between two bursts."""
    stays: bool = True
    """Whether a writer stays up after its last entry, instead of shutting down."""
    settings: dict[str, object] = field(default_factory=dict)

    def writing(self, way: str) -> Plan:
        """The same with that `journal_write`."""
        return replace(self, settings={**self.settings, "journal_write": way})

    def make_settings(self) -> Settings:
        """With small batches, so that a kill finds all sorts of states."""
        values: dict[str, object] = {"max_batch_size": 50, "flush_interval_ms": 3, "busy_timeout_ms": 20_000}
        return Settings(db_path=self.db_path, **{**values, **self.settings})


def entry(name: str, number: int) -> RequestLogEntry:
    """Number `number` of that life, of an hour that is over and is that life's own, most likely: it is rolled up."""
    hour = crc32(name.encode()) % 10_000
    return RequestLogEntry(
        timestamp=1_700_000_000_000 + 3_600_000 * hour + 10_000 * number,
        chain_name="crash",
        provider_id=name,
        model=f"{name}-{number}",
        prompt_tokens=number,
        completion_tokens=1,
        latency_ms=number % 7,
        http_status=200,
        error_message="x" * (number % 300),
    )


@dataclass(frozen=True)
class Acks:
    """What a life was told of its entries, which are numbered from 0."""

    accepted: int
    in_memory: frozenset[int]
    """Those of them that were not in the journal."""


def read_acks(path: Path) -> Acks:
    """What is in the file by now."""
    numbers = array("I")
    data = path.read_bytes() if path.exists() else b""
    numbers.frombytes(data[: len(data) - len(data) % ACK_BYTES])
    return Acks(len(numbers), frozenset(number ^ IN_MEMORY for number in numbers if number & IN_MEMORY))


def count_acks(path: Path) -> int:
    """How many entries of a life were accepted."""
    return path.stat().st_size // ACK_BYTES if path.exists() else 0


class Logging:
    """Logs one entry after the other and acknowledges each, after `log_request` has returned True."""

    def __init__(self, chainlog: ChainLog, acks: Path, name: str) -> None:
        self._chainlog = chainlog
        self._name = name
        self._acks = os.open(acks / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self.accepted = 0

    def log(self) -> None:
        """The next one."""
        if not self._chainlog.log_request(entry(self._name, self.accepted)):
            raise SystemExit(f"entry {self.accepted} of {self._name} was refused: {self._chainlog.statistics()}")
        in_memory = self._chainlog.statistics().journal == "failing"
        os.write(self._acks, (self.accepted | (IN_MEMORY if in_memory else 0)).to_bytes(ACK_BYTES, sys.byteorder))
        self.accepted += 1


async def log_until_killed(plan: Plan, name: str) -> None:
    """Logs to the last entry."""
    async with ChainLog(plan.make_settings()) as chainlog:
        logging = Logging(chainlog, plan.acks, name)
        for number in range(plan.entries):
            logging.log()
            if number % plan.burst == 0:
                await asyncio.sleep(plan.pause_s)
        if plan.stays:
            await asyncio.sleep(3600)


async def recover(plan: Plan) -> None:
    """Starts as the next gateway would, and leaves when what the dead left is written."""
    async with ChainLog(plan.make_settings()) as chainlog:
        await chainlog.write(entry("recovery", 0))


def start(work: Callable[[], None]) -> int:
    """Forks; the child does the work and is gone. This process must have no threads."""
    sys.stdout.flush()
    child = os.fork()
    return child or _end(work)


def _end(work: Callable[[], None]) -> NoReturn:
    code = 1
    try:
        work()
        code = 0
    except BaseException:  # noqa: BLE001  # reported; whoever waits sees the code
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)
