"""Kills writers at random moments and looks whether anything was lost or doubled; run as a script.

`torture.py --kills 200 --soak-s 600` is the whole; every number can be smaller. Ends with a table and, where a promise
was broken, with exit code 1. `--seed` repeats the choices, not the moments at which the system runs a process.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.support.entries import insert_as_original, original_row
from tests.support.schemas import make_original

from .life import start
from .scenario import Result, Scenario
from .shipping import Shipping, shipping
from .soak import soak

WAYS = ["mmap", "pwrite"]

MANY_KILLS = 40
"""After so many, retention has had something to delete, and hours were rolled up."""


def under_load(scenario: Scenario, kills: int) -> None:
    """At any moment of a writer's work; sometimes the one that recovers is killed as well."""
    while scenario.result.kills < kills:
        child = scenario.begin()
        scenario.wait_for(1, child)
        time.sleep(random.expovariate(1 / 0.08))
        scenario.kill(child)
        while random.random() < 0.3:
            child = scenario.begin_recovery()
            time.sleep(random.uniform(0, 0.15))
            scenario.kill(child)
        scenario.recover()


def starting(scenario: Scenario, kills: int) -> None:
    """Between the start of the process and its first entries, on a fresh file and on one with a dead journal."""
    while scenario.result.kills < kills:
        if random.random() < 0.3:
            scenario.recover()
            scenario.start_afresh()
        child = scenario.begin()
        time.sleep(random.uniform(0, 0.12))
        scenario.kill(child)
        if random.random() < 0.5:
            scenario.recover()


def shutting_down(scenario: Scenario, kills: int) -> None:
    """While a writer that was told to stop drains, with entries waiting."""
    while scenario.result.kills < kills:
        entries = random.randrange(1_000, 4_000)
        child = scenario.begin(entries=entries, burst=500, stays=False)
        scenario.wait_for(entries, child)
        time.sleep(random.uniform(0, 0.1))
        scenario.kill(child)
        scenario.recover()


def migrating(scenario: Scenario, kills: int) -> None:
    """In the middle of bringing a file of 429chain's, with rows, up to date."""
    original = make_original(scenario.plan.db_path.with_name("original.db"), 2)
    insert_as_original(original, (original_row(model=f"old{number}") for number in range(30_000)))
    while scenario.result.kills < kills:
        scenario.start_afresh(original)
        child = scenario.begin()
        time.sleep(random.uniform(0, 0.4))
        scenario.kill(child)
        scenario.recover()


def replaying(scenario: Scenario, kills: int) -> None:
    """While a large journal of a dead writer is written."""
    took_s = 0.3
    while scenario.result.kills < kills:
        _leave_backlog(scenario, 10_000)
        for _ in range(random.randint(1, 4)):
            child = scenario.begin_recovery()
            time.sleep(random.uniform(0, took_s))
            scenario.kill(child)
        took_s = max(scenario.time_of(scenario.begin_recovery()), 0.05)
        scenario.recover()


def _leave_backlog(scenario: Scenario, entries: int) -> None:
    """A writer that cannot write, and is killed."""
    if not scenario.plan.db_path.exists():
        scenario.recover()
    release, hold = os.pipe()
    holder = start(partial(_hold_lock, scenario.plan.db_path, release, hold))
    os.close(release)
    child = scenario.begin(burst=500)
    scenario.wait_for(entries, child)
    scenario.kill(child)
    os.close(hold)
    os.waitpid(holder, 0)


