"""One request of the gateway, and the line it becomes.

An entry is cheap to build and never judged while it is built. It is judged once, when it is encoded: the line is
decoded again by a strict decoder, so whatever is in a line can be stored.
"""

from __future__ import annotations

import difflib
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated

import msgspec

from chainlog_async.errors import InvalidEntryError

from .redaction import Redactor
from .sanitize import MAX_ERROR_CHARS, cleaned

MAX_NAME_CHARS = 256
"""Longest chain, provider, model or caller name, and longest request id, in characters."""

MAX_ATTEMPTS = 100
"""Longest attempt trail."""

MAX_COST_USD = 1_000_000_000
"""Largest cost of a request, in US dollars."""

MAX_COUNT = 1_000_000_000_000
"""Largest number of tokens, milliseconds of latency or attempts; nine million such rows still add up in 64 bits."""

MAX_TIMESTAMP_MS = 253_402_300_799_999
"""Last millisecond of the year 9999, UTC: what SQLite's date functions can show."""


def now_ms() -> int:
    """Milliseconds since the epoch, UTC."""
    return time.time_ns() // 1_000_000


class Attempt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One try of the chain: which provider was asked, and what came of it. Judged with the entry it is part of."""

    provider_id: str
    model: str
    http_status: int | None = None
    """Status the provider sent, 100 to 599; None when it sent none: refused connection, timeout."""
    latency_ms: float | None = None
    """From the try to its end, in ms."""
    error_message: str | None = None
    """Why it failed; without secrets, and cut after `MAX_ERROR_CHARS` characters."""


class RequestLogEntry(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One request that the gateway answered, or failed to.

    Building one never raises for a value: `RequestLogger.log_request` judges it and counts it as ``invalid``.
    The order of the fields is the order in a line: new ones are only ever added at the end, so that a journal
    written by an older version can be replayed.
    """

    timestamp: int = msgspec.field(default_factory=now_ms)
    """When it ended, in ms since the epoch, UTC."""
    chain_name: str
    """The chain of providers that was asked."""
    provider_id: str
    """The provider that answered, or was tried last."""
    model: str
    """The provider's name of the model."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int | None = None
    """Tokens in all; None stands for the sum of the two kinds."""
    latency_ms: float
    """From the request to its last byte, in ms; rounded half up when stored."""
    http_status: int
    """Status the client got, 100 to 599."""
    attempts: int = 1
    """How many entries of the chain were tried; at least the length of `attempt_trail`, 0 if nobody was asked."""
    error_message: str | None = None
    """Why it failed; without secrets, and cut after `MAX_ERROR_CHARS` characters."""
    request_id: str | None = None
    """The gateway's own id of the request, to find it again."""
    caller: str | None = None
    """Who asked: a key's alias, a team or a user; never the key itself."""
    ttft_ms: float | None = None
    """Time to first token, in ms; rounded half up when stored."""
    cost_usd: float | None = None
    """What it cost, in US dollars, 0 to `MAX_COST_USD`."""
    streamed: bool | None = None
    """Whether the answer was streamed."""
    cached_tokens: int | None = None
    """How many of the prompt's tokens the provider read from its cache."""
    metadata: Mapping[str, object] | None = None
    """Anything else worth keeping, as JSON of at most 4096 bytes; strings are kept without secrets."""
    attempt_trail: Sequence[Attempt] | None = None
    """Every try of the chain in order, the last being the one that answered, or failed for good."""


BACKSLASH = ord("\\")

_Name = Annotated[str, msgspec.Meta(max_length=MAX_NAME_CHARS)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_COUNT)]
_Duration = Annotated[float, msgspec.Meta(ge=0, le=MAX_COUNT)]
_Status = Annotated[int, msgspec.Meta(ge=100, le=599)]
_ErrorText = Annotated[str, msgspec.Meta(max_length=MAX_ERROR_CHARS)]


