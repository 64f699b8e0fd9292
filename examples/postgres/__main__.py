"""`make run-postgres`: a PostgreSQL of its own under ./data/postgres, and the service on it until it is stopped."""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
from pathlib import Path

from .server import NoPostgresError, PostgresServer


def main() -> int:
    """Returns the exit code of `chainlog serve`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("data/postgres"), help="where the server's files are")
    parser.add_argument("--pg-port", type=int, default=5439, help="port of the server on 127.0.0.1; 0 takes a free one")
    options, for_the_service = parser.parse_known_args()
    try:
        server = PostgresServer(options.folder, port=options.pg_port)
        server.create()
        if not server.is_running():
            server.start()
    except (NoPostgresError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"PostgreSQL ({server.binaries}) listens on {server.url()}\n")
    sys.stdout.flush()
    command = [sys.executable, "-m", "chainlog_async", "serve", "--db-url", server.url(), *for_the_service]
    # Ctrl-C reaches the service as well, which drains; the server is stopped after it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with subprocess.Popen(command, preexec_fn=_with_ctrl_c) as service:  # noqa: S603, PLW1509  # our own program; there are no threads
            signal.signal(signal.SIGTERM, lambda *_: service.terminate())
            return service.wait()
    finally:
        server.stop()


def _with_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)


if __name__ == "__main__":
    sys.exit(main())
