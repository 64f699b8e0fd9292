"""A gateway that proxies: Starlette and httpx in front of a provider on loopback, with the log and without, in turn.

That is what a gateway is, and what the saturated loops beside it are not: it has a client, a server and an event loop
that wait for each other. `python -m benchmarks.suites.proxying` needs httpx and a quiet machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from statistics import median

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from benchmarks.harness.common import folder, say
from chainlog_async import ChainLog, RequestLogEntry
from chainlog_async.settings import Settings

PATH = "/v1/chat/completions"
CLIENTS = 32
PARTS = 20
"""Events of a streamed answer."""

PHASE_S = 2.0

USAGE = {"prompt_tokens": 120, "completion_tokens": 35, "total_tokens": 155}
ANSWER = json.dumps({"id": "x", "choices": [{"message": {"content": "word " * 50}}], "usage": USAGE}).encode()
EVENT = b"data: " + json.dumps({"choices": [{"delta": {"content": "word "}}]}).encode() + b"\n\n"


def listen() -> socket.socket:
    """A socket that processes can share."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=256)
    listening.set_inheritable(True)
    return listening


def serve(app: Starlette, listening: socket.socket) -> None:
    """Runs uvicorn until it is ended."""
    config = uvicorn.Config(app, fd=listening.fileno(), log_level="error", access_log=False, loop="asyncio")
    asyncio.run(uvicorn.Server(config).serve())


def run_provider(listening: socket.socket) -> None:
    """Answers at once, as JSON or in parts."""

    async def answer(request: Request) -> Response:
        if b'"stream": true' in await request.body():

            async def parts() -> AsyncIterator[bytes]:
                for _ in range(PARTS):
                    yield EVENT

            return StreamingResponse(parts(), media_type="text/event-stream")
        return Response(ANSWER, media_type="application/json")

    serve(Starlette(routes=[Route(PATH, answer, methods=["POST"])]), listening)


def run_gateway(
    listening: socket.socket, provider: int, db_path: Path, logs: Synchronized[int], answered: Synchronized[int]
) -> None:
    """Passes requests on and answers back; logs each while it is told to."""
    chainlog = ChainLog(Settings(db_path=db_path))
    clients: list[httpx.AsyncClient] = []

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        limits = httpx.Limits(max_connections=2 * CLIENTS, max_keepalive_connections=2 * CLIENTS)
        async with chainlog, httpx.AsyncClient(base_url=f"http://127.0.0.1:{provider}", limits=limits) as client:
            clients.append(client)
            yield

    def log(began: float, *, streamed: bool) -> None:
        answered.value += 1
        if logs.value:
            chainlog.log_request(
                RequestLogEntry(
                    chain_name="default",
                    provider_id="provider",
                    model="model",
                    prompt_tokens=USAGE["prompt_tokens"],
                    completion_tokens=USAGE["completion_tokens"],
                    latency_ms=1_000 * (time.perf_counter() - began),
                    http_status=200,
                    streamed=streamed,
                )
            )

    async def proxy(request: Request) -> Response:
        began = time.perf_counter()
        body = await request.body()
        if b'"stream": true' not in body:
            found = await clients[0].post(PATH, content=body)
            log(began, streamed=False)
            return Response(found.content, media_type="application/json")
        sending = clients[0].build_request("POST", PATH, content=body)
        reply = await clients[0].send(sending, stream=True)

        async def parts() -> AsyncIterator[bytes]:
            async for part in reply.aiter_raw():
                yield part
            await reply.aclose()
            log(began, streamed=True)

        return StreamingResponse(parts(), media_type="text/event-stream")

    serve(Starlette(routes=[Route(PATH, proxy, methods=["POST"])], lifespan=lifespan), listening)


def run_clients(port: int, stream: bool) -> None:
    """Asks without a pause, over connections that stay open."""
    body = json.dumps({"model": "model", "stream": stream, "messages": [{"role": "user", "content": "hello"}]}).encode()
    head = f"POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    question = head.encode() + body

    async def ask() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while True:
            writer.write(question)
            answer = (await reader.readuntil(b"\r\n\r\n")).lower()
            if b"chunked" in answer:
                await reader.readuntil(b"0\r\n\r\n")
            else:
                await reader.readexactly(int(answer.split(b"content-length: ")[1].split(b"\r\n")[0]))

    async def ask_all() -> None:
        await asyncio.gather(*[ask() for _ in range(CLIENTS)])

    asyncio.run(ask_all())


def cpu_s(pid: int | None) -> float:
    """CPU time of that process so far, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(*, workers: int, stream: bool, rounds: int, home: Path) -> None:
    """Prints what requests/s and CPU are kept with the log."""
    spawn = multiprocessing.get_context("fork")
    provider, gateway = listen(), listen()
    logs = spawn.Value("i", 0)
    counts = [spawn.Value("q", 0) for _ in range(workers)]
    port = provider.getsockname()[1]
    db_path = home / f"{workers}-{stream}.db"
    processes = [spawn.Process(target=run_provider, args=(provider,), daemon=True)]
    gateways = [
        spawn.Process(target=run_gateway, args=(gateway, port, db_path, logs, count), daemon=True) for count in counts
    ]
    processes += [*gateways, spawn.Process(target=run_clients, args=(gateway.getsockname()[1], stream), daemon=True)]
    for process in processes:
        process.start()
        time.sleep(1)
    try:

        def cpu_of_gateways() -> float:
            return sum(cpu_s(process.pid) for process in gateways)

        def phase(is_logged: int) -> tuple[float, float]:
            logs.value = is_logged
            time.sleep(0.3)
            before, cpu_before, began = sum(one.value for one in counts), cpu_of_gateways(), time.perf_counter()
            time.sleep(PHASE_S)
            done = sum(one.value for one in counts) - before
            return done / (time.perf_counter() - began), (cpu_of_gateways() - cpu_before) / max(done, 1)

        pairs = [(phase(0), phase(1)) for _ in range(rounds)]
    finally:
        # The clients first: they would complain.
        for process in reversed(processes):
            process.kill()
            process.join()
    kept = median(on[0] / off[0] for off, on in pairs)
    by_cpu = median(off[1] / on[1] for off, on in pairs)
    name = f"{'streamed' if stream else 'whole'} answers, {workers} worker{'s' if workers > 1 else ''}"
    say(f"{name:28} {median(off[0] for off, _ in pairs):6.0f} requests/s, kept {kept:.3f}, by CPU {by_cpu:.3f}")


def main() -> None:
    """All four."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    with folder() as home:
        for workers in (1, 2):
            for stream in (False, True):
                measure(workers=workers, stream=stream, rounds=rounds, home=home)


if __name__ == "__main__":
    main()
