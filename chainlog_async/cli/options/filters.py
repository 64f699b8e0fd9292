"""Options that filter requests, for every command that shows some."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import click

from chainlog_async.common.clock import now_ms
from chainlog_async.requests.filter import RequestFilter

from .value_types import parse_short_duration, read_by
from .window import Instant, refuse_window

_P = ParamSpec("_P")
_R = TypeVar("_R")


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
    @click.option("--chain", metavar="NAME", help="Only this chain.")
    @click.option("--provider", metavar="NAME", help="Only this provider: it answered, or was tried last.")
    @click.option("--model", metavar="NAME", help="Only this model.")
    @click.option("--caller", metavar="NAME", help="Only this caller.")
    @click.option(
        "--status",
        metavar="STATUS",
        help="Only this status, such as 429, a class such as 4xx, or errors: all that failed.",
    )
    @click.option(
        "--min-latency",
        "min_latency_ms",
        callback=read_by(parse_short_duration),
        metavar="TIME",
        help="Only requests that took at least this long, such as 500ms or 2s.",
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
        chosen: dict[str, Any] = {name: kwargs.pop(name) for name in RequestFilter.__struct_fields__ if name in kwargs}
        try:
            where = RequestFilter(**chosen)
        except ValueError as error:
            raise click.UsageError(f"{error}.") from None
        refuse_window(where.start, where.end, now=now_ms())
        kwargs["where"] = where
        return command(*args, **kwargs)

    return with_filter
