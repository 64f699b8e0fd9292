"""Processes that are measured one after the other, round by round.

Every contender has a process of its own, so that none pays for the modules, threads and garbage of another. All of
them are started first; then each gets its turn in every round, and waits for its next one without doing anything.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Self, TypeVar

import msgspec

from benchmarks.harness.common import environment
from benchmarks.harness.releases import interpreter, module_path

T = TypeVar("T")

REPLAY_COMMIT_TIMEOUT_S = 300.0
"""Longest time for one answer, in seconds."""


class Reply(msgspec.Struct):
    """What a process says about one command."""

    value: msgspec.Raw = msgspec.Raw(b"null")
    error: str | None = None


class WorkerError(Exception):
    """The process cannot do what it was asked for; the text says why."""


class Worker:
    """A process that answers commands, one JSON line each way."""

    def __init__(self, module: str, *arguments: str, contender: str = "") -> None:
        """Starts ``python -m module arguments``, which calls `answer_commands`, with the contender's interpreter.

        Raises `WorkerError` when that is not installed.
        """
        try:
            python = interpreter(contender)
        except FileNotFoundError as error:
            raise WorkerError(str(error)) from None
        self._answers, answers = os.pipe()
        self._process = subprocess.Popen(  # noqa: S603  # our own module
            [*python, "-m", module, *arguments, str(answers)],
            stdin=subprocess.PIPE,
            pass_fds=(answers,),
            env=environment(module_path(contender)),
        )
        os.close(answers)
        self._unread = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, command: str, answer: type[T], *, patience_s: float = REPLAY_COMMIT_TIMEOUT_S) -> T:
        """Sends the command and waits for its answer. Raises `WorkerError` when the process fails or dies."""
        self.tell(command)
        return self.hear(answer, patience_s=patience_s)

    def tell(self, command: str) -> None:
        """Sends the command."""
        if self._process.stdin is None:
            raise WorkerError("the process has no input")
        try:
            self._process.stdin.write(command.encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise WorkerError(f"the process ended with status {self._process.wait()}") from None

    def hear(self, answer: type[T], *, patience_s: float = REPLAY_COMMIT_TIMEOUT_S) -> T:
        """Waits for the next answer. Raises `WorkerError`."""
        while b"\n" not in self._unread:
            readable, _, _ = select.select([self._answers], [], [], patience_s)
            if not readable:
                raise WorkerError(f"no answer within {patience_s:g} s")
            data = os.read(self._answers, 1 << 20)
            if not data:
                raise WorkerError(f"the process ended with status {self._process.wait()}")
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        reply = msgspec.json.decode(line, type=Reply)
        if reply.error is not None:
            raise WorkerError(reply.error)
        return msgspec.json.decode(reply.value, type=answer)

    def end(self, answer: type[T]) -> T:
        """Sends SIGUSR1, and waits for the last answer. Raises `WorkerError`."""
        self._process.send_signal(signal.SIGUSR1)
        return self.hear(answer)

    def close(self) -> None:
        """Ends the process, gently for a moment and then not."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._answers)


class Answers:
    """The other side, in the process."""

    def __init__(self) -> None:
        self._descriptor = int(sys.argv[-1])
        hush()

    def send(self, value: object) -> None:
        """Answers the command."""
        os.write(self._descriptor, msgspec.json.encode(Reply(value=msgspec.Raw(msgspec.json.encode(value)))) + b"\n")

    def refuse(self, error: BaseException) -> None:
        """Says why there is no answer."""
        reason = f"{type(error).__name__}: {error}"
        os.write(self._descriptor, msgspec.json.encode(Reply(error=reason)) + b"\n")


def hush() -> None:
    """What the library has to say of SQLite's version, and of entries that are given up in the end, is no news here."""
    logging.getLogger("chainlog_async").setLevel(logging.CRITICAL)


async def answer_commands(handle: Callable[[str], Awaitable[object]]) -> None:
    """Answers until there are no more commands. Between them the process stands still, and its event loop too."""
    answers = Answers()
    answers.send(True)
    while command := sys.stdin.readline().strip():
        try:
            answers.send(await handle(command))
        except Exception as error:  # noqa: BLE001  # whatever it is, the table shows it
            answers.refuse(error)
