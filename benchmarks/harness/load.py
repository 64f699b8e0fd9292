"""The load generator: a closed loop of keep-alive connections in its own process, as cheap as Python allows.

``python -m benchmarks.harness.load PORT CONNECTIONS SECONDS… FD`` runs one phase per length and reports each. It only
connects to 127.0.0.1 and ends by itself.
"""

from __future__ import annotations

import select
import socket
import sys
from time import perf_counter, process_time

import msgspec

from benchmarks.harness.common import percentile
from benchmarks.harness.worker import Answers

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
    """What the clients saw in one phase."""

    requests: int
    began_at: float
    """`perf_counter`, in seconds."""
    ended_at: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    cpu_share: float
    """CPU time of this process to the time that passed: far below 1, or the load is what limits."""


class Clients:
    """The connections. Every one sends its next request when it has its answer."""

    def __init__(self, port: int, connections: int) -> None:
        """Raises `OSError`."""
        self._poll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._sent_at: dict[int, float] = {}
        self._unfinished: dict[int, bytes] = {}
        for _ in range(connections):
            connection = socket.create_connection(("127.0.0.1", port))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sockets[connection.fileno()] = connection
            self._poll.register(connection, select.EPOLLIN)
        for descriptor, connection in self._sockets.items():
            self._sent_at[descriptor] = perf_counter()
            connection.sendall(REQUEST)

    def run(self, seconds: float) -> Load:
        """Goes on for that long. Raises `OSError`."""
        latencies: list[float] = []
        began, cpu = perf_counter(), process_time()
        while (now := perf_counter()) < began + seconds:
            for descriptor, _ in self._poll.poll(1.0):
                connection = self._sockets[descriptor]
                data = connection.recv(65_536)
                if not data:
                    raise OSError("the gateway closed a connection")
                if not data.endswith(ENDING):
                    self._unfinished[descriptor] = self._unfinished.get(descriptor, b"") + data
                    continue
                if not self._unfinished.pop(descriptor, data).startswith(b"HTTP/1.1 200"):
                    raise OSError(f"the gateway answered {data[:60]!r}")
                now = perf_counter()
                latencies.append(now - self._sent_at[descriptor])
                self._sent_at[descriptor] = now
                connection.send(REQUEST)
        ended = perf_counter()
        latencies.sort()
        return Load(
            len(latencies),
            began,
            ended,
            percentile(latencies, 0.5) * 1e3,
            percentile(latencies, 0.99) * 1e3,
            percentile(latencies, 0.999) * 1e3,
            (process_time() - cpu) / (ended - began),
        )


def main() -> None:
    """Answers with a `Load` at the end of every phase; their lengths are the arguments."""
    port, connections, *phases = sys.argv[1:-1]
    answers = Answers()
    try:
        clients = Clients(int(port), int(connections))
        for seconds in phases:
            answers.send(clients.run(float(seconds)))
    except (OSError, ValueError) as error:
        answers.refuse(error)


if __name__ == "__main__":
    main()
