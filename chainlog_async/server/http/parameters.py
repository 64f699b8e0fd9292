"""Query parameters: each is defined once, for validation and for the OpenAPI document."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Generic, Literal, TypeVar, cast

from starlette.requests import Request

from chainlog_async.common.clock import MAX_TIMESTAMP_MS, MIN_CLEAR_TIMESTAMP_MS, now_ms
from chainlog_async.common.name_sets import MAX_NAMES
from chainlog_async.common.units import DURATION_UNITS, AmbiguousUnitError, UnclearTimeError, parse_instant
from chainlog_async.entry.model import MAX_COUNT
from chainlog_async.requests.filter import MAX_FILTER_CHARS

from .responses import ApiError

MAX_ECHOED_CHARS = 60
"""How many characters of a value, and how many values, an error message repeats."""

_T = TypeVar("_T")
_C = TypeVar("_C", bound=str)
_T_co = TypeVar("_T_co", covariant=True)

DURATION = f"^[0-9]{{1,6}}({'|'.join(DURATION_UNITS)})$"
_NUMBER = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?", re.ASCII)

ParameterLocation = Literal["query", "path", "header"]


@dataclass(frozen=True, slots=True)
class Parameter(Generic[_T_co]):
    """A parameter of a request: how it is read, its default, and its description."""

    name: str
    description: str
    read: Callable[[str], _T_co]
    """Parses a value. Raises `ValueError` if it is invalid."""
    remedy: str
    """What a valid value is, for the error message."""
    schema: Mapping[str, object]
    """The JSON Schema of the values that `read` accepts."""
    default: _T_co
    location: ParameterLocation = "query"
    gather: Callable[[Sequence[object]], _T_co] | None = None
    """Makes one value of all that are given; None where only one may be."""


class ParsedParameters:
    """The parsed parameters of one request."""

    def __init__(self, values: Mapping[str, object]) -> None:
        self._values = values

    def __getitem__(self, parameter: Parameter[_T]) -> _T:
        """Returns the value of the parameter, or its default."""
        return cast("_T", self._values[parameter.name]) if parameter.name in self._values else parameter.default


def read_parameters(request: Request, known: Iterable[Parameter[object]]) -> ParsedParameters:
    """Parses all parameters of the request. Raises `ApiError` (400) for the first one that is invalid or unknown."""
    parameters = list(known)
    queried = [parameter.name for parameter in parameters if parameter.location == "query"]
    _refuse_unknown(sorted(set(request.query_params) - set(queried)), queried)
    texts = ((parameter, _texts_of(request, parameter)) for parameter in parameters)
    return ParsedParameters({parameter.name: _read(parameter, given) for parameter, given in texts if given})


def _read(parameter: Parameter[object], texts: list[str]) -> object:
    shown = " and ".join(repr(given[:MAX_ECHOED_CHARS]) for given in texts[:MAX_ECHOED_CHARS])
    try:
        if parameter.gather is not None:
            return parameter.gather([parameter.read(text) for text in texts])
        if len(texts) == 1:
            return parameter.read(texts[0])
    except AmbiguousUnitError as error:
        raise ApiError(400, f"{parameter.name}: {error}", "invalid_parameter", param=parameter.name) from None
    except UnclearTimeError as error:
        shown = f"{shown}, which {error.reason}"
    except ValueError:
        pass
    message = f"{parameter.name} is {shown}; give {parameter.remedy}"
    raise ApiError(400, message, "invalid_parameter", param=parameter.name)


def _texts_of(request: Request, parameter: Parameter[object]) -> list[str]:
    if parameter.location == "path":
        return [request.path_params[parameter.name]]
    return (request.query_params if parameter.location == "query" else request.headers).getlist(parameter.name)


def _refuse_unknown(unknown: list[str], known: list[str]) -> None:
    if unknown:
        may_be = f"this route takes {', '.join(map(repr, known))}" if known else "this route takes none"
        plural = "s" if len(unknown) > 1 else ""
        shown = ", ".join(repr(name[:MAX_ECHOED_CHARS]) for name in unknown[:MAX_ECHOED_CHARS])
        raise ApiError(
            400,
            f"unknown query parameter{plural} {shown}; {may_be}",
            "unknown_parameter",
            param=unknown[0][:MAX_ECHOED_CHARS],
        )


# The kinds of parameters


def integer_parameter(
    name: str, description: str, *, minimum: int, maximum: int, default: int, location: ParameterLocation = "query"
) -> Parameter[int]:
    """A whole number between two bounds, both included."""

    def read(given: str) -> int:
        if re.fullmatch("[0-9]{1,19}", given) and minimum <= int(given) <= maximum:
            return int(given)
        raise ValueError

    schema = {"type": "integer", "minimum": minimum, "maximum": maximum}
    if location == "query":
        schema["default"] = default
    return Parameter(
        name, description, read, f"one whole number from {minimum} to {maximum}", schema, default, location
    )


def ms_parameter(name: str, description: str) -> Parameter[float | None]:
    """A duration in ms, with or without a fraction."""

    def read(given: str) -> float:
        if _NUMBER.fullmatch(given) and float(given) <= MAX_COUNT:
            return float(given)
        raise ValueError

    schema = {"type": "number", "minimum": 0, "maximum": MAX_COUNT}
    return Parameter(name, description, read, f"one number of ms from 0 to {MAX_COUNT}", schema, None)


def amount_parameter(name: str, description: str) -> Parameter[float | None]:
    """A number that is not negative, with or without a fraction."""
    return replace(ms_parameter(name, description), remedy=f"one number from 0 to {MAX_COUNT}")


def names_parameter(name: str, description: str) -> Parameter[tuple[str, ...]]:
    """Any number of texts, each of which may be empty."""
    one = text_parameter(name, description)

    def gather(given: Sequence[object]) -> tuple[str, ...]:
        if len(given) > MAX_NAMES:
            raise ValueError
        return tuple(map(str, given))

    schema = {"type": "array", "items": one.schema, "maxItems": MAX_NAMES}
    remedy = f"{one.remedy}, or up to {MAX_NAMES} of these"
    return Parameter(
        name, description, cast("Callable[[str], tuple[str, ...]]", one.read), remedy, schema, (), gather=gather
    )


def text_parameter(name: str, description: str) -> Parameter[str | None]:
    """Any text, including an empty one."""

    def read(given: str) -> str:
        if len(given) <= MAX_FILTER_CHARS and "\0" not in given:
            return given
        raise ValueError

    schema = {"type": "string", "maxLength": MAX_FILTER_CHARS, "pattern": "^[^\\u0000]*$"}
    remedy = f"one text of at most {MAX_FILTER_CHARS} characters, none of them NUL"
    return Parameter(name, description, read, remedy, schema, None)


def pattern_parameter(name: str, description: str, regex: str, remedy: str) -> Parameter[str | None]:
    """A text that matches a regular expression."""

    def read(given: str) -> str:
        if re.fullmatch(regex, given, re.ASCII):
            return given
        raise ValueError

    return Parameter(name, description, read, remedy, {"type": "string", "pattern": f"^({regex})$"}, None)


def choice_parameter(name: str, description: str, choices: Sequence[_C], *, default: _C) -> Parameter[_C]:
    """One of a few values."""

    def read(given: str) -> _C:
        return choices[choices.index(given)]

    schema = {"type": "string", "enum": choices, "default": default}
    return Parameter(name, description, read, f"one of {', '.join(choices)}", schema, default)


def time_parameter(name: str, description: str) -> Parameter[int | None]:
    """A time, as ms since the epoch, UTC."""

    def read(given: str) -> int:
        # In a query, a plus sign that was not encoded arrives as a space.
        return parse_instant(re.sub(r"([Tt][\d:.]+) (\d\d:?\d\d)$", r"\1+\2", given), now=now_ms())

    schema = {
        "anyOf": [
            {"type": "integer", "enum": [0]},
            {"type": "integer", "minimum": MIN_CLEAR_TIMESTAMP_MS, "maximum": MAX_TIMESTAMP_MS},
            {"type": "string", "format": "date-time"},
            {"type": "string", "pattern": DURATION},
        ],
    }
    remedy = (
        "one time: ISO 8601 such as 2026-11-25T08:00Z, ms since the epoch, "
        "or a duration back from now, such as 90min, 24h or 7d"
    )
    return Parameter(name, description, read, remedy, schema, None)
