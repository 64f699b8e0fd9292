"""``make bench-litellm``: LiteLLM's proxy with the request log and without it.

Runs with and without it alternate. Each starts the proxy anew; those with the log all use one database, which must hold
every request once at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import sys
from pathlib import Path

from benchmarks.harness.common import folder, say, this_machine
from benchmarks.harness.litellm_load import EXPECTED, Load, Proxy, ask, differences, running, wait_until_reported

WARM_UP = 400


def main() -> None:
    """Measures, and ends with 1 when a request is not in the log exactly once."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.suites.litellm_proxy", description=__doc__)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=4, help="runs of each kind")
    parser.add_argument("--requests", type=int, default=2500, help="timed requests of a run")
    arguments = parser.parse_args()
    machine = this_machine()
    say(f"{machine.processor}, {machine.cores} cores, load {machine.load_before}; {arguments.workers} workers")
    with folder() as place:
        sys.exit(0 if compare(place, arguments.workers, arguments.rounds, arguments.requests) else 1)


def compare(place: Path, workers: int, rounds: int, requests: int) -> bool:
    """Prints the figures; whether the log is right."""
    rate: dict[bool, list[float]] = {False: [], True: []}
    cost: dict[bool, list[float]] = {False: [], True: []}
    answered: dict[str, str] = {}
    for number in range(rounds):
        # Which of the two comes first alternates, so that a machine that slows down does not favour either.
        for logs in (False, True) if number % 2 == 0 else (True, False):
            with running(place, workers=workers, logs=logs) as proxy:
                warm, load, cpu = asyncio.run(_measure(proxy, requests))
                if logs:
                    answered |= warm.answered | load.answered
                    # What LiteLLM still holds when it is stopped is lost, with any logger.
                    wait_until_reported(place / "observability.db", len(answered))
            rate[logs].append(len(load.answered) / load.seconds)
            cost[logs].append(1000 * cpu / len(load.answered))
            say(f"{'with' if logs else 'without'} the log: {rate[logs][-1]:.1f}/s, {cost[logs][-1]:.2f} ms of CPU each")
    for what, unit, figures in (("rate", "requests/s", rate), ("processor time", "ms a request", cost)):
        without, with_log = statistics.median(figures[False]), statistics.median(figures[True])
        change = 100 * (with_log / without - 1)
        say(f"{what}: {without:.2f} without, {with_log:.2f} with the log {unit} ({change:+.1f} %)")
    wrong = differences(place / "observability.db", answered, {})
    say(f"{len(answered)} requests were answered; {len(wrong)} are not in the log as they should be")
    for line in wrong[:20]:
        say(f"  {line}")
    return not wrong


async def _measure(proxy: Proxy, requests: int) -> tuple[Load, Load, float]:
    warm = await ask(proxy, _mixed(WARM_UP))
    before = proxy.cpu_seconds()
    load = await ask(proxy, _mixed(requests))
    return warm, load, proxy.cpu_seconds() - before


def _mixed(count: int) -> list[str]:
    """Eight in ten are answered at once, one in ten by its second fallback, one in ten not at all."""
    return random.Random(429).choices(list(EXPECTED), (8, 1, 1), k=count)


if __name__ == "__main__":
    main()
