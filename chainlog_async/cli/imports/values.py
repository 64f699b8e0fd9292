"""Values as files hold them: numbers as text or as whole floats, nothing as NaN, JSON as text."""

from __future__ import annotations

import math

from chainlog_async.entry.json_input import json_value
from chainlog_async.entry.model import TOKEN_CLASSES
from chainlog_async.errors import InvalidEntryError
from chainlog_async.requests.model import JSON_COLUMNS

from .timestamps import seconds_of

INTEGER_FIELDS = frozenset(
    {"timestamp", "prompt_tokens", "completion_tokens", "total_tokens", "attempts", *TOKEN_CLASSES}
)
NUMBER_FIELDS = frozenset({"latency_ms", "ttft_ms", "cost_usd"})
JSON_FIELDS = frozenset(JSON_COLUMNS)

_NOTHING = frozenset({"", "nan", "<na>", "nat", "null", "none", "na", "n/a", r"\n"})
"""What programs write for a number that is not there, in lower case."""

_FLAGS = dict.fromkeys(("true", "t", "1", "1.0"), True) | dict.fromkeys(("false", "f", "0", "0.0"), False)


def is_missing(field: str, value: object) -> bool:
    """Whether a value stands for nothing in this field; a text only where the field holds no text."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return True
    if isinstance(value, str) and (field in INTEGER_FIELDS | NUMBER_FIELDS or field in {"http_status", "streamed"}):
        return value.strip().lower() in _NOTHING
    return value == "" and field in JSON_FIELDS


def is_number(text: str) -> bool:
    """Whether a text is a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def number_of(field: str, value: object) -> float:
    """Returns a number, also from text. Raises `InvalidEntryError` for anything else."""
    if isinstance(value, str) and is_number(value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        comma = ", with a point for the decimals" if isinstance(value, str) and "," in value else ""
        raise InvalidEntryError(f"{field} is {value!r}; give a number{comma}")
    return value


def whole(value: object) -> object:
    """Returns a whole number that is a float or text, as pandas writes them, as an int; else the value as it is."""
    if isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            if not is_number(value):
                return value
            value = float(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def status_of_code(value: object) -> int:
    """Returns the HTTP status of an error code: anything but an HTTP status is a failure."""
    status = whole(value)
    return status if isinstance(status, int) and not isinstance(status, bool) and 100 <= status <= 599 else 500


def flag_of(value: object) -> object:
    """Returns the bool that a text or a number stands for; the value as it is when it stands for none."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _FLAGS.get(str(value), value)
    return _FLAGS.get(value.strip().lower(), value) if isinstance(value, str) else value


def json_of(value: object) -> object:
    """Returns what JSON in a text holds; the value as it is when it is no text, or not JSON."""
    if not isinstance(value, str):
        return value
    try:
        return json_value(value)
    except InvalidEntryError:
        return value


def timestamp_of(value: object, factor: float | None = None) -> int:
    """Returns a time in ms since the epoch, UTC: a number times `factor`, or a date. Raises `InvalidEntryError`."""
    # Text that is not a number is a date, which becomes milliseconds without the factor.
    is_number_already = isinstance(value, int | float) or (isinstance(value, str) and is_number(value))
    seconds = seconds_of(value, "timestamp")
    if not math.isfinite(seconds):
        raise InvalidEntryError(f"timestamp is {value!r}; give ms since the epoch, or an ISO 8601 time")
    return round(seconds * ((factor or 1) if is_number_already else 1000))
