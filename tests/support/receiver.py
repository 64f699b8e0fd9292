"""A real HTTP server that keeps what it is posted, and answers as it is told to."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Receiver:
    """What came, and with which status the next requests are answered."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.bodies: list[dict[str, object]] = []
        self.headers: list[dict[str, str]] = []
        self.statuses: list[int] = []
        """Statuses of the next answers; 200 when there is none left."""
        self.hold = threading.Event()
        """Answers only come while it is set."""
        self.hold.set()

    @property
    def events(self) -> list[tuple[object, object]]:
        """The event and the group of each message."""
        return [(body["event"], body["group"]) for body in self.bodies]


@contextmanager
def receiver() -> Iterator[Receiver]:
    """Listens on a free port until the end of the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            received.hold.wait(20)
            status = received.statuses.pop(0) if received.statuses else 200
            if status == 200:
                received.bodies.append(json.loads(content))
                received.headers.append(dict(self.headers.items()))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name that the class gives it
            """Prints nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    received = Receiver(f"http://127.0.0.1:{server.server_address[1]}/hook")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield received
    finally:
        received.hold.set()
        server.shutdown()
        server.server_close()
        thread.join()