class AttemptOfLine(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """What an attempt in a line must hold: the fields of `Attempt` with their bounds."""

    provider_id: _Name
    model: _Name
    http_status: _Status | None = None
    latency_ms: _Duration | None = None
    error_message: _ErrorText | None = None


class EntryOfLine(msgspec.Struct, array_like=True, gc=False):
    """What a line must hold: the fields of `RequestLogEntry` with the bounds of the database."""

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
    error_message: str | None = None
    request_id: _Name | None = None
    caller: _Name | None = None
    ttft_ms: _Duration | None = None
    cost_usd: Annotated[float, msgspec.Meta(ge=0, le=MAX_COST_USD)] | None = None
    streamed: bool | None = None
    cached_tokens: _Count | None = None
    metadata: dict[str, msgspec.Raw] | None = None
    attempt_trail: Annotated[list[AttemptOfLine], msgspec.Meta(max_length=MAX_ATTEMPTS)] | None = None


_FIELDS: tuple[str, ...] = RequestLogEntry.__struct_fields__
_REQUIRED = frozenset(field.name for field in msgspec.structs.fields(RequestLogEntry) if field.required)


def _plain(value: object) -> object:
    """A subclass of str, int or float (numpy's float64, for one) as what it is at heart; msgspec knows exact types."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return float.__float__(value)
    raise TypeError(f"{type(value).__name__} is no type that an entry holds")


_encode = msgspec.json.Encoder(enc_hook=_plain).encode
_decode_line = msgspec.json.Decoder(EntryOfLine).decode
_decode_json = msgspec.json.Decoder().decode


def encode_line(entry: RequestLogEntry, redact: Callable[[str], str] = Redactor()) -> bytes:  # noqa: B008  # immutable
    """The entry as one line of JSON, an array, without the newline; its messages and metadata without secrets.

    Raises `InvalidEntryError` when a value cannot be stored: wrong type, out of range, NaN, a NUL or a lone
    surrogate in a text, a name that is too long.
    """
    try:
        if entry.error_message is not None or entry.attempt_trail is not None or entry.metadata is not None:
            entry = cleaned(entry, redact)
        line = _encode(entry)
        checked = _decode_line(line)
        # msgspec writes bytes as base64 text and NaN as null: two wrong types that look right in the line.
        if not (type(entry.chain_name) is type(entry.provider_id) is type(entry.model) is str):
            _require_texts(entry)
        if entry.total_tokens is not None and checked.total_tokens is None:
            raise InvalidEntryError(f"total_tokens is {entry.total_tokens!r}; give a whole number, or None for the sum")
        if (
            entry.request_id is not None
            or entry.caller is not None
            or entry.ttft_ms is not None
            or entry.cost_usd is not None
        ):
            _require_details(entry, checked)
        # Only a line with an escape can hold a NUL, and most have none. Looking for the number is nine times as fast as
        # looking for the byte string (measured on Python 3.11).
        if BACKSLASH in line:
            _refuse_nul(checked)
    except InvalidEntryError:
        raise
    except msgspec.ValidationError as error:
        raise InvalidEntryError(_explain(error)) from None
    except Exception as error:  # noqa: BLE001  # an entry may hold anything at all, and logging never raises for it
        raise InvalidEntryError(_blame(entry, error)) from None
    return line


def check_line(line: bytes) -> None:
    """Raises `InvalidEntryError` when the line, read back from a journal, is not one that `encode_line` wrote."""
    try:
        checked = _decode_line(line)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidEntryError(_explain(error)) from None
    if BACKSLASH in line:
        _refuse_nul(checked)


def line_as_json(line: bytes) -> str:
    """A line as a JSON object with the fields' names, as `entry_from_json` reads it; other bytes as a JSON string."""
    try:
        values = _decode_json(line)
        named = dict(zip(_FIELDS, values, strict=False)) if isinstance(values, list) else None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        named = None
    return _encode(line.decode("utf-8", "replace") if named is None else named).decode()


def entry_from_json(data: bytes | str) -> RequestLogEntry:
    """Reads one JSON object with snake_case or camelCase names.

    Raises `InvalidEntryError` when it is not JSON, not an object, or has an unknown or missing field.
    """
    return entry_from_mapping(json_value(data))


def json_value(data: bytes | str) -> object:
    """What the JSON says. Raises `InvalidEntryError` for what is none."""
    try:
        return _decode_json(data)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise InvalidEntryError(f"not JSON: {error}") from None
    except RecursionError:
        raise InvalidEntryError("JSON that is nested this deeply cannot be read") from None


def entry_from_mapping(value: object) -> RequestLogEntry:
    """The same for a JSON value that is decoded already. Raises `InvalidEntryError`."""
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
    missing = [name for name in _FIELDS if name in _REQUIRED and name not in fields]
    if missing:
        raise InvalidEntryError(f"missing field{'s' if len(missing) > 1 else ''}: {', '.join(missing)}")
    return RequestLogEntry(**fields)  # type: ignore[arg-type]  # judged when it is encoded, like any other entry


def _attempts(trail: object) -> object:
    """Attempts under snake_case names; what is no list of objects is judged with the rest of the entry."""
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


_FIELD_OF_NAME = _aliases(_FIELDS)
_ATTEMPT_FIELD_OF_NAME = _aliases(Attempt.__struct_fields__)


def _short(name: object) -> str:
    text = repr(name)
    return text if len(text) <= 80 else f"{text[:79]}…"


def _did_you_mean(name: str) -> str:
    close = difflib.get_close_matches(name, _FIELD_OF_NAME, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(_FIELDS)}"


def _json_type(value: object) -> str:
    names = {list: "an array", str: "a string", int: "a number", float: "a number", bool: "a boolean"}
    return "null" if value is None else names.get(type(value), type(value).__name__)


def _require_texts(entry: RequestLogEntry) -> None:
    for name in ("chain_name", "provider_id", "model"):
        value: object = getattr(entry, name)
        if not isinstance(value, str):
            raise InvalidEntryError(f"{name} is {type(value).__name__}; give a str")


def _require_details(entry: RequestLogEntry, checked: EntryOfLine) -> None:
    """The same two wrong types, bytes and NaN, in the optional fields."""
    for name in ("request_id", "caller"):
        value: object = getattr(entry, name)
        if value is not None and not isinstance(value, str):
            raise InvalidEntryError(f"{name} is {type(value).__name__}; give a str or None")
    for name in ("ttft_ms", "cost_usd"):
        if getattr(entry, name) is not None and getattr(checked, name) is None:
            raise InvalidEntryError(f"{name} is {getattr(entry, name)!r}; give a number, or None")


def _refuse_nul(checked: EntryOfLine) -> None:
    for name in ("chain_name", "provider_id", "model", "error_message", "request_id", "caller"):
        _refuse_nul_in(name, getattr(checked, name))
    for attempt in checked.attempt_trail or ():
        _refuse_nul_in("provider_id of an attempt", attempt.provider_id)
        _refuse_nul_in("model of an attempt", attempt.model)


def _refuse_nul_in(name: str, value: str | None) -> None:
    if value is not None and "\0" in value:
        raise InvalidEntryError(f"{name} holds a NUL character; SQLite would cut the text there")


def _blame(entry: object, error: Exception) -> str:
    """Which field it is that cannot be encoded at all."""
    if not isinstance(entry, RequestLogEntry):
        return f"{type(entry).__name__} is no entry; give a RequestLogEntry"
    for name in _FIELDS:
        try:
            _encode(getattr(entry, name))
        except Exception as field_error:  # noqa: BLE001  # the same
            return f"{name} cannot be stored: {field_error}"
    return f"the entry cannot be stored: {error}"


def _explain(error: Exception) -> str:
    """Says the field's name, where msgspec says the place by its index in the array; people know the field's name."""

    def name_of(place: re.Match[str]) -> str:
        index = int(place[1])
        return f" for {_FIELDS[index] if index < len(_FIELDS) else place[1]}{place[2]}"

    return re.sub(r" - at `\$\[(\d+)\]([^`]*)`", name_of, str(error)).replace("`", "")
