"""The gateway process whose event loop is saturated: uvicorn, or a loop of plain Python that is never idle.

``python -m benchmarks.harness.gateway KIND LOOP STRATEGY FOLDER FD``. KIND is "uvicorn", or the number up to which the
plain loop counts per request. The process answers with its port, and at the end with a `Report`.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from importlib import import_module
from mmap import mmap
from pathlib import Path
from time import time_ns
from typing import Any

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from benchmarks.contenders.gateway_logging import STRATEGIES, Probe, Strategy, probing
from benchmarks.harness.common import Row, sample_rows
from benchmarks.harness.counting import count_up
from benchmarks.harness.databases import make_database
from benchmarks.harness.worker import Answers

CLIENTS = 50
"""Tasks of the plain loop."""


class Report(msgspec.Struct):
    """What the process knows at the end."""

    probes: list[Probe]
    statistics: dict[str, Any] | None
    """This library's, where it is the strategy."""


class Board:
    """Numbers that this process and the one that measures it both see, at any time and without asking."""

    SIZE = 24

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._map = mmap(file.fileno(), self.SIZE)
        self._cells = memoryview(self._map).cast("Q")

    @property
    def requests(self) -> int:
        """Requests answered so far, logged or not."""
        return self._cells[0]

    @property
    def offered(self) -> int:
        """Records offered to the strategy so far."""
        return self._cells[1]

    @property
    def is_logging(self) -> bool:
        """Whether requests are logged: at first they are not, which is what the rest is compared with."""
        return bool(self._cells[2])

    def begin_logging(self) -> None:
        """From now on they are."""
        self._cells[2] = 1

    def log(self, strategy: Strategy, row: Row) -> None:
        """One more request was answered."""
        cells = self._cells
        cells[0] += 1
        if cells[2]:
            strategy.log(row)
            cells[1] += 1


class Gateway:
    """Answers chat completions and logs each: what a gateway does besides waiting for a provider."""

    def __init__(self, strategy: Strategy, board: Board) -> None:
        self._strategy = strategy
        self._board = board
        self._rows = sample_rows(1_000)
        self._number = 0
        self.app = Starlette(routes=[Route("/v1/chat/completions", self._complete, methods=["POST"])])

    async def _complete(self, request: Request) -> Response:
        asked = await request.json()
        if request.headers.get("authorization") != "Bearer key":
            return JSONResponse({"error": {"message": "who are you?"}}, 401)
        self._number += 1
        row = (time_ns() // 1_000_000, *self._rows[self._number % len(self._rows)][1:])
        answer = json.loads(_PROVIDERS_ANSWER)
        answer["id"] = f"chatcmpl-{self._number}"
        answer["model"] = asked["model"]
        answer["usage"] = {"prompt_tokens": row[4], "completion_tokens": row[5], "total_tokens": row[6]}
        self._board.log(self._strategy, row)
        return JSONResponse(answer, headers={"x-provider": row[2]})


_PROVIDERS_ANSWER = json.dumps(
    {
        "id": "chatcmpl-0",
        "object": "chat.completion",
        "created": 1_772_000_000,
        "model": "model",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello! How can I help you today? " * 30},
                "finish_reason": "stop",
            }
        ],
        "usage": {},
    }
).encode()


async def serve(strategy: Strategy, board: Board, answers: Answers) -> None:
    """Answers with the port, then serves the gateway until the process ends."""

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            answers.send(self.servers[0].sockets[0].getsockname()[1])

    # uvicorn makes the socket itself: on one of socket.create_server, asyncio would leave Nagle's algorithm on. Its
    # parser is the one that a plain installation has.
    app = Gateway(strategy, board).app
    config = uvicorn.Config(app, port=0, http="h11", lifespan="off", log_level="warning", access_log=False)
    await Server(config).serve()


async def _spin(strategy: Strategy, board: Board, answers: Answers, work: int) -> None:
    """Clients that count for a while per request, in four slices."""
    rows = sample_rows(1_000)

    async def client() -> None:
        while True:
            for _ in range(4):
                count_up(work // 4)
                await asyncio.sleep(0)
            row = rows[board.requests % len(rows)]
            board.log(strategy, (time_ns() // 1_000_000, *row[1:]))

    answers.send(0)
    await asyncio.gather(*[client() for _ in range(CLIENTS)])


async def _main(kind: str, strategy_name: str, path: Path, answers: Answers) -> None:
    board = Board(path / "board")
    await make_database(path / "log.db")
    strategy = STRATEGIES[strategy_name](path / "log.db")
    await strategy.open()
    probes: list[Probe] = []

    def report() -> None:
        statistics = strategy.statistics()
        answers.send(Report(probes, None if statistics is None else msgspec.to_builtins(statistics)))
        # What a slow strategy still has in hand would take minutes, and has been counted already.
        os._exit(0)

    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, report)
    async with probing(probes):
        if kind == "uvicorn":
            await serve(strategy, board, answers)
        else:
            await _spin(strategy, board, answers, int(kind))


def main() -> None:
    """Runs until SIGUSR1."""
    kind, loop, strategy, path = sys.argv[1:5]
    answers = Answers()
    try:
        factory = import_module("uvloop").new_event_loop if loop == "uvloop" else asyncio.new_event_loop
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(_main(kind, strategy, Path(path), answers))
    except Exception as error:  # noqa: BLE001  # the table shows it
        answers.refuse(error)


if __name__ == "__main__":
    main()
