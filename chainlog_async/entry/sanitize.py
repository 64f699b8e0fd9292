"""Sanitizes an entry before it is encoded: redacts secrets, cuts long messages, corrects the number of attempts."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from chainlog_async.errors import InvalidEntryError

from .model import MAX_ERROR_CHARS, MAX_NAME_CHARS, Attempt
from .redaction import REDACTED
from .secret_names import is_named_secret, may_name_secret
from .secret_values import is_word

if TYPE_CHECKING:
    from .model import RequestLogEntry


MAX_PARTIAL_SECRET_CHARS = 320
"""How many characters `redaction` needs to recognize a secret; user and password in a URL need the most."""

MIN_SECRET_CHARS = 12
"""Length below which a name in metadata is taken for no secret."""

MAX_METADATA_BYTES = 4096
"""Maximum size of the metadata of a request, in bytes of JSON."""

# Names without the case of their letters and without what separates their words.
_SECRET_NAME = re.compile(
    r"(?:api|access|secret|private|account|shared|subscription|master|encryption|signing|license|application|app|auth"
    r"|service|client|virtual|webhook|functions?|admin|storage|ssh|deploy)keys?"
    r"|authorization|password|passwd|passphrase|passcode|pwd|secret|cookie|credential|connectionstring"
    r"|(?:access|auth|refresh|bearer|api|session)tokens"
    r"|(?<!max)(?<!eos)(?<!bos)(?<!pad)(?<!stop)(?<!next)(?<!page)(?<!special)(?<!continuation)token"
    r"(?:$|[0-9]|prod|dev|test|old|new|main|value|hash|string)"
    r"|(?:jwt|bearer)$"
)
# What only tells of a secret: an api_key_alias, a password_policy.
_ABOUT_SECRET = re.compile(
    r"(?:alias|(?<!jsession)(?<!phpsess)(?<!connects)id|ids|name|names|count|limit|policy|type|status|version|arn|path|file|url|uri|expiry|expires|expiresat|ttl"
    r"|createdat|used|usage|required|length|valid|set|present|enabled|budget|spend|scope|scopes|prefix|provider|owner"
    r"|role|source|metadata|tags|info|email|models)$"
)
_NAME_NAMES = ("name", "key", "header", "Name", "Key")
_VALUE_NAMES = ("value", "Value")
_SEPARATORS = re.compile(r"[-_. ]+")

_ATTEMPT_NUMBERS = tuple(
    name for name in Attempt.__struct_fields__ if name not in ("provider_id", "model", "error_message", "cost_source")
)

_encode = msgspec.json.Encoder().encode


def sanitize_entry(entry: RequestLogEntry, redact: Callable[[str], str]) -> RequestLogEntry:
    """Returns the entry as it may be stored. Raises `InvalidEntryError` for a value of the wrong type or size."""
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


def sanitize_tags(entry: RequestLogEntry, redact: Callable[[str], str]) -> RequestLogEntry:
    """Returns the entry with secrets in its tags redacted. Raises `InvalidEntryError` when they are no list of str."""
    tags: object = entry.tags
    if not isinstance(tags, Sequence) or isinstance(tags, str | bytes) or not all(isinstance(tag, str) for tag in tags):
        raise InvalidEntryError(f"tags is {type(tags).__name__}; give a list of texts key:value, or None")
    return msgspec.structs.replace(entry, tags=[redact_tag(str.__str__(tag), redact) for tag in tags])


def redact_tag(tag: str, redact: Callable[[str], str]) -> str:
    """Returns a tag ``key:value`` with its value redacted if it is a secret, or if the key names one."""
    key, colon, value = tag.partition(":")
    if colon and (_is_secret_name(key) or _is_named_secret(key, value)):
        clean = f"{key}:{REDACTED}"
    elif (clean := redact(tag)) != tag and not all(clean.partition(":")):
        clean = f"{REDACTED}:{REDACTED}"
    return clean if clean == tag else clean[:MAX_NAME_CHARS]


def sanitize_message(message: object, redact: Callable[[str], str], name: str) -> str:
    """Returns an error text with secrets redacted, cut to `MAX_ERROR_CHARS`.

    Raises `InvalidEntryError`, with `name` in its message, when it is not a str.
    """
    if not isinstance(message, str):
        raise InvalidEntryError(f"{name} is {type(message).__name__}; give a str or None")
    # A secret may start before the cut and end after it.
    clean = redact(message[: 2 * MAX_ERROR_CHARS])
    if len(message) > 2 * MAX_ERROR_CHARS:
        # After many redactions even the end of the searched text would be kept, and it may be half a secret.
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
        _refuse_hidden(fields.get)
        if fields.get("error_message") is not None:
            fields["error_message"] = sanitize_message(fields["error_message"], redact, "error_message of an attempt")
        return fields
    if not isinstance(attempt, msgspec.Struct):
        plain = as_builtins(attempt)
        return _clean_attempt(plain, redact) if isinstance(plain, Mapping) else attempt
    _refuse_hidden(lambda name: getattr(attempt, name, None))
    message: object = getattr(attempt, "error_message", None)
    if message is None:
        return attempt
    return msgspec.structs.replace(
        attempt, error_message=sanitize_message(message, redact, "error_message of an attempt")
    )


def _refuse_hidden(value_of: Callable[[str], object]) -> None:
    """Refuses in an attempt what its line would not show: there bytes are base64, and NaN is null."""
    for name in ("provider_id", "model", "cost_source"):
        if (value := value_of(name)) is not None and not isinstance(value, str):
            raise InvalidEntryError(f"{name} of an attempt is {type(value).__name__}; give a str")
    for name in _ATTEMPT_NUMBERS:
        if isinstance(value := value_of(name), float) and not math.isfinite(value):
            raise InvalidEntryError(f"{name} of an attempt is {value!r}; give a number, or None")


def _clean_metadata(metadata: object, redact: Callable[[str], str]) -> object:
    if not isinstance(metadata, Mapping):
        raise InvalidEntryError(f"metadata is {type(metadata).__name__}; give a dict, or None")
    clean = redact_metadata(metadata, redact)
    if (size := len(_encode(clean))) > MAX_METADATA_BYTES:
        raise InvalidEntryError(f"metadata takes {size} bytes of JSON; the maximum is {MAX_METADATA_BYTES}")
    return clean


def redact_metadata(value: object, redact: Callable[[str], str]) -> object:
    """Returns a copy with secrets redacted: by their form, or by the name of the item that holds them.

    Raises `InvalidEntryError` for what JSON would not show as it is: bytes, NaN and infinity.
    """
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        if any(isinstance(name, bytes) for name in value):
            raise InvalidEntryError("metadata has a name that is bytes; give a str")
        header = _header_name(value)
        return {
            _redact_name(name, redact): _redact_whole(name, item)
            if isinstance(name, str) and (_is_secret(name, item) or (header and name in _VALUE_NAMES))
            else redact_metadata(item, redact)
            for name, item in value.items()
        }
    if isinstance(value, list | tuple):
        if len(value) == 2 and _is_secret_header(*value):
            return [redact_metadata(value[0], redact), REDACTED]
        return [redact_metadata(item, redact) for item in value]
    if isinstance(value, bytes | bytearray | memoryview):
        raise InvalidEntryError(f"metadata contains {type(value).__name__}; give a str")
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidEntryError(f"metadata contains {value!r}; give a number, or None")
    plain = as_builtins(value)
    return redact_metadata(plain, redact) if isinstance(plain, str | Mapping | list | tuple) else value


def as_builtins(value: object) -> object:
    """Converts what msgspec can encode, such as a set or a dataclass, to what JSON has; else returns the value."""
    if value is None or isinstance(value, bool | int | float):
        return value
    try:
        plain: object = msgspec.to_builtins(value)
    except Exception:  # noqa: BLE001  # metadata may hold anything at all, and what cannot be encoded is refused later
        return value
    return plain


def _redact_name(name: object, redact: Callable[[str], str]) -> object:
    """Redacts a secret that is a name itself, as in counts by key; a short name is none."""
    return redact(name) if isinstance(name, str) and len(name) >= MIN_SECRET_CHARS else name


def _is_secret(name: str, value: object) -> bool:
    return _is_secret_name(name) or _is_named_secret(name, value)


def _header_name(item: Mapping[object, object]) -> str | None:
    """The secret that an item of a list of headers, ``{"name": "Authorization", "value": "…"}``, names; else None."""
    for name in _NAME_NAMES:
        header = item.get(name)
        if isinstance(header, str) and any(_is_secret(header, item.get(value)) for value in _VALUE_NAMES):
            return header
    return None


def _is_secret_header(name: object, value: object) -> bool:
    """Whether a list of two is a header and its secret; two words, such as two tags, are none."""
    return isinstance(name, str) and isinstance(value, str) and not is_word(value) and _is_secret(name, value)


def _is_named_secret(name: str, value: object) -> bool:
    return isinstance(value, str) and _may_hold_secret(name) and is_named_secret(name, value)


@lru_cache(maxsize=1024)
def _is_secret_name(name: str) -> bool:
    """Whether all that an item of this name holds is secret."""
    return _SECRET_NAME.search(_plain_name(name)) is not None and not _is_about_secret(name)


@lru_cache(maxsize=1024)
def _may_hold_secret(name: str) -> bool:
    """Whether an item of this name holds a secret if its value looks like one."""
    return may_name_secret(name) and not _is_about_secret(name)


def _is_about_secret(name: str) -> bool:
    return _ABOUT_SECRET.search(_plain_name(name)) is not None


def _plain_name(name: str) -> str:
    return _SEPARATORS.sub("", name).casefold()


def _redact_whole(name: str, value: object) -> object:
    """Redacts each value of an item that is named like a secret; numbers of tokens are kept."""
    if isinstance(value, Mapping):
        return {inner: _redact_whole(name, item) for inner, item in value.items()}
    if isinstance(value, list | tuple):
        return [_redact_whole(name, item) for item in value]
    is_plain = value is None or isinstance(value, bool)
    return value if is_plain or (isinstance(value, int | float) and "token" in name.casefold()) else REDACTED
