"""docs/tutorial.md, followed from its first step to its last in an empty folder.

A comment above a block says what to do with it: ``save: FILE``, ``append: FILE``, ``serve: URL`` (a server that runs
until the next one is started), ``kill`` (of that server), ``prints: TEXT`` (for commands whose output has this text).
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from .blocks import ROOT, Block, blocks_of

TUTORIAL = ROOT / "docs" / "tutorial.md"
BIN = Path(sys.executable).parent
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("CHAINLOG_")} | {
    "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
}


class Server:
    """The server of the tutorial, on a port of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[str] | None = None
        self.url = ""

    def start(self, command: str) -> None:
        """Stops the last one as Ctrl-C does, and starts this one."""
        self.stop(signal.SIGINT)
        self._process = subprocess.Popen(
            ["sh", "-c", f"exec {re.sub(r'--port [0-9]+', '--port 0', command.strip())}"],
            cwd=self._folder,
            env=ENVIRONMENT,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stderr is not None
        said = ""
        for line in self._process.stderr:
            said += line
            if running := re.search(r"Uvicorn running on (\S+)", line):
                self.url = running[1]
                return
        raise AssertionError(said)

    def wait_until_logged(self) -> None:
        """Returns when a request was logged: that comes a moment after its client has the answer."""
        while not httpx.get(f"{self.url}/log/v1/statistics").json()["submitted"]:
            pass

    def stop(self, number: signal.Signals) -> None:
        """Ends it."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.communicate()
            self._process = None


@contextmanager
def server_in(folder: Path) -> Iterator[Server]:
    """A server that is ended, whatever happens."""
    server = Server(folder)
    try:
        yield server
    finally:
        server.stop(signal.SIGKILL)


def run(block: Block, folder: Path, server: Server) -> str:
    """Runs the commands of a block. Returns what they print."""
    command = re.sub(r"http://127\.0\.0\.1:[0-9]+", server.url, block.text)
    command = command.replace("curl ", "curl --silent --show-error --noproxy '*' ")
    done = subprocess.run(
        ["sh", "-ec", command], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, (str(block), done.stderr)
    return done.stdout


@pytest.mark.timeout(180)
def test_each_step_does_what_it_says(tmp_path: Path) -> None:
    """Files are saved, servers started and commands run as they stand, but for the port."""
    with server_in(tmp_path) as server:
        for block in blocks_of(TUTORIAL):
            what, _, value = block.comment.partition(": ")
            match what:
                case "not run":
                    pass
                case "save":
                    (tmp_path / value).write_text(block.text, "utf-8")
                case "append":
                    with (tmp_path / value).open("a", encoding="utf-8") as file:
                        file.write(block.text)
                case "serve":
                    server.start(block.text)
                case "kill":
                    server.wait_until_logged()
                    server.stop(signal.SIGKILL)
                case "prints":
                    assert value in run(block, tmp_path, server), str(block)
                case _:
                    assert block.language == "sh", str(block)
                    run(block, tmp_path, server)
