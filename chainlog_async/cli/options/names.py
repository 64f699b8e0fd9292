"""Options that ask for names, or leave them out; each may be given several times."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from chainlog_async.common.name_sets import NAME_COLUMNS, NameDimension, NamesAskedFor, names_asked_for

_R = TypeVar("_R")

_ONLY = {
    "chain": "Only this chain",
    "provider": "Only this provider, which answered or was tried last",
    "model": "Only this model",
    "caller": 'Only this caller; "" means unknown callers',
}
OPTIONS = (*NAME_COLUMNS, *(f"not_{name}" for name in NAME_COLUMNS))
"""The parameters that a command receives, each a tuple of names."""


def name_options(command: Callable[..., _R]) -> Callable[..., _R]:
    """Adds ``--chain``, ``--not-chain`` and so on."""
    dimensions: list[NameDimension] = [*reversed([*NAME_COLUMNS])]
    for name in dimensions:
        text = f"Leave out this {name}; may be repeated."
        command = click.option(f"--not-{name}", f"not_{name}", multiple=True, metavar="NAME", help=text)(command)
    for name in dimensions:
        text = f"{_ONLY[name]}; may be repeated."
        command = click.option(f"--{name}", multiple=True, metavar="NAME", help=text)(command)
    return command


def take_names(options: dict[str, Any]) -> NamesAskedFor:
    """Takes the names out of the options of a command. Raises `click.UsageError` for more than can be asked for."""
    given = {name: options.pop(name) for name in NAME_COLUMNS}
    excluded = {name: options.pop(f"not_{name}") for name in NAME_COLUMNS}
    try:
        return names_asked_for(given, excluded)
    except ValueError as error:
        raise click.UsageError(f"{error}.") from None
