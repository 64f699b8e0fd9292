"""Options whose values are durations and sizes."""

from __future__ import annotations

from collections.abc import Callable

import click


def read_by(parse: Callable[[str], int]) -> Callable[[click.Context, click.Parameter, str | None], int | None]:
    """Returns an option callback that reads a whole number above 0 with a parser of `chainlog_async.common.units`.

    The callback raises `click.BadParameter` for any other value, and returns None when the option is not given.
    """

    def read(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
        if value is None:
            return None
        try:
            number = parse(value)
        except ValueError as error:
            told = str(error)
            raise click.BadParameter(told if told.endswith("?") else f"{told}.", ctx, param) from None
        if number < 1:
            raise click.BadParameter(f"{value!r} is too small; give a value above 0.", ctx, param)
        return number

    return read
