"""The options that choose requests, for every command that shows some."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import click

from chainlog_async.common.units import parse_duration
from chainlog_async.requests.filter import RequestFilter

from .value_types import read_by
from .window import Instant

_P = ParamSpec("_P")
_R = TypeVar("_R")


def filter_options(command: Callable[_P, _R]) -> Callable[_P, _R]:
    """Adds the options; the command gets what they choose as a `RequestFilter`, passed on as ``where``."""

    @click.option(
        "--since",
        "start",
        type=Instant(),
        help="Not before: 24h, 7d, 2026-11-25, 2026-11-25T08:00+01:00.",
    )
    @click.option("--until", "end", type=Instant(), help="Only before; UTC if no zone is named.")
    @click.option("--chain", metavar="NAME", help="Only of this chain.")
    @click.option("--provider", metavar="NAME", help="Only of this provider: it answered, or was tried last.")
    @click.option("--model", metavar="NAME", help="Only of this model.")
    @click.option("--caller", metavar="NAME", help="Only of this caller.")
    @click.option("--status", metavar="STATUS", help="Only 429, say, or a class such as 4xx, or errors: 400 and above.")
    @click.option(
        "--min-latency",
        "min_latency_ms",
        callback=read_by(parse_duration),
        metavar="TIME",
        help="Only what took as long, such as 500ms or 2s.",
    )
    @click.option("--error", "error_text", metavar="TEXT", help="Only with this in the error message, in any case.")
    @click.option("--request-id", metavar="ID", help="Only with this id, the gateway's own.")
    @functools.wraps(command)
    def with_filter(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        # Named above as the fields are; click passes every option, given or not.
        chosen: dict[str, Any] = {name: kwargs.pop(name) for name in RequestFilter.__struct_fields__}
        try:
            where = RequestFilter(**chosen)
        except ValueError as error:
            raise click.UsageError(f"{error}.") from None
        if where.start is not None and where.end is not None and where.end < where.start:
            raise click.UsageError("--until is before --since.")
        kwargs["where"] = where
        return command(*args, **kwargs)

    return with_filter
