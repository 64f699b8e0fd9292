"""Questions before a change: a command says what it would do, then asks on a terminal or needs ``--yes``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

import click

from chainlog_async.cli.output.render import plain, utc_text
from chainlog_async.common.units import size_text

_P = ParamSpec("_P")
_R = TypeVar("_R")

DECLINED = 1
"""The exit code of a command whose question was not answered with yes."""


def yes_option(help_text: str) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """Adds ``--yes``, passed on as ``yes``."""
    return click.option("--yes", "-y", is_flag=True, help=f"Do not ask: {help_text}")


def confirm(what_goes: str, question: str | None, *, yes: bool) -> None:
    """Prints to stderr what will go, and returns if it may: `yes` is given, or the question is answered with yes.

    The question is None when nothing goes; that needs no answer, but `yes` or a terminal all the same, so that a script
    without ``--yes`` fails the first time and not one day. Raises `click.UsageError` when there is no terminal to ask
    on, and `click.exceptions.Exit` for any other answer.
    """
    click.echo(what_goes, err=True)
    if yes:
        return
    if not _can_ask():
        raise click.UsageError("Nothing was deleted: there is no terminal to ask on. Give --yes to delete it.")
    if question is not None and not _is_answered_with_yes(question):
        click.echo("nothing was deleted", err=True)
        raise click.exceptions.Exit(DECLINED)


def confirm_new_folder(path: Path, *, yes: bool, can_ask: bool = True) -> None:
    """Returns when the folder of a new file exists, or may be made: a missing one is usually a slip in the name.

    Asks on a terminal, unless stdin is read otherwise (`can_ask`). Raises `click.UsageError` where nobody can be asked,
    and `click.exceptions.Exit` for any answer but yes.
    """
    folder = path.absolute().parent
    if yes or folder.exists():
        return
    if not (can_ask and _can_ask()):
        raise click.UsageError(
            f"The folder of --db does not exist: {plain(str(folder))}. Correct the path, or give --yes to make it."
        )
    if not _is_answered_with_yes(f"The folder {plain(str(folder))} does not exist. Make it?"):
        raise click.exceptions.Exit(DECLINED)


def may_replace(target: Path, *, force: bool) -> bool:
    """Returns whether a file may be replaced; it says what will go, and asks on a terminal unless `force` is given.

    Without a terminal and without `force`, it may not. Raises `click.exceptions.Exit` when the answer is not yes.
    """
    if not target.is_file() or not (force or _can_ask()):
        return force
    found = target.stat()
    modified = utc_text(round(found.st_mtime * 1_000))
    click.echo(f"replaces {plain(str(target))}: {size_text(found.st_size)}, last changed {modified} UTC", err=True)
    if not force and not _is_answered_with_yes("Replace it?"):
        click.echo("nothing was replaced", err=True)
        raise click.exceptions.Exit(DECLINED)
    return True


def _can_ask() -> bool:
    """Returns whether somebody can read a question on stderr and answer it on stdin."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


def _is_answered_with_yes(question: str) -> bool:
    try:
        return click.confirm(question, err=True)
    except click.Abort:
        # Ctrl-C, or the end of the input. The next line must not begin behind the question.
        click.echo(err=True)
        return False
