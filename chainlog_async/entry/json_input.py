"""Entries from JSON, with names in snake_case or camelCase."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence

import msgspec

from chainlog_async.common.json_names import camel_case
from chainlog_async.common.spelling import did_you_mean
from chainlog_async.common.units import UnclearTimeError, parse_iso_time, refuse_unclear_number
from chainlog_async.errors import InvalidEntryError

from .line import _decode_json
from .model import ENTRY_FIELDS, MAX_NAME_CHARS, Attempt, RequestLogEntry

ENTRY_ID_NAMES = ("entry_id", "entryId")
"""The names of the id of a posted entry, which is not stored."""

_REQUIRED = frozenset(field.name for field in msgspec.structs.fields(RequestLogEntry) if field.required)


def entry_from_json(data: bytes | str) -> RequestLogEntry:
    """Parses an entry from one JSON object with names in snake_case or camelCase.

    Raises `InvalidEntryError` when it is not JSON, not an object, has an unknown or missing field, half of an emoji in
    a name that is required, or a timestamp that is hardly in ms.
    """
    return _checked(entry_from_mapping(json_value(data)))


def posted_entry_from_json(data: bytes | str) -> tuple[RequestLogEntry, str | None]:
    """Parses an entry like `entry_from_json`, and the id under ``entry_id`` by which its sender knows it, if any.

    Raises `InvalidEntryError`, also for an id that is no text of 1 to `MAX_NAME_CHARS` characters.
    """
    value = json_value(data)
    if not isinstance(value, dict) or not any(name in value for name in ENTRY_ID_NAMES):
        return _checked(entry_from_mapping(value)), None
    ids = [value.pop(name) for name in ENTRY_ID_NAMES if name in value]
    entry_id = ids[0]
    if len(ids) > 1 or not (entry_id is None or (isinstance(entry_id, str) and 0 < len(entry_id) <= MAX_NAME_CHARS)):
        raise InvalidEntryError(f"entry_id is {_short(entry_id)}; give one text of 1 to {MAX_NAME_CHARS} characters")
    return _checked(entry_from_mapping(value)), entry_id


def _checked(entry: RequestLogEntry) -> RequestLogEntry:
    refuse_unclear_time(entry)
    _refuse_half_characters(entry)
    return entry


def _refuse_half_characters(entry: RequestLogEntry) -> None:
    """Refuses names that were cut: the client, who is told, has them whole."""
    for name in ("chain_name", "provider_id", "model"):
        text: object = getattr(entry, name)
        if isinstance(text, str) and not text.isascii() and _SURROGATE.search(text):
            raise InvalidEntryError(f"{name} is {_short(text)}, which has a lone surrogate: half of an emoji")


def refuse_unclear_time(entry: RequestLogEntry) -> None:
    """Raises `InvalidEntryError` when the timestamp is hardly in ms."""
    timestamp: object = entry.timestamp
    # Anything but a number is refused, with the other fields, when the entry is encoded.
    if not isinstance(timestamp, int | float) or isinstance(timestamp, bool):
        return
    if timestamp != timestamp:  # noqa: PLR0124  # NaN, refused with the other fields
        return
    try:
        refuse_unclear_number(timestamp or 1)
    except UnclearTimeError as error:
        raise InvalidEntryError(
            f"timestamp is {timestamp}, which {error.reason}; give ms since the epoch, or ISO 8601"
        ) from None


def json_value(data: bytes | str) -> object:
    """Parses JSON, and what Python's own parser takes as well: NaN, 1e400, half an emoji, a tab within a text.

    Whether such a value can be stored is for the log to say, which repairs it. Raises `InvalidEntryError` when it is
    invalid, not UTF-8, or nested too deeply.
    """
    try:
        try:
            return _decode_json(data)
        except (msgspec.DecodeError, UnicodeError) as error:
            return _decoded_loosely(data, error)
    except RecursionError:
        raise InvalidEntryError("the JSON cannot be read: it is nested too deeply") from None


def _decoded_loosely(data: bytes | str, refusal: Exception) -> object:
    try:
        text = data if isinstance(data, str) else data.decode("utf-8", "surrogatepass")
        value: object = json.loads(text.removeprefix("\ufeff"), parse_int=_int, strict=False)
    except ValueError:
        raise InvalidEntryError(f"not JSON: {refusal}") from None
    return value


def _int(digits: str) -> int | float:
    return int(digits) if len(digits) < _MAX_DIGITS else math.copysign(math.inf, -1 if digits[0] == "-" else 1)


def entry_from_mapping(value: object) -> RequestLogEntry:
    """Builds an entry from decoded JSON with names in snake_case or camelCase; its timestamp may be ISO 8601.

    Raises `InvalidEntryError` when it is not an object, or has an unknown or missing field.
    """
    if not isinstance(value, Mapping):
        raise InvalidEntryError(f"an entry is a JSON object, not {_json_type(value)}")
    fields: dict[str, object] = {}
    for name, item in value.items():
        field = _FIELD_OF_NAME.get(name)
        if field is None:
            raise InvalidEntryError(f"unknown field {_short(name)}{_did_you_mean(str(name), value)}")
        if field in fields:
            raise InvalidEntryError(f"field {field!r} is given twice, also as {camel_case(field)!r}; keep one of them")
        fields[field] = _attempts(item) if field == "attempt_trail" else item
    if fields.get("timestamp", 0) is None:
        # As if it were not there: now.
        del fields["timestamp"]
    if isinstance(timestamp := fields.get("timestamp"), str):
        fields["timestamp"] = _ms_of(timestamp)
    missing = [name for name in ENTRY_FIELDS if name in _REQUIRED and name not in fields]
    if missing:
        named = ", ".join(map(_sent_names(value).__getitem__, missing))
        raise InvalidEntryError(f"missing field{'s' if len(missing) > 1 else ''}: {named}")
    return RequestLogEntry(**fields)  # type: ignore[arg-type]  # validated when it is encoded, like any other entry


def field_named(name: str) -> str | None:
    """The field of an entry that a name in snake_case or camelCase means; None when it means none."""
    return _FIELD_OF_NAME.get(name)


def names_of(field: str) -> tuple[str, str]:
    """The names that a field may have: in snake_case and in camelCase."""
    return field, camel_case(field)


def as_sent(error: InvalidEntryError, data: bytes | str) -> InvalidEntryError:
    """Returns the error about the entry in `data` with its fields named as they were sent there: ``chainName``."""
    try:
        return as_sent_in(error, json_value(data))
    except InvalidEntryError:
        return error


def as_sent_in(error: InvalidEntryError, value: object) -> InvalidEntryError:
    """Returns the error about an entry of decoded JSON with its fields named as they are there."""
    if not isinstance(value, Mapping) or not _is_camel(value):
        return error
    names = _sent_names(value)
    # A value, which is quoted, may look like a name.
    text = _QUOTED_OR_NAME.sub(lambda found: names.get(found[0], found[0]), str(error))
    return InvalidEntryError(text)


def _sent_names(value: Mapping[object, object]) -> dict[str, str]:
    """Returns what the sender calls each field: as it was sent, and in camelCase if any other name is."""
    is_camel = _is_camel(value)
    called = {field: camel_case(field) if is_camel else field for field in (*Attempt.__struct_fields__, *ENTRY_FIELDS)}
    return called | {field: str(name) for name in value if (field := _FIELD_OF_NAME.get(str(name)))}


def _is_camel(value: Mapping[object, object]) -> bool:
    return any(name in _CAMEL_NAMES for name in value)


def _ms_of(timestamp: str) -> int:
    if _DIGITS.fullmatch(timestamp):
        return int(timestamp)
    try:
        return parse_iso_time(timestamp)
    except (ValueError, OverflowError):
        raise InvalidEntryError(
            f"timestamp is {_short(timestamp)}; give ms since the epoch, or ISO 8601 such as 2026-11-25T08:00:00.250Z "
            "(UTC unless it names a zone)"
        ) from None


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


def _aliases(names: Sequence[str]) -> dict[str, str]:
    return {alias: name for name in names for alias in (name, camel_case(name))}


_FIELD_OF_NAME = _aliases(ENTRY_FIELDS)
_ATTEMPT_FIELD_OF_NAME = _aliases(Attempt.__struct_fields__)
_CAMEL_NAMES = frozenset(_FIELD_OF_NAME) - frozenset(ENTRY_FIELDS)
_MAX_DIGITS = 4_000
"""Length from which Python refuses to read an integer."""

_SURROGATE = re.compile("[\ud800-\udfff]")
_DIGITS = re.compile(r"\s*[0-9]{1,30}\s*")
_QUOTED_OR_NAME = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|\b[a-z]+(?:_[a-z]+)+\b""")


def _short(name: object) -> str:
    text = repr(name)
    return text if len(text) <= 80 else f"{text[:79]}…"


def _did_you_mean(name: str, value: Mapping[object, object]) -> str:
    sent = _sent_names(value)
    names = [sent[field] for field in ENTRY_FIELDS]
    near = did_you_mean(name, names)
    return f"; did you mean {near!r}?" if near else f"; the fields are {', '.join(names)}"


def _json_type(value: object) -> str:
    names = {list: "an array", str: "a string", int: "a number", float: "a number", bool: "a boolean"}
    return "null" if value is None else names.get(type(value), type(value).__name__)
