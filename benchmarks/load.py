"""The load: a closed loop of keep-alive connections, in a process of its own, as cheap as Python can be.

``python -m benchmarks.load PORT CONNECTIONS WARMUP_S SECONDS FD``; says when it begins to count, and at the end what it
saw. It asks nobody but 127.0.0.1, and ends by itself.
"""

from __future__ import annotations

import select
import socket
import sys
from time import perf_counter

import msgspec

from .common import percentile
from .worker import Answers

BODY = (
    b'{"model": "default", "messages": [{"role": "system", "content": "You are a helpful assistant."}, '
    b'{"role": "user", "content": "Say hello."}], "max_tokens": 64}'
)
REQUEST = (
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    b"authorization: Bearer key\r\ncontent-length: %d\r\n\r\n%s" % (len(BODY), BODY)
)
ENDING = b"}}"
"""Every answer ends in this, and no other part of it does."""


class Load(msgspec.Struct):
    """What the clients saw."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    cpu_share: float
    """CPU time of this process to the time it ran: far below 1, or the load is what limits."""


class Began(msgspec.Struct):
    """The counting has begun."""

    at: float
    """`perf_counter`, in seconds."""


def run(port: int, connections: int, warmup_s: float, seconds: float, answers: Answers) -> Load:
    """Every connection sends its next request when it has its answer. Raises `OSError`."""
    from time import process_time

    poll = select.epoll()
    sockets: dict[int, socket.socket] = {}
    sent_at: dict[int, float] = {}
    for _ in range(connections):
        connection = socket.create_connection(("127.0.0.1", port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sockets[connection.fileno()] = connection
        poll.register(connection, select.EPOLLIN)
    for descriptor, connection in sockets.items():
        sent_at[descriptor] = perf_counter()
        connection.sendall(REQUEST)
    unfinished: dict[int, bytes] = {}
    latencies: list[float] = []
    begins = perf_counter() + warmup_s
    ends = begins + seconds
    cpu, began = 0.0, False
    while (now := perf_counter()) < ends:
        if not began and now >= begins:
            began, begins, ends, cpu = True, now, now + seconds, process_time()
            latencies.clear()
            answers.send(Began(begins))
        for descriptor, _ in poll.poll(1.0):
            connection = sockets[descriptor]
            data = connection.recv(65_536)
            if not data:
                raise OSError("the gateway closed a connection")
            if not data.endswith(ENDING):
                unfinished[descriptor] = unfinished.get(descriptor, b"") + data
                continue
            if not unfinished.pop(descriptor, data).startswith(b"HTTP/1.1 200"):
                raise OSError(f"the gateway answered {data[:60]!r}")
            now = perf_counter()
            latencies.append(now - sent_at[descriptor])
            sent_at[descriptor] = now
            connection.send(REQUEST)
    took = perf_counter() - begins
    cpu = process_time() - cpu
    answers.send(Began(perf_counter()))
    latencies.sort()
    return Load(
        len(latencies),
        took,
        percentile(latencies, 0.5) * 1e3,
        percentile(latencies, 0.99) * 1e3,
        percentile(latencies, 0.999) * 1e3,
        cpu / took,
    )


def main() -> None:
    """Answers once when it begins, once when it ends, and then with a `Load`."""
    port, connections, warmup_s, seconds = sys.argv[1:5]
    answers = Answers()
    try:
        answers.send(run(int(port), int(connections), float(warmup_s), float(seconds), answers))
    except (OSError, ValueError) as error:
        answers.refuse(error)


if __name__ == "__main__":
    main()
