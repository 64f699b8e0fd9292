"""Moments as other programs write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from chainlog_async.errors import InvalidEntryError

# Some write seven digits or nine; datetime takes six.
_FRACTION = re.compile(r"([.,]\d{6})\d+")


def seconds_of(value: object, name: str) -> float:
    """A moment in seconds since the epoch: a number is one already, a text is ISO 8601, in UTC if it has no zone.

    Raises `InvalidEntryError`, which says the name.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, str):
        raise InvalidEntryError(f"{name} is {value!r}; give seconds since the epoch or an ISO 8601 text")
    try:
        return float(value)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(_FRACTION.sub(r"\1", value.strip()))
    except ValueError:
        raise InvalidEntryError(f"{name} is {value!r}, which is no ISO 8601 date and time") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
