"""docs/reference/cli.md: the help of every command."""

from __future__ import annotations

from collections.abc import Iterator

import click

from chainlog_async.cli.app import chainlog

from .markdown import page

WIDTH = 100

INTRODUCTION = """\
What `chainlog COMMAND --help` prints. [operations.md](../how-to/operations.md#commands) says what the commands for
operators do meanwhile, and after a kill; [shell-completion.md](../how-to/shell-completion.md) completes their names."""


def cli_page() -> str:
    """Returns the page."""
    return page("Command line", INTRODUCTION, *_command(chainlog, "chainlog", None))


def _command(command: click.Command, path: str, parent: click.Context | None) -> Iterator[str]:
    context = click.Context(
        command, info_name=path.rpartition(" ")[2], parent=parent, terminal_width=WIDTH, **command.context_settings
    )
    yield f"## {path}"
    yield f"```text\n{command.get_help(context).strip()}\n```"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            if found is not None and not found.hidden:
                yield from _command(found, f"{path} {name}", context)
