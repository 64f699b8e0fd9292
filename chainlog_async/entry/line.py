"""Encodes an entry as a line of JSON.

Building an entry is cheap and validates nothing. It is validated once, when it is encoded: the line is decoded again by
a strict decoder, so whatever is in a line can be stored.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from operator import is_
from typing import Annotated, TypeVar

import msgspec

from chainlog_async.common.clock import MAX_TIMESTAMP_MS
from chainlog_async.errors import InvalidEntryError

from .model import (
    ENTRY_FIELDS,
    LATER_FIELDS,
    MAX_ATTEMPTS,
    MAX_COST_USD,
    MAX_COUNT,
    MAX_ERROR_CHARS,
    MAX_NAME_CHARS,
    MAX_TAGS,
    RequestLogEntry,
)
from .redaction import Redactor
from .sanitize import sanitize_entry, sanitize_tags

BACKSLASH = ord("\\")

_Name = Annotated[str, msgspec.Meta(max_length=MAX_NAME_CHARS)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_COUNT)]
_Duration = Annotated[float, msgspec.Meta(ge=0, le=MAX_COUNT)]
_Cost = Annotated[float, msgspec.Meta(ge=0, le=MAX_COST_USD)]
_Status = Annotated[int, msgspec.Meta(ge=100, le=599)]
_ErrorText = Annotated[str, msgspec.Meta(max_length=MAX_ERROR_CHARS)]
_Tag = Annotated[str, msgspec.Meta(max_length=MAX_NAME_CHARS, pattern=r"^[^:]+:[\s\S]")]


_T = TypeVar("_T", bound="_PlainLine")


class LineAttempt(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """The bounds of an attempt in a line: the fields of `Attempt`."""

    provider_id: _Name
    model: _Name
    http_status: _Status | None = None
    latency_ms: _Duration | None = None
    error_message: _ErrorText | None = None
    prompt_tokens: _Count | None = None
    completion_tokens: _Count | None = None
    cached_tokens: _Count | None = None
    cache_write_tokens: _Count | None = None
    cache_write_1h_tokens: _Count | None = None
    reasoning_tokens: _Count | None = None
    prompt_audio_tokens: _Count | None = None
    completion_audio_tokens: _Count | None = None
    cost_usd: _Cost | None = None
    cost_source: _Name | None = None


class _PlainLine(msgspec.Struct, array_like=True, gc=False):
    """The bounds of a line without optional fields."""

    timestamp: Annotated[int, msgspec.Meta(ge=0, le=MAX_TIMESTAMP_MS)]
    chain_name: _Name
    provider_id: _Name
    model: _Name
    prompt_tokens: _Count
    completion_tokens: _Count
    total_tokens: _Count | None
    latency_ms: _Duration
    http_status: _Status
    attempts: _Count


class _DetailedLine(_PlainLine, array_like=True, gc=False):
    """And with those that are plain values."""

    error_message: str | None = None
    request_id: _Name | None = None
    caller: _Name | None = None
    ttft_ms: _Duration | None = None
    cost_usd: _Cost | None = None
    streamed: bool | None = None
    cached_tokens: _Count | None = None


class _TrailLine(_DetailedLine, array_like=True, gc=False):
    """And with those that are objects."""

    metadata: dict[str, msgspec.Raw] | None = None
    attempt_trail: Annotated[list[LineAttempt], msgspec.Meta(max_length=MAX_ATTEMPTS)] | None = None


class LineEntry(_TrailLine, array_like=True, gc=False):
    """The bounds of a line: the fields of `RequestLogEntry`, as the database can store them."""

    cache_write_tokens: _Count | None = None
    cache_write_1h_tokens: _Count | None = None
    reasoning_tokens: _Count | None = None
    prompt_audio_tokens: _Count | None = None
    completion_audio_tokens: _Count | None = None
    finish_reason: _Name | None = None
    service_tier: _Name | None = None
    response_id: _Name | None = None
    session_id: _Name | None = None
    tags: Annotated[list[_Tag], msgspec.Meta(max_length=MAX_TAGS)] | None = None
    cost_source: _Name | None = None


# Made once, because a slice with numbers makes an object for each of them.
_REQUIRED = slice(len(_PlainLine.__struct_fields__))
_OPTIONAL = slice(_REQUIRED.stop, None)
_NO_OPTIONAL = (None,) * (len(ENTRY_FIELDS) - _REQUIRED.stop)
_UP_TO_DETAILS = slice(len(_DetailedLine.__struct_fields__))
_AFTER_DETAILS = slice(_UP_TO_DETAILS.stop, None)
_NOTHING_AFTER = (None,) * (len(ENTRY_FIELDS) - _UP_TO_DETAILS.stop)
_UP_TO_TRAIL = slice(len(_TrailLine.__struct_fields__))
_NUMBERS = frozenset({float, int})
_NUMBERS_OR_NONE = frozenset({float, int, type(None)})
# What an entry without optional fields is, optional ones included: one look instead of one at each of them.
_LineWithoutOptional: type[_PlainLine] = msgspec.defstruct(  # type: ignore[assignment]  # of that base
    "_LineWithoutOptional",
    [(name, type(None)) for name in ENTRY_FIELDS[_OPTIONAL]],
    bases=(_PlainLine,),
    array_like=True,
    gc=False,
)
_LATER_TEXTS = ("finish_reason", "service_tier", "response_id", "session_id", "cost_source")


def _plain(value: object) -> object:
    """Converts a subclass of str, int or float, such as numpy's float64, to its base type, which msgspec needs."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return float.__float__(value)
    raise TypeError(f"{type(value).__name__} is not a type that an entry can hold")


