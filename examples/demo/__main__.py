"""``python -m examples.demo`` or ``make demo``: runs providers, gateway and clients in one process until Ctrl-C."""

from __future__ import annotations

import argparse
import random
import signal
import socket
import sys
from functools import partial
from pathlib import Path

import anyio
import msgspec

from chainlog_async import ChainLog, Settings
from examples.gateway.app import create_gateway
from examples.gateway.config import Config, load_config

from .load import generate_load
from .serving import listening, serving
from .simulated import Behaviour, simulated_providers

FILE = Path(__file__).with_name("demo.yaml")


class Simulation(msgspec.Struct):
    """The part of demo.yaml that only the demo reads."""

    simulated: dict[str, Behaviour]


async def main(gateway_socket: socket.socket, *, per_s: float, db_path: Path | None) -> None:
    """Run everything until SIGINT or SIGTERM."""
    chance = random.Random()
    behaviours = msgspec.yaml.decode(FILE.read_bytes(), type=Simulation).simulated
    settings = Settings.load(FILE, section="chainlog", **({"db_path": db_path} if db_path else {}))
    config = load_config(FILE)
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals, listening() as providers_socket:
        async with serving(simulated_providers(behaviours, chance), providers_socket) as providers_url:
            gateway = create_gateway(simulated_config(config, providers_url), ChainLog(settings))
            async with serving(gateway, gateway_socket) as url, anyio.create_task_group() as tasks:
                print(f"The dashboard  {url}/chainlog/")
                print(f"The gateway    {url}/v1  (key {next(iter(config.callers))}, models {', '.join(config.chains)})")
                print(f"The log        {settings.db_path}\nCtrl-C ends it.", flush=True)
                keys, models = list(config.callers), list(config.chains)
                tasks.start_soon(partial(generate_load, url, keys=keys, models=models, per_s=per_s, chance=chance))
                async for _signal in signals:
                    break
                tasks.cancel_scope.cancel()
                gateway.state.end_streams()


def simulated_config(config: Config, providers_url: str) -> Config:
    """Return the config with the URL of every provider replaced by that of the simulation."""
    moved = {
        name: msgspec.structs.replace(provider, base_url=f"{providers_url}/{name}/v1")
        for name, provider in config.providers.items()
    }
    return msgspec.structs.replace(config, providers=moved)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--port", type=int, default=4291, help="port of the gateway (default: 4291; 0: any free port)")
    parser.add_argument("--per-s", type=float, default=8.0, help="average requests per second (default: 8)")
    parser.add_argument("--db", type=Path, help="the database (default: ./data/demo.db)")
    given = parser.parse_args()
    try:
        listener = listening(given.port)
    except OSError as error:
        sys.exit(f"cannot listen on port {given.port} ({error.strerror}); try: make demo DEMO_ARGS='--port 0'")
    with listener:
        anyio.run(partial(main, listener, per_s=given.per_s, db_path=given.db))
