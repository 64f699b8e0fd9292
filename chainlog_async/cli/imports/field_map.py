"""Maps records of any shape to entries, for ``chainlog import --map SOURCE=FIELD``."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from chainlog_async.entry.json_input import entry_from_mapping, refuse_unclear_time
from chainlog_async.entry.model import RequestLogEntry

from .records import Record
from .values import (
    INTEGER_FIELDS,
    JSON_FIELDS,
    NUMBER_FIELDS,
    flag_of,
    is_missing,
    json_of,
    number_of,
    status_of_code,
    timestamp_of,
)

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
            if not is_missing(column.field, value):
                fields[column.field] = _converted(column.field, value, column.factor)
            elif is_there and column.field in _EMPTY_VALUES:
                fields[column.field] = _EMPTY_VALUES[column.field]
        status = fields.get("http_status")
        if fields.get("ttft_ms") == 0 and isinstance(status, int) and status >= 400:
            # Benchmarks write 0 where no token came.
            del fields["ttft_ms"]
        entry = entry_from_mapping(fields)
        refuse_unclear_time(entry)
        return entry


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
        return timestamp_of(value, factor)
    if field == "http_status":
        return status_of_code(value)
    if field in INTEGER_FIELDS | NUMBER_FIELDS:
        number = number_of(field, value) * (factor or 1)
        return round(number) if field in INTEGER_FIELDS else number
    if field == "error_message":
        return value or None
    if field == "streamed":
        return flag_of(value)
    return json_of(value) if field in JSON_FIELDS else value
