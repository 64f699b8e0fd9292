"""Runs `chainlog` the way people do: as a process, in a pipe, on a terminal."""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import re
import select
import signal
import sqlite3
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from contextlib import chdir, closing
from dataclasses import dataclass
from pathlib import Path

import anyio
from click.testing import CliRunner

from chainlog_async import ChainLog
from chainlog_async.cli import chainlog
from chainlog_async.common.sqlite import MODULE_VARIABLE
from chainlog_async.entry.json_input import entry_from_mapping
from chainlog_async.settings import Settings

from .faults import bound_by_permissions
from .traces import Totals

ROOT = Path(__file__).resolve().parents[2]
DB = "observability.db"

Answer = bytes | signal.Signals | Callable[[], bytes]


def entry(**values: object) -> dict[str, object]:
    """An entry in JSON's terms."""
    return {
        "timestamp": 1_700_000_000_000,
        "chain_name": "default",
        "provider_id": "groq",
        "model": "llama-3.1-8b-instant",
        "prompt_tokens": 1200,
        "completion_tokens": 34,
        "latency_ms": 410.5,
        "http_status": 200,
        **values,
    }


def jsonl(*entries: object) -> str:
    """The entries as JSON lines."""
    return "".join(json.dumps(item) + "\n" for item in entries)


def until(condition: Callable[[], bool]) -> None:
    """Waits for a state; pytest's timeout ends the test when it never comes."""
    while not condition():
        time.sleep(0.01)


@dataclass
class Ended:
    """What a command left behind."""

    code: int
    stdout: str
    stderr: str


