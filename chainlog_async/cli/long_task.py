"""Long-running work: a progress bar on the terminal, and a clean stop on Ctrl-C or SIGTERM."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from typing import TypeVar

import anyio
import click
from anyio import CancelScope
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from chainlog_async.cli.output.render import errors, on_terminal
from chainlog_async.common.progress import Progress as ProgressCallback

from .signals import signals_to

_T = TypeVar("_T")


def run_long_work(work: Callable[[ProgressCallback], Awaitable[_T]], *, if_stopped: str) -> _T:
    """Runs `work` to its end and returns its result; `work` is passed a progress callback.

    SIGINT or SIGTERM cancels it. The command then prints `if_stopped`, the state that is left behind, to stderr and
    exits with 128 plus the signal's number.
    """
    return anyio.run(_run, work, if_stopped)


async def _run(work: Callable[[ProgressCallback], Awaitable[_T]], if_stopped: str) -> _T:
    received: list[signal.Signals] = []
    scope = CancelScope()

    def stop(number: signal.Signals) -> None:
        received.append(number)
        scope.cancel()

    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        console=errors(),
        transient=True,
    )
    task = bar.add_task("starting", total=None)

    def show(what: str, done: int, total: int | None) -> None:
        bar.update(task, description=what, completed=done, total=total)

    # Without a terminal, older releases of rich print an empty line for a bar that shows nothing.
    with bar if on_terminal(error=True) else nullcontext():
        async with signals_to(stop):
            with scope:
                return await work(show)
    click.echo(f"stopped by {received[0].name}; {if_stopped}", err=True)
    raise click.exceptions.Exit(128 + received[0])
