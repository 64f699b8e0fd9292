"""The command ``chainlog``: its version, its subcommands, and how their errors are reported."""

from __future__ import annotations

import errno
import io
import logging
import sys
from collections.abc import Iterator, Mapping
from typing import IO, Any, ClassVar

import click

from chainlog_async import __version__
from chainlog_async.cli.command_group import LazyGroup
from chainlog_async.cli.options.settings import examples
from chainlog_async.cli.output.log_handler import log_to_stderr
from chainlog_async.cli.output.render import plain
from chainlog_async.common.sqlite import sqlite3
from chainlog_async.errors import ChainlogError


class CommandError(click.ClickException):
    """A failed command: ``error: …`` on stderr, exit code 1."""

    def show(self, file: IO[Any] | None = None) -> None:
        """Prints each line of the message to `file` (default stderr), with control characters escaped."""
        for line in self.message.splitlines() or [""]:
            click.echo(f"error: {plain(line)}", file=file or sys.stderr)


class Commands(LazyGroup):
    """The group of all commands, which reports `ChainlogError`, `OSError` and `sqlite3.Error` without a traceback."""

    package = "chainlog_async.cli.commands"
    places: ClassVar[Mapping[str, str]] = {
        "alerts": "alerts:alerts",
        "backup": "backup:backup",
        "budgets": "budgets:budgets",
        "check": "check:check",
        "copy": "copy:copy",
        "export": "export:export",
        "health": "health:health",
        "import": "import_:import_command",
        "journal": "journal:journal",
        "latency": "latency:latency",
        "mcp": "mcp:mcp",
        "migrate": "migrate:migrate",
        "prices": "prices:prices",
        "prune": "prune:prune",
        "rebuild": "rebuild:rebuild",
        "recent": "recent:recent",
        "rejected": "rejected:rejected",
        "reprice": "reprice:reprice_command",
        "serve": "serve:serve_command",
        "session": "sessions:session",
        "sessions": "sessions:sessions",
        "show": "show:show",
        "sql": "sql:sql",
        "usage": "usage:usage",
        "vacuum": "vacuum:vacuum",
    }

    def invoke(self, ctx: click.Context) -> object:
        """Runs the command and returns its result.

        Raises `CommandError` in place of the reported errors, also when they come in an exception group. A broken pipe
        and every other exception propagate unchanged.
        """
        try:
            result: object = super().invoke(ctx)
        except (ChainlogError, OSError, sqlite3.Error) as error:
            if _is_broken_pipe(error):
                raise
            raise CommandError(_message(error)) from error
        except BaseExceptionGroup as group:
            errors = list(_leaves(group))
            if all(isinstance(error, click.ClickException | click.exceptions.Exit) for error in errors):
                raise errors[0] from None
            if not all(isinstance(error, ChainlogError | OSError | sqlite3.Error) for error in errors):
                raise
            raise CommandError("\n".join(dict.fromkeys(map(_message, errors)))) from group
        return result


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def _is_broken_pipe(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno == errno.EPIPE


def _message(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename is not None else error.strerror
    return str(error) or type(error).__name__


@click.group(
    name="chainlog",
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=examples(
        "chainlog serve                       accept entries and serve usage over HTTP",
        "chainlog import requests.jsonl       import a file of entries",
        "chainlog usage                       usage by provider and chain",
        "chainlog recent --follow             watch requests as they arrive",
        "chainlog show 4711                   one request in full",
        "chainlog export --since 7d week.csv  requests as a file",
        "chainlog COMMAND --help              what a command does, with examples",
    ),
)
@click.version_option(__version__, "-V", "--version", prog_name="chainlog-async", message="%(prog)s %(version)s")
def chainlog() -> None:
    """Log the requests of an LLM gateway to one SQLite file, and report usage from it.

    Settings come from the file named by --config, else by CHAINLOG_CONFIG, else from ./config.yaml if it exists, else
    from the defaults; --db names another database file.

    Exit codes: 0 done, 1 failed (the reason is on stderr), 2 wrong usage.
    """


def run() -> None:
    """Runs the command line with the arguments of this process, then exits."""
    for stream in (sys.stdout, sys.stderr):
        # An output encoding other than UTF-8 must not abort a command halfway through a table.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    log_to_stderr(logging.WARNING)
    # Notes on the machine's SQLite belong in the log of the service, not in the output of every command.
    logging.getLogger("chainlog_async.sqlite").setLevel(logging.ERROR)
    chainlog.main(prog_name="chainlog")
