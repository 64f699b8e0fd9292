"""Command groups: suggestions for a misspelt subcommand, and a list when there is none."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

import click
from click.core import ParameterSource

from chainlog_async.common.spelling import did_you_mean

_SYNONYMS: Final = {
    "clean": "prune",
    "compact": "vacuum",
    "delete": "prune",
    "dump": "export",
    "list": "recent",
    "load": "import",
    "logs": "recent",
    "ls": "recent",
    "optimize": "vacuum",
    "purge": "prune",
    "repair": "rebuild",
    "reports": "usage",
    "requests": "recent",
    "run": "serve",
    "start": "serve",
    "stats": "usage",
    "status": "health",
    "summary": "usage",
    "tail": "recent",
    "upgrade": "migrate",
    "verify": "check",
}
"""What people type for a command whose name is spelt quite differently."""


class SuggestingGroup(click.Group):
    """A group that answers an unknown subcommand with the one that is meant, or with all of them."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Finds the command of the first argument. Raises `click.UsageError`."""
        name = args[0]
        if ctx.resilient_parsing or name.startswith("-") or self.get_command(ctx, name) is not None:
            return super().resolve_command(ctx, args)
        commands = self.list_commands(ctx)
        near = _find_meant(name, commands)
        remedy = f"did you mean {ctx.command_path} {near}?" if near else f"the commands are {', '.join(commands)}."
        raise click.UsageError(f"there is no command {name[:60]!r}; {remedy}", ctx)


class LazyGroup(SuggestingGroup):
    """A group that imports a subcommand's module when the subcommand is asked for.

    Some need libraries that others do not, and importing them all would slow down every command.
    """

    package: ClassVar[str]
    """Where the modules are."""
    places: ClassVar[Mapping[str, str]]
    """The module and the attribute of each subcommand, by its name: ``module:attribute``."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Returns the names of all subcommands, sorted."""
        return sorted({*self.commands, *self.places})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Returns the subcommand `cmd_name`, or None if there is none."""
        if cmd_name in self.places and cmd_name not in self.commands:
            module, _, attribute = self.places[cmd_name].partition(":")
            self.add_command(getattr(importlib.import_module(f"{self.package}.{module}"), attribute), cmd_name)
        return super().get_command(ctx, cmd_name)


def _find_meant(name: str, commands: Sequence[str]) -> str | None:
    if name == "help":
        return "--help"
    synonym = _SYNONYMS.get(name.lower())
    return synonym if synonym in commands else did_you_mean(name, commands)


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
