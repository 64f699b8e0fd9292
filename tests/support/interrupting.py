"""Interrupts work at its first, second, third … step, until it runs through."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from dataclasses import dataclass
from typing import Generic, Literal, ParamSpec, TypeVar

import aiosqlite
import anyio
import pytest

from . import effort

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

How = Literal["scope", "task", "task after the answer", "task again and again"]
"""How work is cancelled: by anyio's `CancelScope`, or by `Task.cancel`: while an answer is awaited, when it has just
come and nobody has looked at it, or at that step and every later one."""

HOWS: tuple[How, ...] = ("scope", "task", "task after the answer", "task again and again")


class Steps:
    """Counts the steps of some work and does something at one of them.

    A step is a suspension of the task, or a statement, in whichever task it is awaited.
    """

    def __init__(self, at: int, action: Callable[[], object], *, late: bool = False, again: bool = False) -> None:
        self.at = at
        self.action = action
        self.late = late
        self.again = again
        self.count = 0

    @property
    def reached(self) -> bool:
        """Whether the work got as far as the step."""
        return self.count >= self.at

    def advance(self, answer: asyncio.Future[object] | None = None) -> None:
        """Counts one more step, whose answer will be there when the future is done."""
        self.count += 1
        if self.count == self.at or (self.again and self.reached):
            if self.late and answer is not None:
                answer.add_done_callback(lambda _: self.action())
            else:
                self.action()

    def watch_statements(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Counts what is asked of any connection from now on."""
        execute: Callable[..., Awaitable[object]] = aiosqlite.Connection._execute

        async def counted(connection: aiosqlite.Connection, *arguments: object, **named: object) -> object:
            if not self.late:
                self.advance()
            answer = await execute(connection, *arguments, **named)
            if self.late:
                self.advance()
            return answer

        monkeypatch.setattr(aiosqlite.Connection, "_execute", counted)


class Stepwise(Generic[T]):
    """Awaits work and counts each of its suspensions as a step."""

    def __init__(self, work: Coroutine[object, object, T], steps: Steps) -> None:
        self.work = work
        self.steps = steps

    def __await__(self) -> Generator[object, None, T]:
        error: BaseException | None = None
        while True:
            try:
                waits_for = self.work.send(None) if error is None else self.work.throw(error)
            except StopIteration as end:
                value: T = end.value
                return value
            self.steps.advance(waits_for if isinstance(waits_for, asyncio.Future) else None)
            try:
                yield waits_for
            except BaseException as thrown:  # noqa: BLE001  # the work is asked what it makes of it
                error = thrown
            else:
                error = None


@dataclass
class Interrupted(Generic[T]):
    """What became of work that was cancelled at a step."""

    step: int
    value: T | None = None
    """What it returned, if the cancellation came too late to keep it from that."""


async def cancel_at_every_step(
    work: Callable[[int], Coroutine[object, object, T]], how: How, *, every: int = effort.every(4)
) -> AsyncIterator[Interrupted[T]]:
    """Starts the work anew, cancelled at its first step, its second …, until it runs through.

    The work is given the step's number. Each outcome is handed over before the next start. Each way to cancel takes
    only `every` so many steps, and each takes others.
    """
    step, reached = 1 - every + HOWS.index(how) % every, True
    while reached:
        step += every
        with pytest.MonkeyPatch.context() as monkeypatch:
            outcome, reached = await _cancel_at(step, work, how, monkeypatch)
        yield outcome
    assert step > 3, "the steps were not seen"


async def _cancel_at(
    step: int, work: Callable[[int], Coroutine[object, object, T]], how: How, monkeypatch: pytest.MonkeyPatch
) -> tuple[Interrupted[T], bool]:
    outcome: Interrupted[T] = Interrupted(step)
    scope = anyio.CancelScope()

    async def run() -> None:
        with scope:
            outcome.value = await Stepwise(work(step), steps)

    def cancel() -> None:
        if how == "scope":
            scope.cancel()
        else:
            task.cancel()

    steps = Steps(step, cancel, late=how == "task after the answer", again=how == "task again and again")
    steps.watch_statements(monkeypatch)
    task = asyncio.ensure_future(run())
    await asyncio.wait((task,))
    if not task.cancelled():
        task.result()
    return outcome, steps.reached
