"""Makes an entry storable when a value of it is not, so that an odd detail never costs the row.

Runs only after `encode_line` has refused an entry. Texts are cut and cleaned, numbers are converted where nothing is
lost, and any other odd value of an optional field is left out. The metadata names these fields.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from enum import Enum
from typing import TypeGuard
from uuid import UUID

import msgspec

from chainlog_async.errors import InvalidEntryError

from .line import encode_line
from .metadata import cut_metadata, storable_metadata
from .model import (
    ENTRY_FIELDS,
    MAX_ATTEMPTS,
    MAX_COST_USD,
    MAX_COUNT,
    MAX_ERROR_CHARS,
    MAX_NAME_CHARS,
    MAX_TAGS,
    Attempt,
    RequestLogEntry,
)
from .numbers import as_number, is_flag
from .sanitize import MAX_METADATA_BYTES, as_builtins, redact_metadata
from .text import as_text, clean_text

REPAIRED_KEY = "chainlog_repaired"
"""Key in the metadata of a repaired request: the list of its fields that were changed or left out."""

_MAX_UNREDACTED_CHARS = 2 * MAX_ERROR_CHARS + 1
"""Length to which an error text is cut here: one more than is searched for secrets before it is cut to its bound."""

_MARK_BYTES = len(msgspec.json.encode({REPAIRED_KEY: ENTRY_FIELDS}))

_encode = msgspec.json.Encoder().encode

_ATTEMPT_TOKENS = tuple(name for name in Attempt.__struct_fields__ if name.endswith("_tokens"))
_REQUIRED = frozenset(
    {"timestamp", *(field.name for field in msgspec.structs.fields(RequestLogEntry) if field.required)}
)
_DEFAULTS = {field.name: field.default for field in msgspec.structs.fields(RequestLogEntry)}


def encode_storable(entry: RequestLogEntry, redact: Callable[[str], str]) -> bytes:
    """Encodes an entry, repaired if need be. Raises `InvalidEntryError` when `encode_repaired` does."""
    try:
        return encode_line(entry, redact)
    except InvalidEntryError:
        return encode_repaired(entry, redact)[0]


def encode_repaired(entry: RequestLogEntry, redact: Callable[[str], str]) -> tuple[bytes, tuple[str, ...]]:
    """Encodes an entry that `encode_line` refused. Returns the line, and the names of the fields that were repaired.

    Raises `InvalidEntryError` when a required field cannot be made storable: a name that is not a text, a latency that
    is negative or not a number, a status outside 100 to 599, or a timestamp before the epoch or in the far future.
    """
    if not isinstance(entry, RequestLogEntry):
        # Refused again, with the message that says what it is.
        return encode_line(entry, redact), ()
    changed: dict[str, object] = {}
    for name, repair in _REPAIRS.items():
        value: object = getattr(entry, name)
        try:
            repaired = repair(value)
        except Exception:  # noqa: BLE001  # a field may hold anything at all
            # Required fields are left, to be refused.
            repaired = value if name in _REQUIRED else _DEFAULTS[name]
        if not _is_same(repaired, value):
            changed[name] = repaired
    metadata = {} if entry.metadata is None else _metadata(entry.metadata, redact)
    if not _fits(entry.metadata):
        changed["metadata"] = metadata
    if not changed:
        return encode_line(entry, redact), ()
    marked = {**cut_metadata(metadata, MAX_METADATA_BYTES - _MARK_BYTES), REPAIRED_KEY: list(changed)}
    # What is left out of the trail still was an attempt.
    counted = max(_count(entry.attempts) or 0, _length(entry.attempt_trail)) if "attempt_trail" in changed else 0
    odd = tuple(changed)
    if counted:
        changed["attempts"] = min(counted, MAX_COUNT)
    return encode_line(msgspec.structs.replace(entry, **changed | {"metadata": marked}), redact), odd


def _length(trail: object) -> int:
    try:
        return len(trail) if _is_trail(trail) else 0
    except Exception:  # noqa: BLE001  # a collection of somebody else's may fail when it is looked at
        return 0


def _is_trail(value: object) -> TypeGuard[Sequence[object]]:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray)


def _is_same(repaired: object, value: object) -> bool:
    # A repaired trail is another list, and its attempts may be equal to what cannot be stored, as 5 is to a Decimal.
    if repaired is value or isinstance(repaired, list):
        return repaired is value
    try:
        # A bool is an int, but not to JSON.
        is_alike = isinstance(value, bool) is isinstance(repaired, bool)
        return is_alike and isinstance(value, type(repaired)) and bool(repaired == value)
    except Exception:  # noqa: BLE001  # a field may hold anything at all
        return False


# -- metadata --------------------------------------------------------------------------------------------------------


def _metadata(value: object, redact: Callable[[str], str]) -> dict[str, object]:
    try:
        return storable_metadata(value, redact) if isinstance(value, Mapping) else {}
    except Exception:  # noqa: BLE001  # a mapping of somebody else's may fail when it is read
        return {}


def _unchanged(text: str) -> str:
    return text


def _fits(metadata: object) -> bool:
    """Whether the metadata can be stored as it is, with the mark beside it."""
    try:
        return metadata is None or (
            isinstance(metadata, Mapping)
            and len(_encode(redact_metadata(metadata, _unchanged))) <= MAX_METADATA_BYTES - _MARK_BYTES
        )
    except Exception:  # noqa: BLE001  # it may hold anything at all
        return False


# -- the other fields, one value each; what cannot be stored becomes None or the default ------------------------------


def _name(value: object) -> object:
    """Cuts and cleans a text, and decodes bytes; leaves anything else as it is, to be refused."""
    return as_text(value)[:MAX_NAME_CHARS] if isinstance(value, str | bytes | bytearray) else value


def _optional_name(value: object) -> str | None:
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, bool) or not isinstance(value, str | bytes | bytearray | int | UUID):
        return None
    return as_text(value)[:MAX_NAME_CHARS]


def _message(value: object) -> str | None:
    return None if value is None else as_text(value)[:_MAX_UNREDACTED_CHARS]


def _up_to(maximum: int) -> Callable[[object], int | float | None]:
    def repair(value: object) -> int | float | None:
        number = as_number(value)
        return number if number is not None and 0 <= number <= maximum else None

    return repair


_duration = _up_to(MAX_COUNT)
_cost = _up_to(MAX_COST_USD)


def _count(value: object) -> int | None:
    number = _duration(value)
    return int(number) if number is not None and number == int(number) else None


def _count_or(default: int) -> Callable[[object], int]:
    def repair(value: object) -> int:
        count = _count(value)
        return default if count is None else count

    return repair


def _required_number(value: object) -> object:
    number = as_number(value)
    return value if number is None else number


def _required_whole(value: object) -> object:
    number = as_number(value)
    return value if number is None or number != int(number) else int(number)


def _timestamp(value: object) -> object:
    # time.time() * 1000 is a float.
    number = as_number(value)
    return value if number is None else int(number)


def _flag(value: object) -> bool | None:
    number = int(bool(value)) if is_flag(value) else as_number(value)
    return bool(number) if number in (0, 1) else None


def _tags(value: object) -> object:
    """Keeps the first tags that can be stored. A mapping becomes ``key:value``; a text without a colon is no tag."""
    if isinstance(value, Mapping):
        given: list[object] = [f"{as_text(key)}:{as_text(item)}" for key, item in value.items()]
    elif isinstance(value, Sequence | AbstractSet) and not isinstance(value, str | bytes | bytearray):
        given = list(value)
    else:
        return None
    texts = [clean_text(str.__str__(tag)) for tag in given if isinstance(tag, str)]
    # Not cut: half a secret would no longer be recognized.
    tags = [tag for tag in texts if len(tag) <= MAX_NAME_CHARS and all(tag.partition(":"))][:MAX_TAGS]
    return value if tags == value else tags or None


def _trail(value: object) -> object:
    if not _is_trail(value):
        return None
    # The last attempt answered, or failed finally.
    given = list(value[-MAX_ATTEMPTS:])
    attempts = [_attempt(attempt) for attempt in given]
    if len(given) == len(value) and all(map(_is_same_attempt, attempts, given)):
        return value
    return [attempt for attempt in attempts if attempt is not None] or None


def _attempt(value: object) -> Attempt | None:
    """Repairs one attempt; None when it does not name the provider and the model that were called."""
    names = Attempt.__struct_fields__
    if isinstance(value, Attempt):
        fields = {name: getattr(value, name) for name in names}
    else:
        plain = value if isinstance(value, Mapping) else as_builtins(value)
        if not isinstance(plain, Mapping):
            return None
        fields = {name: plain.get(name) for name in names}
    provider_id, model = _optional_name(fields["provider_id"]), _optional_name(fields["model"])
    if provider_id is None or model is None:
        return None
    status = _count(fields["http_status"])
    return Attempt(
        provider_id=provider_id,
        model=model,
        http_status=status if status is not None and 100 <= status <= 599 else None,
        latency_ms=_duration(fields["latency_ms"]),
        error_message=_message(fields["error_message"]),
        cost_usd=_cost(fields["cost_usd"]),
        cost_source=_optional_name(fields["cost_source"]),
        **{name: _count(fields[name]) for name in _ATTEMPT_TOKENS},
    )


def _is_same_attempt(repaired: Attempt | None, value: object) -> bool:
    try:
        if isinstance(value, Mapping) and not set(value).issubset(Attempt.__struct_fields__):
            return False
        given = msgspec.convert(value, Attempt, from_attributes=True)
        is_text = isinstance(given.provider_id, str) and isinstance(given.model, str)
        return repaired is not None and is_text and _encode(repaired) == _encode(given)
    except Exception:  # noqa: BLE001  # it may hold anything at all
        return False


_REPAIRS: dict[str, Callable[[object], object]] = {
    "timestamp": _timestamp,
    "chain_name": _name,
    "provider_id": _name,
    "model": _name,
    "prompt_tokens": _count_or(0),
    "completion_tokens": _count_or(0),
    "total_tokens": _count,
    "latency_ms": _required_number,
    "http_status": _required_whole,
    "attempts": _count_or(1),
    "error_message": _message,
    "request_id": _optional_name,
    "caller": _optional_name,
    "ttft_ms": _duration,
    "cost_usd": _cost,
    "streamed": _flag,
    "cached_tokens": _count,
    "attempt_trail": lambda value: None if value is None else _trail(value),
    "cache_write_tokens": _count,
    "cache_write_1h_tokens": _count,
    "reasoning_tokens": _count,
    "prompt_audio_tokens": _count,
    "completion_audio_tokens": _count,
    "finish_reason": _optional_name,
    "service_tier": _optional_name,
    "response_id": _optional_name,
    "session_id": _optional_name,
    "tags": lambda value: None if value is None else _tags(value),
    "cost_source": _optional_name,
}
