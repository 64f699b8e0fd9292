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
from array import array
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from multiprocessing.connection import Connection
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

import httpx
import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from benchmarks.harness.common import FULL, QUICK, Effort, Spread, folder, percentile, ratios, say
from benchmarks.harness.worker import WorkerError
from chainlog_async import ChainLog, RequestLogEntry
from chainlog_async.settings import Settings

PATH = "/v1/chat/completions"
CLIENTS = 32
PATIENCE_S = 60
"""How long the gateways may take to warm up, in seconds."""

PARTS = 20
"""Events of a streamed answer."""

WARMED_UP_AFTER = 200
"""Answers of each gateway before anything is measured."""

SETTLE_S = 0.3
PHASE_S = 1.5

USAGE = {"prompt_tokens": 120, "completion_tokens": 35, "total_tokens": 155}
ANSWER = json.dumps({"id": "x", "choices": [{"message": {"content": "word " * 50}}], "usage": USAGE}).encode()
EVENT = b"data: " + json.dumps({"choices": [{"delta": {"content": "word "}}]}).encode() + b"\n\n"


class Proxying(msgspec.Struct):
    """One kind of gateway; ratios are those of a phase with the log to the phase without it just before."""

    name: str
    requests_per_s: Spread
    """Without the log."""
    kept: Spread
    by_cpu: Spread
    p99_ms: Spread
    latency_ratio: Spread
    """Of the 99th percentiles of the time that a client waits for an answer."""


class Phase(msgspec.Struct):
    """What was counted in one phase."""

    requests_per_s: float
    cpu_per_request: float
    began_at: float
    """`perf_counter`, in seconds."""
    ended_at: float


def listen(port: int = 0) -> socket.socket:
    """A socket for a child, on any port or beside another one: the kernel spreads connections over those of one port.

    Of a socket that two workers share, the first to wake up would accept every connection that is waiting.
    """
    listening = socket.create_server(("127.0.0.1", port), backlog=256, reuse_port=True)
    listening.set_inheritable(True)
    return listening


def serve(app: Starlette, listening: socket.socket) -> None:
    """Runs uvicorn until it is ended."""
    config = uvicorn.Config(
        app, fd=listening.fileno(), log_level="error", access_log=False, loop="asyncio", timeout_keep_alive=60
    )
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


def run_clients(port: int, stream: bool, ends: Synchronized[int], found: Connection) -> None:
    """Asks without a pause, over connections that stay open; at the end, tells when each answer came and how late."""
    times = array("d")
    body = json.dumps({"model": "model", "stream": stream, "messages": [{"role": "user", "content": "hello"}]}).encode()
    head = f"POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    question = head.encode() + body

    async def ask() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while not ends.value:
            began = time.perf_counter()
            writer.write(question)
            answer = (await reader.readuntil(b"\r\n\r\n")).lower()
            if b"chunked" in answer:
                await reader.readuntil(b"0\r\n\r\n")
            else:
                await reader.readexactly(int(answer.split(b"content-length: ")[1].split(b"\r\n")[0]))
            now = time.perf_counter()
            times.extend((now, now - began))

    async def ask_all() -> None:
        await asyncio.gather(*[ask() for _ in range(CLIENTS)])
        found.send_bytes(times.tobytes())
        # With the connections open until this is killed, or the gateways would complain.
        await asyncio.Event().wait()

    asyncio.run(ask_all())


