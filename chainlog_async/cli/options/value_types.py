"""Options whose values are one of a few words, durations or sizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import click

from chainlog_async.common.clock import MAX_TIMESTAMP_MS
from chainlog_async.common.spelling import did_you_mean
from chainlog_async.common.units import AmbiguousUnitError, parse_duration


class Choice(click.Choice[str]):
    """One of a few words; an error has the most similar one, or else `otherwise`."""

    def __init__(self, choices: Sequence[str], *, otherwise: str = "") -> None:
        super().__init__(choices)
        self._otherwise = otherwise

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Returns the word. Raises `click.BadParameter` for any other."""
        if value in self.choices:
            return str(value)
        near = did_you_mean(str(value), self.choices)
        remedy = f"; did you mean {near!r}?" if near else self._otherwise and f"; {self._otherwise}"
        message = f"{str(value)[:60]!r} is not one of {', '.join(map(repr, self.choices))}{remedy}"
        raise click.BadParameter(message, ctx, param)


def parse_short_duration(text: str) -> int:
    """Parses the duration of a request to ms. Raises `ValueError`, with what such a duration looks like."""
    try:
        return parse_duration(text)
    except AmbiguousUnitError:
        raise
    except ValueError:
        raise ValueError(
            f"{text[:60]!r} is not a duration; give a number and a unit, such as 500ms, 2s or 1min"
        ) from None


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
        if number > MAX_TIMESTAMP_MS:
            raise click.BadParameter(f"{value!r} is too large.", ctx, param)
        if number < 1:
            raise click.BadParameter(f"{value!r} is too small; give a value above 0.", ctx, param)
        return number

    return read
