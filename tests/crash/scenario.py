"""One file, and writers that are killed on it."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from chainlog_async.common.database_files import journal_folder

from .life import Plan, count_acks, log_until_killed, recover, start
from .verify import Finding, verify


@dataclass
class Result:
    """One line of the table."""

    name: str
    kills: int = 0
    entries: int = 0
    lost: int = 0
    doubled: int = 0
    pruned: int = 0
    rolled_up: int = 0
    problems: list[str] = field(default_factory=list)

    def add(self, other: Result | Finding) -> None:
        """That, too."""
        self.entries += other.entries
        self.lost += other.lost
        self.doubled += other.doubled
        self.pruned += other.pruned
        self.rolled_up += other.rolled_up
        self.problems += other.problems


class Scenario:
    """Lives on one file, and their ends."""

    def __init__(
        self, name: str, folder: Path, *, ways: list[str], show: Callable[[str], None], **settings: object
    ) -> None:
        self.result = Result(name)
        self.ways = ways
        self.pruned = "retention_rows" in settings
        self.show = show
        self.born = 0
        self._latest = Finding()
        (folder / "acks").mkdir(parents=True)
        self.plan = Plan(folder / "log.db", folder / "acks", settings=settings)

    def begin(self, **changes: object) -> int:
        """Forks a writer. One maps its journal into memory, the next one makes a system call for each line."""
        self.born += 1
        plan = self.plan.writing(self.ways[self.born % len(self.ways)])
        name, plan = f"life{self.born:05d}", replace(plan, **changes)  # type: ignore[arg-type]  # Plan's own fields
        return start(lambda: asyncio.run(log_until_killed(plan, name)))

    def begin_recovery(self) -> int:
        """Forks a start that ends by itself."""
        return start(lambda: asyncio.run(recover(self.plan)))

    def kill(self, child: int) -> None:
        """SIGKILL, unless it is gone already: that is a failure of its own, but for a recovery that was through."""
        os.kill(child, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code == -signal.SIGKILL:
            self.result.kills += 1
        elif code:
            self.result.problems.append(f"a process ended by itself, with {code}")
        self.show(f"{self.result.name}: {self.result.kills} kills")

    def recover(self) -> None:
        """Lets a start go through, and looks at what it leaves behind."""
        code = os.waitstatus_to_exitcode(os.waitpid(self.begin_recovery(), 0)[1])
        if code:
            self.result.problems.append(f"a recovery ended with {code}")
        self.take(verify(self.plan.db_path, self.plan.acks, pruned=self.pruned))

    def take(self, finding: Finding) -> None:
        """What was found now is what counts; after a fault, everything begins anew."""
        self._latest = finding
        if finding.problems:
            self.bank()
            self.start_afresh()

    def bank(self) -> None:
        """What was found last is final."""
        self.result.add(self._latest)
        self._latest = Finding()

    def start_afresh(self, database: Path | None = None) -> None:
        """Forgets everything but the result, and goes on with that database or with none."""
        self.bank()
        for suffix in ("", "-wal", "-shm"):
            Path(f"{self.plan.db_path}{suffix}").unlink(missing_ok=True)
        shutil.rmtree(journal_folder(self.plan.db_path), ignore_errors=True)
        for path in self.plan.acks.iterdir():
            path.unlink()
        if database is not None:
            shutil.copy(database, self.plan.db_path)

    def time_of(self, child: int) -> float:
        """How long that process takes to its end, in seconds."""
        began = time.monotonic()
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code:
            self.result.problems.append(f"a recovery ended with {code}")
        return time.monotonic() - began

    def accepted(self) -> int:
        """Of the newest life."""
        return count_acks(self.plan.acks / f"life{self.born:05d}")

    def wait_for(self, entries: int, child: int) -> None:
        """Returns when the newest life has got as far as that."""
        while self.accepted() < entries:
            if os.waitpid(child, os.WNOHANG) != (0, 0):
                raise SystemExit(f"{self.result.name}: a writer ended by itself")
            time.sleep(0.001)
