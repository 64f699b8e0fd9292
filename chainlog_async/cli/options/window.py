"""Options that select a time window, for the commands that report usage, latency and health."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar, cast, get_args

import click

from chainlog_async.cli.output.render import utc_text
from chainlog_async.common.clock import now_ms
from chainlog_async.common.units import parse_instant
from chainlog_async.common.zones import zone_of
from chainlog_async.usage.dimensions import GroupBy
from chainlog_async.usage.query import UsageFilter, UsageQuery
from chainlog_async.usage.tags import key_of_dimension, split_tag
from chainlog_async.usage.time_window import STEPS, Step, Window, WindowError, refuse_empty_window

from .names import name_options, take_names
from .value_types import Choice

_P = ParamSpec("_P")
_R = TypeVar("_R")

DEFAULT_SINCE = "24h"


class Instant(click.ParamType[int]):
    """A time: ISO 8601, ms since the epoch, or a duration back from now, such as 24h."""

    name = "TIME"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Returns the time in ms since the epoch, UTC. Raises `click.BadParameter` for any other value."""
        try:
            return value if isinstance(value, int) else parse_instant(str(value), now=now_ms())
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Dimension(Choice):
    """A dimension of usage: a word, or ``tag:`` and the key of a tag."""

    def __init__(self) -> None:
        super().__init__((*get_args(GroupBy), "tag:KEY"))

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Returns the dimension. Raises `click.BadParameter` for any other."""
        return str(value) if key_of_dimension(str(value)) else super().convert(value, param, ctx)


@dataclass(frozen=True, slots=True)
class QueryOptions:
    """A query over a time window, as given on the command line."""

    window: Window
    by: str | None
    where: UsageFilter
    groups: int


def window_options(command: Callable[_P, _R]) -> Callable[_P, _R]:
    """Adds ``--since`` and ``--until``: ms since the epoch, or None when not given."""
    since = click.option(
        "--since",
        type=Instant(),
        help=f"Start of the window: 24h (ago), 7d, or an ISO time.  [default: {DEFAULT_SINCE}]",
    )
    until = click.option("--until", type=Instant(), help="End of the window.  [default: now]")
    return since(until(command))


def query_options(command: Callable[..., _R]) -> Callable[..., _R]:
    """Adds the options of a query over time; the command receives `QueryOptions` as ``query``.

    ``query`` is None when no option other than ``--tz`` and ``--groups`` was given.
    """

    @window_options
    @click.option("--step", type=Choice(STEPS), help="Print one line, or one bar, per step of this length.")
    @click.option("--by", type=Dimension(), help="Dimension to group by; tag:KEY groups by the values of a tag.")
    @click.option(
        "--tz", default="UTC", show_default=True, metavar="ZONE", help="Time zone whose midnights start a day."
    )
    @name_options
    @click.option("--tag", metavar="KEY:VALUE", help="Only requests with this tag, such as team:search.")
    @click.option(
        "--groups",
        type=click.IntRange(1, 100),
        default=20,
        show_default=True,
        help="Maximum number of groups; the rest are summed as (others).",
    )
    @functools.wraps(command)
    def with_query(*args: object, **options: Any) -> _R:  # click passes each option with its own type
        names = take_names(options)
        asked = {name: options.pop(name) for name in ("since", "until", "step", "by", "tag")}
        groups, zone = options.pop("groups"), options.pop("tz")
        query = None
        try:
            zone_of(zone)
        except ValueError as error:
            told = str(error)
            raise click.BadParameter(told if told.endswith("?") else f"{told}.", param_hint="'--tz'") from None
        if any(value not in (None, ()) for value in (*asked.values(), *names.values())):
            window = window_of(asked["since"], asked["until"], step=asked["step"], zone=zone)
            where = UsageFilter(**names, tag=asked["tag"])
            query = QueryOptions(window, asked["by"], where, groups)
            _check(query)
        return command(*args, query=query, **options)

    return with_query


def _check(query: QueryOptions) -> None:
    """Raises `click.UsageError` for what cannot be asked of tags."""
    try:
        if query.where.tag is not None:
            split_tag(query.where.tag)
        UsageQuery(window=query.window, by=query.by, where=query.where)
    except ValueError as error:
        raise click.UsageError(f"{error}.") from None


def refuse_window(since: int | None, until: int | None, *, now: int) -> None:
    """Raises `click.UsageError` for a window in which no time is, or that begins in the future and has no end."""
    try:
        refuse_empty_window(since, until, now=now)
    except WindowError as error:
        option = "--since" if error.field == "start" else "--until"
        raise click.BadParameter(f"{error}.", param_hint=repr(option)) from None


def window_of(since: int | None, until: int | None, *, step: str | None = None, zone: str = "UTC") -> Window:
    """Returns the window that the options describe. Raises `click.UsageError` when it is invalid."""
    now = now_ms()
    refuse_window(since, until, now=now)
    window = Window(
        start=parse_instant(DEFAULT_SINCE, now=now if until is None else min(until, now)) if since is None else since,
        end=now if until is None else until,
        step=cast("Step | None", step),
        zone=zone,
    )
    try:
        window.edges()
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    return window


def window_text(window: Window) -> str:
    """Returns ``from 2026-11-24 08:00:00 to 2026-11-25 08:00:00 UTC``, to follow what was not found."""
    return f"from {utc_text(window.start)} to {utc_text(window.end)} UTC"
