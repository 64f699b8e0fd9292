"""Options that filter requests, for every command that shows some."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import click

from chainlog_async.common.clock import now_ms
from chainlog_async.requests.filter import STATUS_EXAMPLES, RequestFilter

from .names import name_options, take_names
from .value_types import parse_short_duration, read_by
from .window import Instant, refuse_window

_P = ParamSpec("_P")
_R = TypeVar("_R")

_BOUNDED = {
    "latency_ms": ("TIME", "took {} TIME, such as 500ms or 2s"),
    "tokens": ("N", "used {} N tokens"),
    "cost_usd": ("USD", "cost {} this much, in US dollars"),
    "attempts": ("N", "took {} N attempts"),
}
"""What requests can be bounded by: the metavar, and the help with a gap for "at least" or "at most"."""

_READ_AS_DURATION: dict[str, Any] = {"callback": read_by(parse_short_duration)}
_READ_AS_AMOUNT: dict[str, Any] = {"type": click.FloatRange(min=0)}


def _bound_options(command: Callable[..., _R]) -> Callable[..., _R]:
    for field, (metavar, text) in reversed(_BOUNDED.items()):
        for kind, words in (("max", "at most"), ("min", "at least")):
            command = click.option(
                f"--{kind}-{field.partition('_')[0]}",
                f"{kind}_{field}",
                metavar=metavar,
                help=f"Only requests that {text.format(words)}.",
                **_READ_AS_DURATION if field == "latency_ms" else _READ_AS_AMOUNT,
            )(command)
    return command


def filter_options(command: Callable[_P, _R]) -> Callable[_P, _R]:
    """Adds the filter options; the command receives them as a `RequestFilter` named ``where``.

    An invalid combination is a `click.UsageError`.
    """

    @click.option(
        "--since",
        "start",
        type=Instant(),
        help="Only from this time on: 24h, 7d, 2026-11-25, 2026-11-25T08:00+01:00.",
    )
    @click.option("--until", "end", type=Instant(), help="Only before this time; UTC unless it names a zone.")
    @name_options
    @click.option(
        "--status",
        metavar="STATUS",
        help=f"Only one status such as {STATUS_EXAMPLES}.",
    )
    @_bound_options
    @click.option(
        "--search",
        metavar="TEXT",
        help="Only if a name, the error message, an id, a tag or the metadata contains this; ASCII case is ignored.",
    )
    @click.option(
        "--error", "error_text", metavar="TEXT", help="Only if the error message contains this; ASCII case is ignored."
    )
    @click.option("--request-id", metavar="ID", help="Only the request with this id, the gateway's own.")
    @click.option("--session", "session_id", metavar="ID", help="Only this session.")
    @click.option("--tag", metavar="KEY:VALUE", help="Only with this tag, such as team:search.")
    @functools.wraps(command)
    def with_filter(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        # The options above are named like the fields; click passes every option, set or not.
        names = take_names(kwargs)
        chosen: dict[str, Any] = {name: kwargs.pop(name) for name in RequestFilter.__struct_fields__ if name in kwargs}
        try:
            where = RequestFilter(**chosen, **names)
        except ValueError as error:
            raise click.UsageError(f"{error}.") from None
        refuse_window(where.start, where.end, now=now_ms())
        kwargs["where"] = where
        return command(*args, **kwargs)

    return with_filter
