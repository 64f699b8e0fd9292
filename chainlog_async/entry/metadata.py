"""Makes any mapping storable as metadata: plain JSON of bounded size, without secrets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from decimal import Decimal
from itertools import islice
from typing import cast

import msgspec

from .numbers import as_number, is_flag
from .sanitize import redact_metadata
from .text import as_text, clean_text

MAX_DEPTH = 8
"""How deeply repaired metadata may be nested; what is deeper is left out."""

MAX_VALUES = 4_096
"""How many values repaired metadata may have; further ones are left out. More would not fit into its bytes."""

MAX_KEY_CHARS = 256

_encode = msgspec.json.Encoder().encode


def storable_metadata(metadata: Mapping[object, object], redact: Callable[[str], str]) -> dict[str, object]:
    """Returns the metadata as JSON can hold it, secrets redacted. What JSON has no type for becomes text."""
    plain = _Converter().convert(metadata, MAX_DEPTH)
    # Before anything is cut: half a secret would no longer be recognized.
    return cast("dict[str, object]", redact_metadata(plain, redact))


def cut_metadata(metadata: Mapping[str, object], max_bytes: int) -> dict[str, object]:
    """Returns the items that fit into `max_bytes` of JSON, in their order; a text that is too long is cut."""
    kept: dict[str, object] = {}
    for name, item in metadata.items():
        shown: object = item
        if isinstance(item, str):
            room = max(max_bytes - len(_encode({**kept, name: ""})), 0)
            # A character takes up to six bytes of JSON.
            shown = item if len(_encode(item)) - 2 <= room else item[: room // 6]
        if len(_encode({**kept, name: shown})) <= max_bytes:
            kept[name] = shown
    return kept


class _Converter:
    """Converts values up to a number of them, since metadata may refer to itself."""

    def __init__(self) -> None:
        self._left = MAX_VALUES

    def convert(self, value: object, depth: int) -> object:
        self._left -= 1
        if value is None or isinstance(value, str):
            return value if value is None else clean_text(str.__str__(value))
        if is_flag(value):
            return bool(value)
        if isinstance(value, float | Decimal) or as_number(value) is not None:
            return _json_number(as_number(value))
        if isinstance(value, Mapping):
            return self._convert_items(value, depth - 1) if depth else None
        if isinstance(value, Sequence | AbstractSet) and not isinstance(value, bytes | bytearray):
            return self._convert_list(value, depth - 1) if depth else None
        return as_text(value)

    def _convert_items(self, value: Mapping[object, object], depth: int) -> dict[str, object]:
        items = islice(value.items(), max(self._left, 0))
        return {as_text(name)[:MAX_KEY_CHARS]: self.convert(item, depth) for name, item in items if self._left > 0}

    def _convert_list(self, value: Sequence[object] | AbstractSet[object], depth: int) -> list[object]:
        return [self.convert(item, depth) for item in islice(value, max(self._left, 0)) if self._left > 0]


def _json_number(number: float | None) -> int | float | None:
    if not isinstance(number, int) or abs(number) < 2**63:
        return number
    try:
        return float(number)
    except OverflowError:
        return None
