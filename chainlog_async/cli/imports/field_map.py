"""``chainlog import --map SOURCE=FIELD``: records of any shape as entries."""

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
"""What null and empty mean: no error code is a success, and many traces have no latency for a failure."""

FIELDS: tuple[str, ...] = RequestLogEntry.__struct_fields__


@dataclass(frozen=True, slots=True)
class MappedColumn:
    """Where a field of the entry comes from."""

    source: str
    """A name in the record; with dots, names within names."""
    field: str
    factor: float | None = None
    """What the number is multiplied with."""

    @classmethod
    def parse(cls, text: str) -> MappedColumn:
        """Reads ``SOURCE=FIELD`` or ``SOURCE=FIELD*FACTOR``. Raises `ValueError`."""
        source, equals, target = text.rpartition("=")
        field, star, factor = target.partition("*")
        if not (source and equals):
            raise ValueError(f"{text!r} is not SOURCE=FIELD or SOURCE=FIELD*FACTOR")
        _require_field(field)
        if not star:
            return cls(source, field)
        if field not in INTEGER_FIELDS | NUMBER_FIELDS:
            raise ValueError(f"{field} is no number and cannot be multiplied")
        try:
            number = float(factor)
        except ValueError:
            number = 0.0
        if not 0 < number < math.inf:
            raise ValueError(f"{factor!r} in {text!r} is no factor; give a number above 0")
        return cls(source, field, number)


class FieldMap:
    """Makes entries of records: columns that are named, constants, and what has a field's name anyway."""

    def __init__(self, columns: Iterable[MappedColumn], constants: Mapping[str, str]) -> None:
        self._columns = list(columns)
        named = {column.field for column in self._columns} | {column.source for column in self._columns}
        self._columns += [MappedColumn(name, name) for name in FIELDS if name not in named]
        # A trace need not have one; a column that was named wrongly is an error all the same.
        self._constants = constants if "latency_ms" in named else {"latency_ms": "0", **constants}

    def entry(self, record: Record) -> RequestLogEntry:
        """The record's entry; what it lacks are the constants, then the defaults. Raises `InvalidEntryError`."""
        fields: dict[str, object] = {name: _converted(name, value, None) for name, value in self._constants.items()}
        for column in self._columns:
            is_there, value = _find(record, column.source)
            if value is not None:
                fields[column.field] = _converted(column.field, value, column.factor)
            elif is_there and column.field in _EMPTY_VALUES:
                fields[column.field] = _EMPTY_VALUES[column.field]
        return entry_from_mapping(fields)


def parse_constant(text: str) -> tuple[str, str]:
    """Reads ``FIELD=VALUE``. Raises `ValueError`."""
    field, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"{text!r} is not FIELD=VALUE")
    _require_field(field)
    return field, value


def _require_field(field: str) -> None:
    if field not in FIELDS:
        raise ValueError(f"{field!r} is no field of an entry; known are {', '.join(FIELDS)}")


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
        # A text that is no number is a date, which needs no factor to become milliseconds.
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
    """A status from an error code: one that is empty is a success, and one that is no HTTP status a failure."""
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
