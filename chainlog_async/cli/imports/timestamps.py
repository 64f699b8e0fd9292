"""Times as other programs write them."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time

from chainlog_async.errors import InvalidEntryError

# How Excel shows, and saves, a number of more than eleven digits.
_ROUNDED = re.compile(r"\s*\d(?:[.,]\d{0,5})?E\+\d+\s*")
# Some programs write seven or nine digits; datetime accepts six.
_FRACTION = re.compile(r"([.,]\d{6})\d+")


def seconds_of(value: object, name: str) -> float:
    """Returns a time in s since the epoch, UTC.

    A number, also as text, is already in seconds; other text is ISO 8601, in UTC if it names no zone; a `datetime` is
    taken as it is, and a `date` as its midnight in UTC. Raises `InvalidEntryError` with `name` in its message.
    """
    if isinstance(value, datetime):
        return value.timestamp()
    if isinstance(value, date):
        return datetime.combine(value, time(), UTC).timestamp()
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str) and _ROUNDED.fullmatch(value):
        raise InvalidEntryError(
            f"{name} is {value!r}, which a spreadsheet has rounded; format the column as a number without decimals, "
            "and save the file again"
        )
    if not isinstance(value, str):
        raise InvalidEntryError(f"{name} is {value!r}; give seconds since the epoch, or an ISO 8601 time")
    try:
        return float(value)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(_FRACTION.sub(r"\1", value.strip()))
    except ValueError:
        raise InvalidEntryError(f"{name} is {value!r}, which is not an ISO 8601 time") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
