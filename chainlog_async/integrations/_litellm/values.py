"""Reads single values out of LiteLLM's payloads, which may hold anything at all."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from chainlog_async.entry.model import MAX_COUNT, MAX_NAME_CHARS


def mapping(value: object) -> Mapping[str, object]:
    """Returns the mapping; an empty one for anything else."""
    # Nearly all are dictionaries or None, and isinstance with an abstract class is slow.
    if value is None or isinstance(value, dict):
        return value or {}
    return value if isinstance(value, Mapping) else {}


def name(value: object) -> str:
    """Returns text that fits a name: no NUL, no lone surrogate, not too long; "" for anything but text."""
    if not isinstance(value, str):
        return ""
    if value.isascii() and "\0" not in value:
        return value[:MAX_NAME_CHARS]
    return value.replace("\0", "").encode("utf-8", "replace").decode()[:MAX_NAME_CHARS]


def first_name(*values: object) -> str:
    """Returns the first of the values that is a name, else ""."""
    for value in values:
        if value and (text := name(value)):
            return text
    return ""


def number(value: object) -> float | None:
    """Returns a number that can be stored, else None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    # NaN fails the comparison too.
    return value if -MAX_COUNT <= value <= MAX_COUNT else None


def whole(value: object) -> int:
    """Returns a count, 0 or more."""
    known = number(value)
    return 0 if known is None else max(0, int(known))


def seconds(value: object) -> float | None:
    """Returns a time in s since the epoch; LiteLLM's datetimes are naive and local."""
    if isinstance(value, datetime):
        return value.timestamp()
    known = number(value)
    return None if known is None or known <= 0 else float(known)


def error_status(code: object) -> int:
    """Returns the HTTP status of an error; LiteLLM's codes are strings, and some are not a status of an error at all.

    One below 400 is what a provider sent with an answer that LiteLLM could not read.
    """
    try:
        status = int(code) if isinstance(code, str | int) else 500
    except ValueError:
        return 500
    return status if 400 <= status <= 599 else 500


def cost(value: object) -> float | None:
    """Returns a cost in US dollars, 0 or more, else None."""
    known = number(value)
    return None if known is None or known < 0 else float(known)
