"""Records with the names of an entry: entries of any program, and the rows that ``chainlog export`` wrote."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from chainlog_async.admin.restore import ExportedRow
from chainlog_async.common.clock import MAX_INT64
from chainlog_async.entry.json_input import entry_from_mapping, field_named, names_of, refuse_unclear_time
from chainlog_async.entry.model import ENTRY_FIELDS, RequestLogEntry
from chainlog_async.errors import InvalidEntryError

from .records import Record
from .values import (
    INTEGER_FIELDS,
    JSON_FIELDS,
    NUMBER_FIELDS,
    flag_of,
    is_missing,
    json_of,
    number_of,
    timestamp_of,
    whole,
)

ROW_ID = "id"
"""Name of the column that only an export has: the id of the row in the log that it came from."""

# What pandas calls a column without a name, once it has read one.
_UNNAMED = re.compile(r"Unnamed: \d+")

_REQUIRED = frozenset(field.name for field in msgspec.structs.fields(RequestLogEntry) if field.required)

_NUMBERS = INTEGER_FIELDS | NUMBER_FIELDS | {"http_status"}
_AS_THEY_ARE: dict[str, type] = {
    name: int if field in _NUMBERS else bool if field == "streamed" else str
    for field in ENTRY_FIELDS
    if field not in JSON_FIELDS
    for name in names_of(field)
}
"""The type of a value that needs no look, by the names of its field."""


def are_own_names(names: Sequence[str]) -> bool:
    """Whether these are names of an entry or an export; one alone may be so by chance."""
    return sum(name == ROW_ID or field_named(name) is not None for name in names) > 1


def read_own_record(record: Record) -> RequestLogEntry | ExportedRow:
    """Returns the row of an export when the record has an `id`, else an entry. Raises `InvalidEntryError`.

    Values may be as CSV or pandas write them. An odd value of an optional field is left for the log to repair.
    """
    fields: dict[str, object] = {}
    for name, value in record.items():
        # Most values are what their field holds already; the others take five times as long.
        if type(value) is _AS_THEY_ARE.get(name):
            fields[name] = value
        elif name != ROW_ID and _is_given(name, value):
            fields[name] = _value(name, value)
    row_id = record.get(ROW_ID)
    if row_id is None:
        entry = entry_from_mapping(fields)
        refuse_unclear_time(entry)
        return entry
    number = whole(row_id)
    if not isinstance(number, int) or not 0 <= number <= MAX_INT64:
        raise InvalidEntryError(f"id is {row_id!r}; give the number of the row in an export, or leave id out")
    entry = entry_from_mapping(fields)
    if isinstance(entry.attempt_trail, list):
        entry = msgspec.structs.replace(entry, attempt_trail=[_without_nulls(item) for item in entry.attempt_trail])
    return ExportedRow(number, entry)


def _is_given(name: str, value: object) -> bool:
    """False for a column without a name, in which pandas numbers its rows, and for nothing in an optional field."""
    field = field_named(name)
    if field is None:
        return name != "" and not _UNNAMED.fullmatch(name)
    return field in _REQUIRED or field == "timestamp" or not is_missing(field, value)


def _value(name: str, value: object) -> object:
    field = field_named(name) or name
    if field == "timestamp" and not isinstance(value, int | None):
        return timestamp_of(value)
    if field in INTEGER_FIELDS or field == "http_status":
        return whole(value)
    if field in NUMBER_FIELDS and isinstance(value, str):
        return number_of(field, value) if field in _REQUIRED else whole(value)
    if field == "streamed":
        return flag_of(value)
    return json_of(value) if field in JSON_FIELDS else value


def _without_nulls(attempt: object) -> object:
    if not isinstance(attempt, dict):
        return attempt
    return {name: value for name, value in attempt.items() if value is not None}
