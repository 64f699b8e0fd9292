"""Maps records of any shape to entries, for ``chainlog import --map SOURCE=FIELD``."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from chainlog_async.entry.json_input import entry_from_mapping
from chainlog_async.entry.model import RequestLogEntry
from chainlog_async.errors import InvalidEntryError

from .records import Record
from .timestamps import seconds_of

INTEGER_FIELDS = frozenset(
    {"timestamp", "prompt_tokens", "completion_tokens", "total_tokens", "attempts", "cached_tokens"}
)
NUMBER_FIELDS = frozenset({"latency_ms", "ttft_ms", "cost_usd"})
_EMPTY_VALUES: Mapping[str, object] = {"http_status": 200, "latency_ms": 0}
"""What null and empty stand for: no error code is a success, and many traces have no latency for a failure."""

FIELDS: tuple[str, ...] = RequestLogEntry.__struct_fields__


@dataclass(frozen=True, slots=True)
class MappedColumn:
    """Where a field of the entry comes from."""

    source: str
    """A name in the record; dots lead into nested objects."""
    field: str
    factor: float | None = None
    """What the number is multiplied by; None for no factor."""

    @classmethod
    def parse(cls, text: str) -> MappedColumn:
        """Parses ``SOURCE=FIELD`` or ``SOURCE=FIELD*FACTOR``. Raises `ValueError`."""
        source, equals, target = text.rpartition("=")
        field, star, factor = target.partition("*")
        if not (source and equals):
            raise ValueError(f"{text!r} is not SOURCE=FIELD or SOURCE=FIELD*FACTOR")
        _require_field(field)
        if not star:
            return cls(source, field)
        if field not in INTEGER_FIELDS | NUMBER_FIELDS:
            raise ValueError(f"{field} is not a number and cannot be multiplied")
        try:
            number = float(factor)
        except ValueError:
            number = 0.0
        if not 0 < number < math.inf:
            raise ValueError(f"{factor!r} in {text!r} is not a factor; give a number above 0")
        return cls(source, field, number)


class FieldMap:
    """Builds entries from records: mapped columns, constants, and columns that already have a field's name."""

    def __init__(self, columns: Iterable[MappedColumn], constants: Mapping[str, str]) -> None:
        self._columns = list(columns)
        named = {column.field for column in self._columns} | {column.source for column in self._columns}
        self._columns += [MappedColumn(name, name) for name in FIELDS if name not in named]
        # A trace may have no latency at all; a mapped column that is not in it is still an error.
        self._constants = constants if "latency_ms" in named else {"latency_ms": "0", **constants}

    def entry(self, record: Record) -> RequestLogEntry:
        """Returns the record's entry.

        A field that the record lacks takes its constant, else its default. Raises `InvalidEntryError`.
        """
        fields: dict[str, object] = {name: _converted(name, value, None) for name, value in self._constants.items()}
        for column in self._columns:
            is_there, value = _find(record, column.source)
            if value is not None:
                fields[column.field] = _converted(column.field, value, column.factor)
            elif is_there and column.field in _EMPTY_VALUES:
                fields[column.field] = _EMPTY_VALUES[column.field]
        return entry_from_mapping(fields)


def parse_constant(text: str) -> tuple[str, str]:
    """Parses ``FIELD=VALUE``. Raises `ValueError`."""
    field, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"{text!r} is not FIELD=VALUE")
    _require_field(field)
    return field, value


def _require_field(field: str) -> None:
    if field not in FIELDS:
        raise ValueError(f"{field!r} is not a field of an entry; the fields are {', '.join(FIELDS)}")


def _find(record: Record, source: str) -> tuple[bool, object]:
    if source in record:
        return True, record[source]
    value: object = record
    for name in source.split("."):
        if not isinstance(value, Mapping) or name not in value:
            return False, None
        value = value[name]
    return True, value


def _converted(field: str, value: object, factor: float | None) -> object:
    if field == "timestamp":
        # Text that is not a number is a date, which becomes milliseconds without the factor.
        is_date = isinstance(value, str) and not _is_number(value)
        return round(seconds_of(value, field) * (1000 if is_date else factor or 1))
    if field == "http_status":
        return _status(value)
    if field in INTEGER_FIELDS | NUMBER_FIELDS:
        number = _number(field, value) * (factor or 1)
        return round(number) if field in INTEGER_FIELDS else number
    if field == "error_message":
        return value or None
    if field == "streamed" and isinstance(value, str):
        return value.lower() in {"true", "t", "1"}
    return value


def _status(value: object) -> int:
    """Returns the HTTP status of an error code: empty is a success, anything but an HTTP status a failure."""
    if value == "":
        return 200
    try:
        status = int(value) if isinstance(value, str | int) else 500
    except ValueError:
        return 500
    return status if 100 <= status <= 599 else 500


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _number(field: str, value: object) -> float:
    if isinstance(value, str) and _is_number(value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InvalidEntryError(f"{field} is {value!r}; give a number")
    return value
