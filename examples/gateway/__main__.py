"""``python -m examples.gateway [gateway.yaml]`` serves the gateway."""

from __future__ import annotations

import socket
import sys
from contextlib import suppress
from pathlib import Path

import uvicorn

from chainlog_async import ChainLog, Settings

from .app import create_gateway
from .config import load_config

path = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("gateway.yaml")
config = load_config(path)
gateway = create_gateway(config, ChainLog(Settings.load(path, section="chainlog")))


class Server(uvicorn.Server):
    """A uvicorn that ends the live tails of the dashboard before it waits for requests to end."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop serving."""
        gateway.state.end_streams()
        await super().shutdown(sockets)


with suppress(KeyboardInterrupt):  # uvicorn raises it again once it has stopped
    Server(uvicorn.Config(gateway, port=config.port)).run()
