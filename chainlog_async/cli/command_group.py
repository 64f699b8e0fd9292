"""Command groups that print a list when called without a subcommand."""

from __future__ import annotations

import click
from click.core import ParameterSource


def names_command(ctx: click.Context) -> bool:
    """Returns whether a subcommand was given, in which case the group itself prints nothing.

    Raises `click.UsageError` for options before the subcommand: they belong to the list and would be ignored.
    """
    if ctx.invoked_subcommand is None:
        return False
    for parameter in ctx.command.params:
        if parameter.name and ctx.get_parameter_source(parameter.name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{parameter.opts[0]} goes after {ctx.invoked_subcommand!r}.")
    return True
