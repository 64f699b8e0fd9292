"""The process whose event loop is saturated: a gateway under uvicorn, or a loop of plain Python that is never idle.

``python -m benchmarks.subject KIND LOOP STRATEGY FOLDER FD``; answers with its port, and at the end with a `Report`.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from importlib import import_module
from mmap import mmap
from pathlib import Path
from time import perf_counter, time_ns
from typing import Any

import msgspec

from .common import Row, sample_rows
from .databases import make_database
from .strategies import STRATEGIES, Probe, Strategy, probing
from .worker import Answers

CLIENTS = 50
"""Tasks of the plain loop."""

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]


class Report(msgspec.Struct):
    """What the process knows at the end."""

    probes: list[Probe]
    statistics: dict[str, Any] | None
    """This library's, where it is the strategy."""


class Counter:
    """How many records were offered, for another process to read at any time."""

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._map = mmap(file.fileno(), 8)
        self._cells = memoryview(self._map).cast("Q")

    def add_one(self) -> None:
        """One more was offered."""
        self._cells[0] += 1

    @property
    def value(self) -> int:
        """How many so far."""
        return self._cells[0]


class Gateway:
    """An ASGI app that answers chat completions and logs each: what a gateway does besides waiting for a provider."""

    def __init__(self, strategy: Strategy, counter: Counter) -> None:
        self._strategy = strategy
        self._counter = counter
        self._rows = sample_rows(1_000)
        self._number = 0

    async def __call__(
        self, scope: Scope, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        if scope["type"] != "http":
            raise AssertionError("the lifespan is off, and there are no websockets")
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        request = json.loads(body)
        row = self._next_row()
        answer = json.dumps(
            {
                "id": f"chatcmpl-{self._number}",
                "object": "chat.completion",
                "created": row[0] // 1_000,
                "model": request["model"],
                "choices": [
                    {"index": 0, "message": {"role": "assistant", "content": "Hello!"}, "finish_reason": "stop"}
                ],
                "usage": {"prompt_tokens": row[4], "completion_tokens": row[5], "total_tokens": row[6]},
            }
        ).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})
        self._strategy.log(row)
        self._counter.add_one()

    def _next_row(self) -> Row:
        self._number += 1
        return (time_ns() // 1_000_000, *self._rows[self._number % len(self._rows)][1:])


async def _serve(strategy: Strategy, counter: Counter, answers: Answers) -> None:
    uvicorn = import_module("uvicorn")
    listening = socket.create_server(("127.0.0.1", 0), backlog=256)
    config = uvicorn.Config(Gateway(strategy, counter), lifespan="off", log_level="warning", access_log=False)
    answers.send(listening.getsockname()[1])
    await uvicorn.Server(config).serve(sockets=[listening])


async def _spin(strategy: Strategy, counter: Counter, answers: Answers) -> None:
    """Clients that work for 50 µs per request, in four slices."""
    rows = sample_rows(1_000)
    slice_s = 50e-6 / 4

    async def client() -> None:
        while True:
            for _ in range(4):
                until = perf_counter() + slice_s
                while perf_counter() < until:
                    pass
                await asyncio.sleep(0)
            row = rows[counter.value % len(rows)]
            strategy.log((time_ns() // 1_000_000, *row[1:]))
            counter.add_one()

    answers.send(0)
    await asyncio.gather(*[client() for _ in range(CLIENTS)])


async def _main(kind: str, strategy_name: str, path: Path, answers: Answers) -> None:
    counter = Counter(path / "offered")
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
        await (_serve if kind == "uvicorn" else _spin)(strategy, counter, answers)


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
