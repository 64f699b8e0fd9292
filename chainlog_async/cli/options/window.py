"""What the commands about a window share: its options, and how steps and shares are drawn."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar, cast, get_args

import click

from chainlog_async.common.clock import now_ms
from chainlog_async.common.units import parse_instant
from chainlog_async.usage.dimensions import GroupBy
from chainlog_async.usage.points import UsageFilter
from chainlog_async.usage.time_window import STEPS, Step, Window, zone_of

_P = ParamSpec("_P")
_R = TypeVar("_R")

_FILTERS = get_args(GroupBy)

DEFAULT_SINCE = "24h"


class Instant(click.ParamType[int]):
    """A time: ISO 8601, ms since the epoch, or how long ago, such as 24h."""

    name = "TIME"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """In ms since the epoch."""
        try:
            return value if isinstance(value, int) else parse_instant(str(value), now=now_ms())
        except ValueError as error:
            self.fail(str(error), param, ctx)


@dataclass(frozen=True, slots=True)
class QueryOptions:
    """What was asked on the command line."""

    window: Window
    by: GroupBy | None
    where: UsageFilter
    groups: int


def window_options(command: Callable[_P, _R]) -> Callable[_P, _R]:
    """Adds ``--since`` and ``--until``."""
    since = click.option(
        "--since", type=Instant(), help=f"Begin here: 24h (ago), 7d, or an ISO time.  [default: {DEFAULT_SINCE}]"
    )
    until = click.option("--until", type=Instant(), help="End here.  [default: now]")
    return since(until(command))


def query_options(command: Callable[..., _R]) -> Callable[..., _R]:
    """Adds all that a query over time has; the command gets a `QueryOptions`, or None when none of it was given."""

    @window_options
    @click.option("--step", type=click.Choice(STEPS), help="One line, or one bar, for each step of this length.")
    @click.option("--by", type=click.Choice(get_args(GroupBy)), help="Group by this.")
    @click.option("--tz", default="UTC", show_default=True, metavar="ZONE", help="Whose midnights begin a day.")
    @click.option("--chain", metavar="NAME", help="Only this chain.")
    @click.option("--provider", metavar="NAME", help="Only this provider.")
    @click.option("--model", metavar="NAME", help="Only this model.")
    @click.option("--caller", metavar="NAME", help='Only this caller; "" for those who are not known.')
    @click.option("--groups", type=click.IntRange(1, 100), default=20, show_default=True, help="Most groups.")
    @functools.wraps(command)
    def with_query(*args: object, **options: Any) -> _R:  # what click hands over has whatever type the option has
        asked = {name: options.pop(name) for name in ("since", "until", "step", "by", *_FILTERS)}
        groups, zone = options.pop("groups"), options.pop("tz")
        query = None
        if any(value is not None for value in asked.values()):
            window = window_of(asked["since"], asked["until"], step=asked["step"], zone=zone)
            where = UsageFilter(**{name: asked[name] for name in _FILTERS})
            query = QueryOptions(window, asked["by"], where, groups)
        return command(*args, query=query, **options)

    return with_query


def window_of(since: int | None, until: int | None, *, step: str | None = None, zone: str = "UTC") -> Window:
    """The window that the options mean. Raises `click.UsageError` when it cannot be."""
    now = now_ms()
    window = Window(
        start=parse_instant(DEFAULT_SINCE, now=until or now) if since is None else since,
        end=now if until is None else until,
        step=cast("Step | None", step),
        zone=zone,
    )
    try:
        zone_of(zone)
        window.edges()
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    return window
