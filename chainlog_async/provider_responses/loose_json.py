"""Decodes JSON that is not quite JSON, such as with half an emoji or NaN, which clients and providers send."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import TypeVar

import msgspec

_T = TypeVar("_T")

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")


def decode_loosely(decode: Callable[[bytes], _T], data: bytes) -> _T | None:
    """Returns what `decode`, of a decoder of msgspec, makes of the bytes; None when they are not the JSON it expects.

    In the texts of such a document each half of an emoji becomes U+FFFD.
    """
    try:
        return decode(data)
    except RecursionError:
        return None
    except (msgspec.DecodeError, UnicodeError):
        if data.strip() == b"[DONE]":
            return None
    try:
        # What Python's own parser takes as well: NaN, a byte order mark, UTF-16, control characters in texts.
        encoding = json.detect_encoding(data)
        text = data.decode("utf-8-sig" if encoding == "utf-8" else encoding, "replace")
        value = json.loads(_SURROGATE.sub(r"\\ufffd", text), strict=False)
        return decode(msgspec.json.encode(value))
    except (ValueError, UnicodeError, RecursionError, msgspec.MsgspecError, OverflowError):
        return None


def decode_any(data: bytes) -> object:
    """Returns a JSON document of any kind; None for null and for what is no JSON."""
    return decode_loosely(_decode_any, data)


_decode_any = msgspec.json.Decoder().decode