class Cli:
    """`chainlog` in a folder, always with the database `db` unless the arguments say otherwise."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.db = folder / DB
        self._processes: list[subprocess.Popen[bytes]] = []
        clean = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("CHAINLOG_", "COLUMNS")) or name == MODULE_VARIABLE
        }
        # Whatever genai-prices knows of a model, a test names the costs that it expects.
        clean["CHAINLOG_PRICES"] = "false"
        self._env = {**clean, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error", "TERM": "xterm-256color"}

    def run(
        self, *args: str | Path, stdin: str | bytes | None = None, db: bool = True, env: dict[str, str] | None = None
    ) -> Ended:
        """Runs a command to its end."""
        done = subprocess.run(
            self.command(*args, db=db),
            input=stdin.encode() if isinstance(stdin, str) else stdin or b"",
            capture_output=True,
            cwd=self.folder,
            env={**self._env, **(env or {})},
            check=False,
        )
        return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())

    def bound(self, *args: str | Path, stdin: str = "") -> Ended:
        """Runs a command to its end that permissions hold for, even when root runs the tests."""
        done = subprocess.run(
            bound_by_permissions(self.command(*args)),
            input=stdin.encode(),
            capture_output=True,
            cwd=self.folder,
            env=self._env,
            check=False,
        )
        return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())

    def here(
        self, *args: str | Path, stdin: str | None = None, db: bool = True, env: dict[str, str] | None = None
    ) -> Ended:
        """Runs a command in this process: starting another takes longer than most commands do.

        For what a command finds and says; how it gets on with pipes, signals and terminals is for `run` to show.
        """
        runner = CliRunner(env={**dict.fromkeys(os.environ), **self._env, **(env or {})})
        with chdir(self.folder):
            command = [*map(str, args), *self._database(db=db)]
            done = runner.invoke(chainlog, command, input=stdin, catch_exceptions=False)
        return Ended(done.exit_code, done.stdout, done.stderr)

    def json(self, *args: str | Path, db: bool = True, env: dict[str, str] | None = None) -> dict[str, object]:
        """Runs a command that must succeed with ``--json`` in this process, and returns what it printed."""
        done = self.here(*args, "--json", db=db, env=env)
        assert done.code == 0, done.stderr
        value = json.loads(done.stdout)
        assert isinstance(value, dict)
        return value

    def start(self, *args: str | Path, stdin: int | None = subprocess.PIPE, db: bool = True) -> subprocess.Popen[bytes]:
        """Starts a command and leaves it running; `end` ends it at the latest."""
        process = subprocess.Popen(
            self.command(*args, db=db),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.folder,
            env=self._env,
        )
        self._processes.append(process)
        return process

    def on_terminal(self, *args: str | Path, columns: int = 80, answer: Answer | None = None) -> tuple[int, str]:
        """Runs a command with stdout and stderr on a terminal; returns its code and all that was written to it.

        With `answer`, stdin is the terminal too, and a question is answered by typing that, what that returns, or by
        that signal.
        """
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        with io.FileIO(ours, "r+") as screen:
            process = subprocess.Popen(
                self.command(*args),
                stdin=subprocess.DEVNULL if answer is None else theirs,
                stdout=theirs,
                stderr=theirs,
                cwd=self.folder,
                env=self._env,
            )
            os.close(theirs)
            written = b""
            try:
                while chunk := screen.read(65_536):
                    written += chunk
                    if answer is not None and written.endswith(b"[y/N]: "):
                        if isinstance(answer, signal.Signals):
                            process.send_signal(answer)
                            # Python notices one that comes just before it reads only when the next one interrupts it.
                            while not select.select([screen], [], [], 0.5)[0]:
                                process.send_signal(answer)
                        else:
                            screen.write(answer if isinstance(answer, bytes) else answer())
                        answer = None
            except OSError:
                # Linux says EIO when the last process has closed the terminal.
                pass
        return process.wait(), written.decode().replace("\r\n", "\n")

    def store(self, *entries: dict[str, object]) -> None:
        """Writes entries to the database from this process, which is faster than a command."""

        async def write() -> None:
            async with ChainLog(Settings(db_path=self.db, prices=False)) as log:
                for item in entries:
                    log.submit(entry_from_mapping(item))

        anyio.run(write)

    def rows(self) -> int:
        """How many rows the database has, as another process sees it; 0 when there is none yet."""
        try:
            with closing(sqlite3.connect(f"file:{self.db}?mode=ro", uri=True)) as connection:
                (count,) = connection.execute("SELECT COUNT(*) FROM request_logs").fetchone()
        except sqlite3.OperationalError:
            return 0
        assert isinstance(count, int)
        return count

    def set(self, name: str, value: str) -> None:
        """Sets an environment variable for the commands that follow."""
        self._env[name] = value

    def sql(self, statement: str) -> None:
        """Changes the database behind its back."""
        with closing(sqlite3.connect(self.db)) as connection, connection:
            connection.execute(statement)

    def end(self) -> None:
        """Ends what is still running."""
        for process in self._processes:
            process.kill()
            process.communicate()

    def command(self, *args: str | Path, db: bool = True) -> list[str]:
        """The command line of a command, for a process that a test starts itself."""
        return [sys.executable, "-m", "chainlog_async", *map(str, args), *self._database(db=db)]

    def _database(self, *, db: bool) -> list[str]:
        return ["--db", str(self.db)] if db else []


def totals_of(cli: Cli) -> Totals:
    """The totals by provider that the database keeps."""
    providers = cli.json("usage", "providers")["providers"]
    assert isinstance(providers, list)
    return {
        row["providerId"]: (
            row["totalRequests"],
            row["totalTokens"],
            row["totalPromptTokens"],
            row["totalCompletionTokens"],
            row["lastRequestTimestamp"],
        )
        for row in providers
    }


HOSTILE = "\x1b[2J\x1b]0;owned\x07 \x9b31m \u202etxt.exe\nnext [red]line[/red]\r\t\x7f end"


HOSTILE_SHOWN = (
    r"\x1b[2J\x1b]0;owned\x07 \x9b31m \u202etxt.exe\nnext [red]line[/red]\r\t\x7f end"  # what people see instead
)


ANSI = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


def invoke(cli: Cli, *args: str) -> tuple[int, str]:
    """Runs a command in this process, which takes a tenth of the time; its code, and stdout and stderr together."""
    result = CliRunner().invoke(chainlog, [*args, "--db", str(cli.db)], prog_name="chainlog")
    return result.exit_code, result.output
