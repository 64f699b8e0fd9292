"""What is done to an entry before it is encoded: secrets are blotted out, long messages cut, loose ends tied."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from chainlog_async.errors import InvalidEntryError

from .model import MAX_ERROR_CHARS
from .redaction import REDACTED

if TYPE_CHECKING:
    from .model import RequestLogEntry


MAX_PARTIAL_SECRET_CHARS = 256
"""In how many characters `redaction` knows a secret for one; user and password in a URL take most."""

MAX_METADATA_BYTES = 4096
"""Largest metadata of a request, in bytes of JSON."""

_SECRET_NAME = re.compile(r"(?i)api[-_]?key|authorization|password|passwd|secret|cookie|(?:^|[-_])token$")

_encode = msgspec.json.Encoder().encode


def sanitize_entry(entry: RequestLogEntry, redact: Callable[[str], str]) -> RequestLogEntry:
    """The entry as it may be stored. Raises `InvalidEntryError` for what cannot be sanitize_entry."""
    changes: dict[str, object] = {}
    if entry.error_message is not None:
        changes["error_message"] = sanitize_message(entry.error_message, redact, "error_message")
    if entry.metadata is not None:
        changes["metadata"] = _clean_metadata(entry.metadata, redact)
    if entry.attempt_trail is not None:
        changes["attempt_trail"] = trail = _clean_trail(entry.attempt_trail, redact)
        if type(entry.attempts) is int:
            changes["attempts"] = max(entry.attempts, len(trail))
    return msgspec.structs.replace(entry, **changes)


def sanitize_message(message: object, redact: Callable[[str], str], name: str) -> str:
    """An error text without secrets, and not too long. Raises `InvalidEntryError` when it is no str."""
    if not isinstance(message, str):
        raise InvalidEntryError(f"{name} is {type(message).__name__}; give a str or None")
    # A secret may begin before the cut and end after it.
    clean = redact(message[: 2 * MAX_ERROR_CHARS])
    if len(message) > 2 * MAX_ERROR_CHARS:
        # Where much was blotted out, even the end of what was looked at is kept: it may be half a secret.
        clean = clean[:-MAX_PARTIAL_SECRET_CHARS]
    elif len(clean) <= MAX_ERROR_CHARS:
        return clean
    return clean[: MAX_ERROR_CHARS - 1] + "…"


def _clean_trail(trail: object, redact: Callable[[str], str]) -> Sequence[object]:
    if not isinstance(trail, Sequence) or isinstance(trail, str | bytes):
        raise InvalidEntryError(f"attempt_trail is {type(trail).__name__}; give a list of attempts, or None")
    return [_clean_attempt(attempt, redact) for attempt in trail]


def _clean_attempt(attempt: object, redact: Callable[[str], str]) -> object:
    if isinstance(attempt, Mapping):
        fields = dict(attempt)
        if fields.get("error_message") is not None:
            fields["error_message"] = sanitize_message(fields["error_message"], redact, "error_message of an attempt")
        return fields
    message: object = getattr(attempt, "error_message", None)
    if message is None or not isinstance(attempt, msgspec.Struct):
        return attempt
    return msgspec.structs.replace(
        attempt, error_message=sanitize_message(message, redact, "error_message of an attempt")
    )


def _clean_metadata(metadata: object, redact: Callable[[str], str]) -> object:
    if not isinstance(metadata, Mapping):
        raise InvalidEntryError(f"metadata is {type(metadata).__name__}; give a dict, or None")
    clean = _without_secrets(metadata, redact)
    if (size := len(_encode(clean))) > MAX_METADATA_BYTES:
        raise InvalidEntryError(f"metadata takes {size} bytes of JSON; {MAX_METADATA_BYTES} is the most")
    return clean


def _without_secrets(value: object, redact: Callable[[str], str]) -> object:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {
            name: REDACTED
            if isinstance(item, str) and isinstance(name, str) and _SECRET_NAME.search(name)
            else _without_secrets(item, redact)
            for name, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_without_secrets(item, redact) for item in value]
    return value
