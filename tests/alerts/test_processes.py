"""Four processes on one file and two restarts: a real receiver is told once of an alert, and once of its end."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic, sleep

import pytest

from tests.support.receiver import receiver
from tests.support.writing import execute, query

GATEWAY = """
import asyncio, json, sys
from chainlog_async import ChainLog, RequestLogEntry
from chainlog_async.settings import Settings

async def main():
    async with ChainLog(Settings(**json.loads(sys.argv[1]))) as chainlog:
        await chainlog.write(RequestLogEntry(
            chain_name="default", provider_id="groq", model="m", latency_ms=1, http_status=int(sys.argv[2]),
        ))
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)

asyncio.run(main())
"""


def until(state: Callable[[], bool]) -> None:
    """Returns once the state has come."""
    deadline = monotonic() + 30
    while not state():
        assert monotonic() < deadline, "the awaited state did not come"
        sleep(0.02)


@contextmanager
def gateways(settings: dict[str, object], status: int, count: int) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that have the log open, and have each written one entry; they end in good order."""
    with ExitStack() as stack:
        started = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", GATEWAY, json.dumps(settings), str(status)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for _ in range(count)
        ]
        for one in started:
            assert one.stdout is not None
            assert one.stdout.readline() == "ready\n"
        yield started
        for one in started:
            if one.poll() is None:
                one.communicate("\n", timeout=30)


def until_evaluated(path: Path) -> None:
    """Returns once whoever has the lease has evaluated all rules since the call."""

    def leases() -> object:
        return query(path, "SELECT owner, until FROM alert_leases")

    for _ in range(2):
        before = leases()
        until(lambda before=before: leases() not in (before, []))  # type: ignore[misc]  # bound now


@pytest.mark.timeout(120)
def test_four_processes_and_two_restarts_tell_once(tmp_path: Path) -> None:
    """One of them killed: whoever takes over knows what was told."""
    path = tmp_path / "log.db"
    with receiver() as hook:
        settings: dict[str, object] = {
            "db_path": str(path),
            "alerts": [{"when": "error_rate by provider > 20 % for 1s", "min_requests": 1}],
            "alert_targets": [{"name": "ops", "webhook": hook.url}],
            "alert_interval_ms": 50,
        }
        with gateways(settings, 500, 4) as started:
            until(lambda: len(hook.bodies) == 1)
            started[0].kill()
            until_evaluated(path)
        with gateways(settings, 500, 2) as started:
            until_evaluated(path)
            assert hook.events == [("fired", "groq")]
            for one in started:
                one.kill()
        execute(path, "DELETE FROM usage_buckets")
        with gateways(settings, 200, 1):
            until(lambda: len(hook.bodies) == 2)
            until_evaluated(path)
        assert hook.events == [("fired", "groq"), ("cleared", "groq")]
