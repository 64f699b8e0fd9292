"""``python -m examples.gateway [gateway.yaml]`` serves the gateway on 127.0.0.1:4291."""

from __future__ import annotations

import sys
from pathlib import Path

import uvicorn

from chainlog_async import ChainLog, Settings
from examples.gateway.app import create_gateway
from examples.gateway.config import load_config

path = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("gateway.yaml")
uvicorn.run(create_gateway(load_config(path), ChainLog(Settings.load(path, section="chainlog"))), port=4291)
