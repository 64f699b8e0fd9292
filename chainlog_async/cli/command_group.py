"""Groups that show a list when they are called alone, and have commands of their own below them."""

from __future__ import annotations

import click
from click.core import ParameterSource


def names_command(ctx: click.Context) -> bool:
    """Whether a command of the group was named, so that there is no list to show.

    Raises `click.UsageError` for options before the name: they are the list's and would be passed over.
    """
    if ctx.invoked_subcommand is None:
        return False
    for parameter in ctx.command.params:
        if parameter.name and ctx.get_parameter_source(parameter.name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{parameter.opts[0]} goes after {ctx.invoked_subcommand!r}.")
    return True
