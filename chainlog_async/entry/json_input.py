"""Entries from JSON, with names in snake_case or camelCase."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

import msgspec

from chainlog_async.errors import InvalidEntryError

from .line import _decode_json
from .model import ENTRY_FIELDS, Attempt, RequestLogEntry

_REQUIRED = frozenset(field.name for field in msgspec.structs.fields(RequestLogEntry) if field.required)


def entry_from_json(data: bytes | str) -> RequestLogEntry:
    """Parses an entry from one JSON object with names in snake_case or camelCase.

    Raises `InvalidEntryError` when it is not JSON, not an object, or has an unknown or missing field.
    """
    return entry_from_mapping(json_value(data))


def json_value(data: bytes | str) -> object:
    """Parses JSON. Raises `InvalidEntryError` when it is invalid or nested too deeply."""
    try:
        return _decode_json(data)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise InvalidEntryError(f"not JSON: {error}") from None
    except RecursionError:
        raise InvalidEntryError("the JSON cannot be read: it is nested too deeply") from None


def entry_from_mapping(value: object) -> RequestLogEntry:
    """Builds an entry from decoded JSON with names in snake_case or camelCase.

    Raises `InvalidEntryError` when it is not an object, or has an unknown or missing field.
    """
    if not isinstance(value, Mapping):
        raise InvalidEntryError(f"an entry is a JSON object, not {_json_type(value)}")
    fields: dict[str, object] = {}
    for name, item in value.items():
        field = _FIELD_OF_NAME.get(name)
        if field is None:
            raise InvalidEntryError(f"unknown field {_short(name)}{_did_you_mean(str(name))}")
        if field in fields:
            raise InvalidEntryError(f"field {field!r} is given twice")
        fields[field] = _attempts(item) if field == "attempt_trail" else item
    missing = [name for name in ENTRY_FIELDS if name in _REQUIRED and name not in fields]
    if missing:
        raise InvalidEntryError(f"missing field{'s' if len(missing) > 1 else ''}: {', '.join(missing)}")
    return RequestLogEntry(**fields)  # type: ignore[arg-type]  # validated when it is encoded, like any other entry


def field_named(name: str) -> str | None:
    """The field of an entry that a name in snake_case or camelCase means; None when it means none."""
    return _FIELD_OF_NAME.get(name)


def names_of(field: str) -> tuple[str, str]:
    """The names that a field may have: in snake_case and in camelCase."""
    return field, _camel(field)


def _attempts(trail: object) -> object:
    """Converts the names in attempts to snake_case; anything but a list of objects is validated with the entry."""
    if not isinstance(trail, list):
        return trail
    return [
        {_ATTEMPT_FIELD_OF_NAME.get(name, name): item for name, item in attempt.items()}
        if isinstance(attempt, dict)
        else attempt
        for attempt in trail
    ]


def _camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(part.capitalize() for part in tail)


def _aliases(names: Sequence[str]) -> dict[str, str]:
    return {alias: name for name in names for alias in (name, _camel(name))}


_FIELD_OF_NAME = _aliases(ENTRY_FIELDS)


_ATTEMPT_FIELD_OF_NAME = _aliases(Attempt.__struct_fields__)


def _short(name: object) -> str:
    text = repr(name)
    return text if len(text) <= 80 else f"{text[:79]}…"


def _did_you_mean(name: str) -> str:
    close = difflib.get_close_matches(name, _FIELD_OF_NAME, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; the fields are {', '.join(ENTRY_FIELDS)}"


def _json_type(value: object) -> str:
    names = {list: "an array", str: "a string", int: "a number", float: "a number", bool: "a boolean"}
    return "null" if value is None else names.get(type(value), type(value).__name__)