_encode = msgspec.json.Encoder(enc_hook=_plain).encode
_decode_line = msgspec.json.Decoder(LineEntry).decode
_decode_plain = msgspec.json.Decoder(_PlainLine).decode
_decode_detailed = msgspec.json.Decoder(_DetailedLine).decode
_decode_trail = msgspec.json.Decoder(_TrailLine).decode
_values_of = msgspec.structs.astuple
_convert = msgspec.convert
_decode_json = msgspec.json.Decoder().decode


def encode_line(entry: RequestLogEntry, redact: Callable[[str], str] = Redactor()) -> bytes:  # noqa: B008  # stateless to callers
    """Encodes the entry as one line of JSON, an array, without the newline; secrets are redacted.

    Raises `InvalidEntryError` when a value cannot be stored: wrong type, out of range, NaN, a NUL or a lone surrogate
    in a text, a name that is too long.
    """
    try:
        values = _values_of(entry)
        # The optional fields at the end that an entry does not have cost nothing: its line ends before them.
        if values[_OPTIONAL] == _NO_OPTIONAL:
            line, checked = _encode_required(entry, values, redact)
        else:
            line, checked = _encode_optional(entry, values, redact)
        # Only a line with an escape can hold a NUL, and most have none. Searching for the integer is nine times as fast
        # as searching for a byte string (measured on Python 3.11).
        if BACKSLASH in line:
            _refuse_nul(checked)
    except InvalidEntryError:
        raise
    except msgspec.ValidationError as error:
        raise InvalidEntryError(_explain(error)) from None
    except Exception as error:  # noqa: BLE001  # an entry may hold anything at all, and logging never raises for it
        raise InvalidEntryError(_describe_bad_field(entry, error)) from None
    return line


def check_line(line: bytes) -> None:
    """Raises `InvalidEntryError` when a line from a journal is not one that `encode_line` wrote."""
    try:
        checked = _decode_line(line)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidEntryError(_explain(error)) from None
    if BACKSLASH in line:
        _refuse_nul(checked)


def line_as_json(line: bytes) -> str:
    """Converts a line to a JSON object with field names, for `entry_from_json`; other bytes to a JSON string."""
    try:
        values = _decode_json(line)
        fields = dict.fromkeys(ENTRY_FIELDS)
        named = fields | dict(zip(ENTRY_FIELDS, values, strict=False)) if isinstance(values, list) else None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        named = None
    return _encode(line.decode("utf-8", "replace") if named is None else named).decode()


def _encode_required(
    entry: RequestLogEntry, values: tuple[object, ...], redact: Callable[[str], str]
) -> tuple[bytes, _PlainLine]:
    """Encodes an entry whose optional fields are None, or equal to None, as `mock.ANY` is to everything."""
    required = values[_REQUIRED]
    try:
        # What msgspec takes for a float may be a Decimal, which it writes as a text.
        if type(entry.latency_ms) in _NUMBERS:
            return _encode(required), _convert(values, _LineWithoutOptional)
    except msgspec.ValidationError:
        # Subclasses of the plain types can be stored all the same.
        pass
    if any(value is not None for value in values[_OPTIONAL]):
        return _encode_optional(entry, values, redact)
    line = _encode(required)
    return line, _judge_line(entry, line, _decode_plain)


def _encode_optional(
    entry: RequestLogEntry, values: tuple[object, ...], redact: Callable[[str], str]
) -> tuple[bytes, _PlainLine]:
    """Encodes an entry with optional fields, with none of those that it does not have at the end."""
    is_detailed = all(map(is_, values[_AFTER_DETAILS], _NOTHING_AFTER))
    if entry.error_message is not None or not is_detailed:
        entry = sanitize_entry(entry, redact)
        values = _values_of(entry)
    if is_detailed:
        values = values[_UP_TO_DETAILS]
        line = _encode(values)
        if (
            type(entry.latency_ms) in _NUMBERS
            and type(entry.ttft_ms) in _NUMBERS_OR_NONE
            and type(entry.cost_usd) in _NUMBERS_OR_NONE
        ):
            try:
                return line, _convert(values, _DetailedLine)
            except msgspec.ValidationError:
                # The line may be storable all the same: it has plain values in place of subclasses of their types.
                pass
        return line, _judge_line(entry, line, _decode_detailed)
    if all(getattr(entry, name) is None for name in LATER_FIELDS):
        line = _encode(values[_UP_TO_TRAIL])
        return line, _judge_line(entry, line, _decode_trail)
    return _encode_later(entry, redact)