def cpu_s(pid: int | None) -> float:
    """CPU time of that process so far, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run(effort: Effort) -> list[Proxying]:
    """Whole answers and streamed ones, by one worker and by two."""
    found: list[Proxying] = []
    with folder() as home:
        for workers in (1,) if effort.quick else (1, 2):
            for stream in (False, True):
                try:
                    one = measure(workers=workers, stream=stream, rounds=2 * effort.rounds, home=home)
                except WorkerError as error:
                    say(f"  not measured: {error}")
                else:
                    found.append(one)
    return found


def measure(*, workers: int, stream: bool, rounds: int, home: Path) -> Proxying:
    """Runs one kind of gateway, with the log and without in turn."""
    name = f"{'streamed' if stream else 'whole'} answers, {workers} worker{'s' if workers > 1 else ''}"
    say(f"  a gateway that proxies: {name}")
    spawn = multiprocessing.get_context("fork")
    provider, sockets = listen(), [listen()]
    gateway_port = sockets[0].getsockname()[1]
    sockets += [listen(gateway_port) for _ in range(1, workers)]
    logs, ends = spawn.Value("i", 0), spawn.Value("i", 0)
    counts = [spawn.Value("q", 0) for _ in range(workers)]
    port = provider.getsockname()[1]
    db_path = home / f"{workers}-{stream}.db"
    times, sender = spawn.Pipe(duplex=False)
    asked = (gateway_port, stream, ends, sender)
    clients = spawn.Process(target=run_clients, args=asked, daemon=True)
    gateways = [
        spawn.Process(target=run_gateway, args=(listening, port, db_path, logs, count), daemon=True)
        for listening, count in zip(sockets, counts, strict=True)
    ]
    processes = [spawn.Process(target=run_provider, args=(provider,), daemon=True), *gateways, clients]
    for process in processes:
        process.start()
    try:
        # Every gateway has its modules in memory, and its connections.
        patient_until = time.monotonic() + PATIENCE_S
        while min(one.value for one in counts) < WARMED_UP_AFTER:
            if not all(process.is_alive() for process in processes) or time.monotonic() > patient_until:
                raise WorkerError(
                    f"{name}: {WARMED_UP_AFTER} answers of each gateway did not come within {PATIENCE_S} s"
                )
            time.sleep(0.05)

        def cpu_of_gateways() -> float:
            return sum(cpu_s(process.pid) for process in gateways)

        def phase(is_logged: int) -> Phase:
            logs.value = is_logged
            time.sleep(SETTLE_S)
            before, cpu_before, began = sum(one.value for one in counts), cpu_of_gateways(), time.perf_counter()
            time.sleep(PHASE_S)
            done, cpu, ended = sum(one.value for one in counts) - before, cpu_of_gateways(), time.perf_counter()
            return Phase(done / (ended - began), (cpu - cpu_before) / max(done, 1), began, ended)

        pairs = [(phase(0), phase(1)) for _ in range(rounds)]
        ends.value = 1
        answers = array("d", times.recv_bytes())
    finally:
        # The clients first: they would complain.
        for process in reversed(processes):
            process.kill()
            process.join()
        for listening in (provider, *sockets):
            listening.close()
    return _result(name, pairs, list(zip(answers[::2], answers[1::2], strict=True)))


def _result(name: str, pairs: Sequence[tuple[Phase, Phase]], answers: Sequence[tuple[float, float]]) -> Proxying:
    """From the phases, and from when each answer came and how late."""

    def p99_ms(phase: Phase) -> float:
        late = sorted(took for at, took in answers if phase.began_at <= at <= phase.ended_at)
        return 1e3 * percentile(late, 0.99)

    off, on = [one for one, _ in pairs], [one for _, one in pairs]
    p99_off, p99_on = [p99_ms(one) for one in off], [p99_ms(one) for one in on]
    return Proxying(
        name,
        requests_per_s=Spread.of([one.requests_per_s for one in off]),
        kept=ratios([one.requests_per_s for one in on], [one.requests_per_s for one in off]),
        by_cpu=ratios([one.cpu_per_request for one in off], [one.cpu_per_request for one in on]),
        p99_ms=Spread.of(p99_on),
        latency_ratio=ratios(p99_on, p99_off),
    )


def main() -> None:
    """All four, or two of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one worker only, and few rounds")
    for one in run(QUICK if parser.parse_args().quick else FULL):
        rate, kept, by_cpu = one.requests_per_s.median, one.kept.median, one.by_cpu.median
        late = f"p99 {one.p99_ms.median:.1f} ms, {one.latency_ratio.median:.3f} x"
        say(f"{one.name:28} {rate:6.0f} requests/s, kept {kept:.3f}, by CPU {by_cpu:.3f}, {late}")


if __name__ == "__main__":
    main()