def _hold_lock(db_path: Path, release: int, hold: int) -> None:
    import sqlite3

    os.close(hold)
    connection = sqlite3.connect(db_path, timeout=60, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    os.read(release, 1)
    connection.execute("ROLLBACK")


def together(scenario: Scenario, kills: int) -> None:
    """Four writers on one file, each killed when its time has come, and followed by the next."""
    alive: dict[int, float] = {}
    while scenario.result.kills < kills:
        while len(alive) < 4:
            alive[scenario.begin()] = time.monotonic() + 0.15 + random.expovariate(1 / 0.3)
        child = min(alive, key=lambda child: alive[child])
        time.sleep(max(alive.pop(child) - time.monotonic(), 0))
        scenario.kill(child)
        if scenario.result.kills % 20 == 0:
            _end_all(scenario, alive)
    _end_all(scenario, alive)


def _end_all(scenario: Scenario, alive: dict[int, float]) -> None:
    for child in alive:
        scenario.kill(child)
    alive.clear()
    scenario.recover()


Work = Callable[[Scenario, int], None]

SCENARIOS: dict[str, tuple[Work, float, dict[str, object]]] = {
    "under load": (under_load, 1.0, {}),
    "starting": (starting, 0.25, {}),
    "shutting down": (shutting_down, 0.25, {}),
    "migrating": (migrating, 0.25, {}),
    "replaying": (replaying, 0.25, {}),
    "rotating": (under_load, 0.25, {"journal_segment_bytes": 16 * 1024, "journal_max_bytes": 1024 * 1024}),
    "pruning": (under_load, 0.25, {"retention_rows": 300}),
    "four writers": (together, 0.5, {}),
    "shipping": (shipping, 0.5, {}),
}
"""What is done, what part of the kills it gets, and with which settings."""


def main() -> int:
    """Does what the arguments say; 0 when every promise was kept."""
    arguments = _arguments()
    random.seed(arguments.seed)
    # Hundreds of writers would each say what the one before it left.
    logging.disable()
    say(f"seed {arguments.seed}")
    results: list[Result] = []
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="chainlog-torture-", dir=arguments.folder) as folder:
        for name, (work, share, settings) in SCENARIOS.items():
            kills = round(arguments.kills * share)
            if kills and (not arguments.only or name in arguments.only):
                home = Path(folder) / name.replace(" ", "-")
                kind = Shipping if name == "shipping" else Scenario
                scenario = kind(name, home, ways=arguments.journal_write, show=_progress(began), **settings)
                work(scenario, kills)
                scenario.recover()
                scenario.bank()
                _require_upkeep(scenario)
                results.append(scenario.result)
        if arguments.soak_s:
            kills, finding, soaked = soak(
                Path(folder) / "soak", arguments.soak_s, _progress(began), arguments.journal_write
            )
            say(soaked)
            results.append(Result("soak", kills))
            results[-1].add(finding)
    say("\r\x1b[K" if sys.stdout.isatty() else "", end="")
    return _report(results, time.monotonic() - began)


def _require_upkeep(scenario: Scenario) -> None:
    """Many kills that never met the writer at its other work would prove nothing about it."""
    if scenario.result.kills < MANY_KILLS:
        return
    if scenario.pruned and not scenario.result.pruned:
        scenario.result.problems.append("nothing was pruned")
    if scenario.result.name == "under load" and not scenario.result.rolled_up:
        scenario.result.problems.append("nothing was rolled up")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200, help="how often writers are killed under load")
    parser.add_argument("--soak-s", type=float, default=600, help="how long the soak lasts, in seconds; 0 for none")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--only", action="append", choices=[*SCENARIOS], help="this scenario alone; may be repeated")
    parser.add_argument("--journal-write", nargs="+", choices=WAYS, default=WAYS, help="how writers write, in turn")
    parser.add_argument("--folder", help="where the databases go; a temporary folder otherwise")
    return parser.parse_args()


def say(text: str, end: str = "\n") -> None:
    """Tells whoever watches, at once."""
    sys.stdout.write(text + end)
    sys.stdout.flush()


def _progress(began: float) -> Callable[[str], None]:
    last = 0.0

    def show(text: str) -> None:
        nonlocal last
        now = time.monotonic()
        if sys.stdout.isatty():
            say(f"\r\x1b[K{now - began:6.0f} s  {text}", end="")
        elif now - last > 10:
            say(f"{now - began:6.0f} s  {text}")
            last = now

    return show


def _report(results: list[Result], took_s: float) -> int:
    say(f"{'':14}{'kills':>8}{'entries':>12}{'lost':>8}{'doubled':>10}")
    total = Result("together")
    for result in results:
        _print(result)
        total.kills += result.kills
        total.add(result)
    _print(total)
    say(f"took {took_s:.0f} s")
    problems = [f"{result.name}: {problem}" for result in results for problem in result.problems]
    for problem in problems[:20]:
        say(f"BROKEN {problem}")
    return 1 if problems or total.lost or total.doubled else 0


def _print(result: Result) -> None:
    say(f"{result.name:14}{result.kills:8,}{result.entries:12,}{result.lost:8,}{result.doubled:10,}")


if __name__ == "__main__":
    sys.exit(main())
