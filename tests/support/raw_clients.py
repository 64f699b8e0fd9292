"""Clients that keep to the protocol no more than they want to: sockets, of which some are never read."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager

import anyio
import httpx
from anyio.abc import SocketStream
from prometheus_client.parser import text_string_to_metric_families

WATCH = b"GET /v1/requests/stream HTTP/1.1\r\nHost: localhost\r\n\r\n"


@asynccontextmanager
async def connected(client: httpx.AsyncClient, sent: bytes = b"") -> AsyncIterator[SocketStream]:
    """A connection to the service that the client talks to, on which these bytes have been sent."""
    async with await anyio.connect_tcp(client.base_url.host, client.base_url.port or 0) as stream:
        if sent:
            await stream.send(sent)
        yield stream


async def rest_of(stream: SocketStream) -> bytes:
    """What still comes until the service closes the connection."""
    received = b""
    try:
        while True:
            received += await stream.receive()
    except (anyio.EndOfStream, anyio.BrokenResourceError):
        return received


def deaf(url: httpx.URL, count: int, sent: bytes) -> ExitStack:
    """Connections whose clients have sent these bytes, and read nothing; closing the stack closes them."""
    with ExitStack() as connections:
        for _ in range(count):
            connection = connections.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect((url.host, url.port or 0))
            connection.sendall(sent)
        return connections.pop_all()


async def samples(client: httpx.AsyncClient) -> dict[str, float]:
    """The metrics of the service, by name and label."""
    text = (await client.get("/metrics?collect=process")).text
    return {
        " ".join((sample.name.removeprefix("chainlog_http_"), *sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith("chainlog_http_")
    }


async def reached(client: httpx.AsyncClient, **expected: float) -> dict[str, float]:
    """Wait until the metrics have these values, named with an underscore for each space, and return all of them."""
    while True:
        told = await samples(client)
        by_name = {name.replace(" ", "_"): value for name, value in told.items()}
        if all(by_name[name] == value for name, value in expected.items()):
            return by_name
        await anyio.sleep(0.01)
