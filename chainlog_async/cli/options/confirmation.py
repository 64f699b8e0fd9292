"""Questions that a command asks on a terminal, and ``--yes`` for scripts."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

import click

from chainlog_async.cli.output.render import plain

_P = ParamSpec("_P")
_R = TypeVar("_R")


def yes_option(what: str) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """Adds ``--yes``, passed on as ``yes``; `what` is done without a question then."""
    return click.option("--yes", "-y", is_flag=True, help=f"Do not ask: {what}.")


def confirm_new_folder(path: Path, *, yes: bool, can_ask: bool = True) -> None:
    """Returns when the folder of a new file exists, or may be made: a missing one is usually a slip in the name.

    Asks on a terminal, unless stdin is read otherwise (`can_ask`). Raises `click.UsageError` where nobody can be asked,
    and `click.Abort` when the answer is no.
    """
    folder = path.absolute().parent
    if yes or folder.exists():
        return
    if not (can_ask and sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()):
        raise click.UsageError(
            f"The folder of --db does not exist: {plain(str(folder))}. Correct the path, or give --yes to make it."
        )
    click.confirm(f"The folder {plain(str(folder))} does not exist. Make it?", abort=True, err=True)
