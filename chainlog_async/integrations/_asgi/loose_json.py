"""Decodes JSON in which an emoji may be cut in half; msgspec refuses that, and clients and providers send it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

import msgspec

_T = TypeVar("_T")

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")


def decode_loosely(decode: Callable[[bytes], _T], data: bytes) -> _T | None:
    """Returns what `decode`, of a decoder of msgspec, makes of the bytes; None when they are not the JSON it expects.

    In the texts of such a document each half of an emoji becomes U+FFFD.
    """
    try:
        return decode(data)
    except RecursionError:
        return None
    except (msgspec.DecodeError, UnicodeError):
        if _SURROGATE.search(data) is None:
            return None
    try:
        return decode(_SURROGATE.sub(rb"\\ufffd", data))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