def _judge_line(entry: RequestLogEntry, line: bytes, decode: Callable[[bytes], _T]) -> _T:
    """Decodes a line strictly. Raises `InvalidEntryError` for what it does not show: bytes are base64, NaN is null."""
    checked = decode(line)
    for name in ("chain_name", "provider_id", "model"):
        value: object = getattr(entry, name)
        if not isinstance(value, str):
            raise InvalidEntryError(f"{name} is {type(value).__name__}; give a str")
    if entry.total_tokens is not None and checked.total_tokens is None:
        raise InvalidEntryError(f"total_tokens is {entry.total_tokens!r}; give a whole number, or None for the sum")
    if isinstance(checked, _DetailedLine):
        _require_details(entry, checked)
    return checked


def _require_details(entry: RequestLogEntry, checked: _DetailedLine) -> None:
    for name in ("request_id", "caller"):
        value: object = getattr(entry, name)
        if value is not None and not isinstance(value, str):
            raise InvalidEntryError(f"{name} is {type(value).__name__}; give a str or None")
    for name in ("ttft_ms", "cost_usd", "streamed", "cached_tokens"):
        if getattr(entry, name) is not None and getattr(checked, name) is None:
            what = "a bool" if name == "streamed" else "a number"
            raise InvalidEntryError(f"{name} is {getattr(entry, name)!r}; give {what}, or None")


def _encode_later(entry: RequestLogEntry, redact: Callable[[str], str]) -> tuple[bytes, LineEntry]:
    """Encodes an entry with fields that most entries have none of, and refuses what the line does not show in them."""
    if entry.tags is not None:
        entry = sanitize_tags(entry, redact)
    line = _encode(entry)
    checked = _judge_line(entry, line, _decode_line)
    for name in LATER_FIELDS:
        value: object = getattr(entry, name)
        if value is not None and getattr(checked, name) is None:
            raise InvalidEntryError(f"{name} is {value!r}; give a whole number, or None")
        if name in _LATER_TEXTS and value is not None and not isinstance(value, str):
            raise InvalidEntryError(f"{name} is {type(value).__name__}; give a str or None")
    return line, checked


def _refuse_nul(checked: _PlainLine) -> None:
    for name in ("chain_name", "provider_id", "model"):
        _refuse_nul_in(name, getattr(checked, name))
    if isinstance(checked, _DetailedLine):
        for name in ("error_message", "request_id", "caller"):
            _refuse_nul_in(name, getattr(checked, name))
    if isinstance(checked, _TrailLine):
        for attempt in checked.attempt_trail or ():
            _refuse_nul_in("provider_id of an attempt", attempt.provider_id)
            _refuse_nul_in("model of an attempt", attempt.model)
            _refuse_nul_in("cost_source of an attempt", attempt.cost_source)
    if isinstance(checked, LineEntry):
        for name in _LATER_TEXTS:
            _refuse_nul_in(name, getattr(checked, name))
        for tag in checked.tags or ():
            _refuse_nul_in("a tag", tag)


def _refuse_nul_in(name: str, value: str | None) -> None:
    if value is not None and "\0" in value:
        raise InvalidEntryError(f"{name} contains a NUL character, at which SQLite would truncate the text")


def _describe_bad_field(entry: object, error: Exception) -> str:
    """Returns which field cannot be encoded, and why."""
    if not isinstance(entry, RequestLogEntry):
        return f"{type(entry).__name__} is not an entry; give a RequestLogEntry"
    for name in ENTRY_FIELDS:
        try:
            _encode(getattr(entry, name))
        except Exception as field_error:  # noqa: BLE001  # a field may hold anything at all
            return f"{name} cannot be stored: {field_error}"
    return f"the entry cannot be stored: {error}"


def _explain(error: Exception) -> str:
    """Returns msgspec's message with the name of the field in place of its index in the array."""

    def name_of(place: re.Match[str]) -> str:
        index = int(place[1])
        return f" for {ENTRY_FIELDS[index] if index < len(ENTRY_FIELDS) else place[1]}{place[2]}"

    return re.sub(r" - at `\$\[(\d+)\]([^`]*)`", name_of, str(error)).replace("`", "")
