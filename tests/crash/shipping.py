"""Three hosts that ship to a server over HTTP, and either side is killed at any moment."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import httpx  # noqa: F401  # loaded here once, and not by each child

from chainlog_async.server import serve
from chainlog_async.settings import Settings

from .life import Plan, count_acks, log_until_killed, recover, start
from .scenario import Scenario
from .verify import verify

HOSTS = 3
ROUND = 20
"""After so many kills everything is ended, carried on and counted."""

SERVER_SHARE = 0.35
"""Share of the kills that the server gets."""


@dataclass(frozen=True)
class Gateway:
    """One life on a host."""

    child: int
    acks: Path

    def wait_for_life(self) -> None:
        """Returns when it has logged something, or after ten seconds."""
        deadline = time.monotonic() + 10
        while not count_acks(self.acks) and time.monotonic() < deadline:
            time.sleep(0.01)


class Shipping(Scenario):
    """A server, and hosts whose journals are in folders of their own."""

    server = 0
    port = 0

    def plan_of(self, host: int) -> Plan:
        """What a gateway on that host is for: some hundred entries per second, so that the server keeps up."""
        url = f"http://127.0.0.1:{self.port}"
        path = self.plan.db_path.with_name(f"host{host}") / "log.db"
        return replace(self.plan, db_path=path, burst=20, pause_s=0.01, settings={**self.plan.settings, "db_url": url})

    def begin_on(self, host: int) -> Gateway:
        """Forks a gateway."""
        self.born += 1
        name, plan = f"life{self.born:05d}", self.plan_of(host).writing(self.ways[self.born % len(self.ways)])
        return Gateway(start(lambda: asyncio.run(log_until_killed(plan, name))), self.plan.acks / name)

    def begin_server(self) -> None:
        """Forks the server, on the port that it had before."""
        if not self.port:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                self.port = free.getsockname()[1]
        settings = Settings(db_path=self.plan.db_path, server={"port": self.port})
        self.server = start(lambda: asyncio.run(_serve(settings)))

    def carry_on(self) -> None:
        """Lets a start on every host go through, and looks at what the server has then."""
        recoveries = [start(partial(_recover, self.plan_of(host))) for host in range(HOSTS)]
        for child in recoveries:
            if code := os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
                self.result.problems.append(f"a recovery ended with {code}")
        self.end_server()
        self.take(verify(self.plan.db_path, self.plan.acks))

    def end_server(self) -> None:
        """It drains."""
        os.kill(self.server, signal.SIGTERM)
        if code := os.waitstatus_to_exitcode(os.waitpid(self.server, 0)[1]):
            self.result.problems.append(f"the server ended with {code}")
        self.server = 0

    def recover(self) -> None:
        """All rounds end with that."""


def _recover(plan: Plan) -> None:
    asyncio.run(recover(plan))


async def _serve(settings: Settings) -> None:
    await serve(settings)


def shipping(scenario: Scenario, kills: int) -> None:
    """A gateway or the server, whichever the dice say; each is started again."""
    assert isinstance(scenario, Shipping)
    while scenario.result.kills < kills:
        scenario.begin_server()
        gateways = {host: scenario.begin_on(host) for host in range(HOSTS)}
        until = min(scenario.result.kills + ROUND, kills)
        while scenario.result.kills < until:
            time.sleep(random.expovariate(1 / 0.3))
            if random.random() < SERVER_SHARE:
                scenario.kill(scenario.server)
                time.sleep(random.choice([0, random.uniform(0, 1)]))
                scenario.begin_server()
            else:
                host = random.randrange(HOSTS)
                if random.random() < 0.8:
                    gateways[host].wait_for_life()
                scenario.kill(gateways[host].child)
                gateways[host] = scenario.begin_on(host)
        for gateway in gateways.values():
            scenario.kill(gateway.child)
        scenario.carry_on()
